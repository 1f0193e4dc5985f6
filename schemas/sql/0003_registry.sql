-- The registry: devices with their facts, logins with what they may do. And quarantine: what admission refused.

-- `facts` is schemas.entries.DeviceFacts. `id` is the device key's number (schemas.identity); unique, so a collision is refused.
CREATE TABLE devices (
    enterprise text        NOT NULL,
    device     text        NOT NULL,
    id         bigint      NOT NULL UNIQUE,
    facts      jsonb       NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (enterprise, device)
);
CREATE INDEX devices_out_of_service ON devices (enterprise, device) WHERE (facts->>'out_of_service')::boolean;

-- Who may log in at the door. Secrets are random, at least 128 bits, so one round of SHA-256 keeps them.
CREATE TABLE logins (
    id            text        PRIMARY KEY,
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    added_at      timestamptz NOT NULL DEFAULT now()
);

-- What a login may do: publish for one device, for every device of an enterprise (device empty), or read its alarms.
CREATE TABLE grants (
    login      text NOT NULL REFERENCES logins ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('devices', 'alarms')),
    enterprise text NOT NULL,
    device     text NOT NULL DEFAULT '' CHECK (role = 'devices' OR device = ''),
    PRIMARY KEY (login, role, enterprise, device)
);

-- Rises with every change of logins or grants, so that a door that knows them sees in one row whether to read again.
CREATE TABLE logins_version (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint  NOT NULL
) WITH (fillfactor = 20);
INSERT INTO logins_version (version) VALUES (1);

CREATE FUNCTION tocsin_logins_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE logins_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER logins_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON logins
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_logins_changed();
CREATE TRIGGER grants_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON grants
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_logins_changed();

-- A message of which something was refused, whole. Its arrival is its name: arrivals rise strictly over the life of the log.
-- `rejects` is a list of {code, field, reason, mend}; `replayed_at` is set when it has entered again after the mend.
CREATE TABLE quarantine (
    arrival_us  bigint PRIMARY KEY,
    enterprise  text   NOT NULL,
    device      text   NOT NULL,
    topic       text   NOT NULL,
    client      text   NOT NULL,
    payload     bytea  NOT NULL,
    rejects     jsonb  NOT NULL,
    replayed_at timestamptz
);
CREATE INDEX quarantine_waiting ON quarantine (enterprise, device, arrival_us) WHERE replayed_at IS NULL;
