-- What devices said, for the people who connect them: the sensors each device has spoken of, and messages that were
-- refused on their way in again.

-- Every device that was ever heard, in the registry or not, with its sensors (`measure[.channel]`, sorted). Their newest
-- values are in `last_values` by id. Written by the store from the log's declarations, never by the door.
CREATE TABLE device_sensors (
    enterprise text        NOT NULL,
    device     text        NOT NULL,
    sensors    text[]      NOT NULL,
    heard_at   timestamptz NOT NULL DEFAULT clock_timestamp(),  -- first
    PRIMARY KEY (enterprise, device)
) WITH (fillfactor = 90);

-- Somebody has asked for a refused message to be admitted again, under a mend (schemas.payloads.Mend) or as it is. Who
-- writes the log tries, and either sets `replayed_at` or leaves the new reasons in `rejects` and takes `asked_at` back.
ALTER TABLE quarantine ADD COLUMN asked_at timestamptz;
ALTER TABLE quarantine ADD COLUMN asked_by text NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN mend jsonb;
ALTER TABLE quarantine ADD COLUMN tried_at timestamptz;  -- and until some seconds later it is one writer's to try
ALTER TABLE quarantine ADD COLUMN tries integer NOT NULL DEFAULT 0;
CREATE INDEX quarantine_asked ON quarantine (asked_at, arrival_us) WHERE asked_at IS NOT NULL AND replayed_at IS NULL;

SELECT tocsin_show_by_enterprise('device_sensors', 'device_sensors.enterprise', 'SELECT');
GRANT UPDATE (asked_at, asked_by, mend) ON quarantine TO tocsin_viewer;

-- A door knows the keys of accounts as it knows the logins of devices: whoever changes what they may read raises the
-- version. `failed` and `used_at` change with every try and use, and change nothing of that.
CREATE TRIGGER accounts_changed_logins AFTER INSERT OR DELETE OR UPDATE OF login, role, districts, enterprises, disabled
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION tocsin_logins_changed();
CREATE TRIGGER api_keys_changed_logins AFTER INSERT OR DELETE OR UPDATE OF secret_sha256, revoked_at
    ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION tocsin_logins_changed();
CREATE TRIGGER enterprises_changed_logins AFTER INSERT OR DELETE OR UPDATE OF code, district
    ON enterprises FOR EACH STATEMENT EXECUTE FUNCTION tocsin_logins_changed();
