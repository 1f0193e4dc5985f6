-- The registry's people's side: districts, enterprises with zones and contacts, every change of them; and accounts.

CREATE TABLE districts (
    code    text PRIMARY KEY,
    name    text NOT NULL,
    name_en text NOT NULL DEFAULT ''
);

-- `code` is the name on the wire. Shapes: schemas/enterprises.py.
CREATE TABLE enterprises (
    code       text PRIMARY KEY,
    name       text NOT NULL,
    name_en    text NOT NULL DEFAULT '',
    trade      text NOT NULL,
    district   text NOT NULL REFERENCES districts (code),
    address    text NOT NULL DEFAULT '',
    address_en text NOT NULL DEFAULT '',
    longitude  double precision CHECK (longitude BETWEEN -180 AND 180),
    latitude   double precision CHECK (latitude BETWEEN -90 AND 90),
    hours      text NOT NULL DEFAULT '',
    timezone   text NOT NULL DEFAULT 'Asia/Shanghai',
    area_m2    double precision,
    built      integer,
    wired      integer,
    open_flame boolean,
    flammables text CHECK (flammables IN ('none', 'some', 'much')),
    people     integer,
    version    bigint NOT NULL DEFAULT 1,      -- rises with every change: the ETag
    added_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX enterprises_by_district ON enterprises (district, code);
CREATE INDEX enterprises_by_trade ON enterprises (trade, code);

CREATE TABLE zones (
    enterprise text NOT NULL REFERENCES enterprises (code) ON DELETE CASCADE,
    zone       text NOT NULL,
    name       text NOT NULL,
    name_en    text NOT NULL DEFAULT '',
    floor      text NOT NULL DEFAULT '',
    PRIMARY KEY (enterprise, zone)
);

-- In which zone a device hangs, and what people call it.
ALTER TABLE devices ADD COLUMN zone text NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN name text NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN name_en text NOT NULL DEFAULT '';

CREATE TABLE contacts (
    enterprise text     NOT NULL REFERENCES enterprises (code) ON DELETE CASCADE,
    "order"    smallint NOT NULL CHECK ("order" BETWEEN 1 AND 99),
    name       text     NOT NULL,
    duty       text     NOT NULL DEFAULT '',
    phone      text     NOT NULL DEFAULT '',
    channels   text[]   NOT NULL DEFAULT '{sms}',
    language   text     NOT NULL DEFAULT 'zh' CHECK (language IN ('zh', 'en')),
    hours      text     NOT NULL DEFAULT '',
    least      text     NOT NULL DEFAULT 'orange' CHECK (least IN ('blue', 'yellow', 'orange', 'red')),
    PRIMARY KEY (enterprise, "order")
);

-- Every change of the registry: who, when, before and after. A phone number in it is as secret as in `contacts`.
CREATE TABLE registry_changes (
    number     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    who        text        NOT NULL,
    what       text        NOT NULL CHECK (what IN ('district', 'enterprise', 'zone', 'contact', 'device', 'login')),
    enterprise text        NOT NULL DEFAULT '',
    key        text        NOT NULL,
    before     jsonb,
    after      jsonb
);
CREATE INDEX registry_changes_by_enterprise ON registry_changes (enterprise, number);

-- Whether a scope (schemas.viewers) takes in an enterprise. Inlined by the planner.
CREATE FUNCTION tocsin_sees(code text, sees_all boolean, districts text[], codes text[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT $2 OR $1 = ANY ($4) OR EXISTS (SELECT FROM enterprises e WHERE e.code = $1 AND e.district = ANY ($3))
$$;

-- People and programs that may log in. `password` is argon2's own text; empty: no password opens it.
CREATE TABLE accounts (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login       text        NOT NULL UNIQUE,
    name        text        NOT NULL DEFAULT '',
    role        text        NOT NULL CHECK (role IN ('operator', 'supervisor', 'owner', 'integrator', 'administrator')),
    districts   text[]      NOT NULL DEFAULT '{}',
    enterprises text[]      NOT NULL DEFAULT '{}',
    language    text        NOT NULL DEFAULT 'zh' CHECK (language IN ('zh', 'en')),
    phone       text        NOT NULL DEFAULT '',
    password    text        NOT NULL DEFAULT '',
    failed      integer     NOT NULL DEFAULT 0,
    locked_until timestamptz,
    disabled    boolean     NOT NULL DEFAULT false,
    added_at    timestamptz NOT NULL DEFAULT now()
);

-- Tokens are random, so one round of SHA-256 keeps them.
CREATE TABLE sessions (
    token_sha256 bytea       PRIMARY KEY,
    account      bigint      NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    made_at      timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    agent        text        NOT NULL DEFAULT ''
);
CREATE INDEX sessions_by_account ON sessions (account);

CREATE TABLE login_links (
    token_sha256 bytea       PRIMARY KEY,
    account      bigint      NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);

CREATE TABLE api_keys (
    id            text        PRIMARY KEY,
    account       bigint      NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name          text        NOT NULL,
    secret_sha256 bytea       NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    used_at       timestamptz,
    revoked_at    timestamptz
);

-- What people and programs did, and what was refused them. No phone numbers, no secrets.
CREATE TABLE audit_log (
    number     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    who        text        NOT NULL,
    act        text        NOT NULL,
    subject    text        NOT NULL DEFAULT '',
    enterprise text        NOT NULL DEFAULT '',
    refused    boolean     NOT NULL DEFAULT false,
    detail     text        NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_by_who ON audit_log (who, number);
