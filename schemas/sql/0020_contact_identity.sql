-- A contact is the same person wherever it stands in the order: it has a number of its own. And which of them answered.

-- `id` is the last part of a contact's name as a recipient, `contact:SHOP:ID`. Those who are there keep their place as their id, so
-- what was written of them before means them still. `version` rises with every change of an enterprise's contacts: the ETag.
ALTER TABLE contacts ADD COLUMN id integer NOT NULL DEFAULT 0;      -- 0 in what is written: make one
ALTER TABLE contacts ADD COLUMN version bigint NOT NULL DEFAULT 0;
UPDATE contacts SET id = "order", version = "order";
ALTER TABLE contacts ADD CHECK (id > 0);
-- Asked at the end of a statement, so that two change places in one.
ALTER TABLE contacts ADD CONSTRAINT contacts_by_id UNIQUE (enterprise, id) DEFERRABLE INITIALLY IMMEDIATE;

-- The greatest numbers that were given. They outlast contacts and enterprises: no id is given twice.
CREATE TABLE contact_numbers (
    enterprise text    PRIMARY KEY,
    id         integer NOT NULL,
    version    bigint  NOT NULL
);
INSERT INTO contact_numbers
SELECT enterprise, max(number), max(number) FROM (
    SELECT enterprise, "order"::integer AS number FROM contacts
     UNION ALL
    SELECT enterprise, key::integer FROM registry_changes WHERE what = 'contact' AND key ~ '^[0-9]{1,2}$') AS given
 GROUP BY enterprise;

-- Who has another name and another number is another person, also for consoles of before, which overwrite a place.
CREATE FUNCTION tocsin_number_contact() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    is_new boolean := coalesce(NEW.id, 0) = 0;
    given  integer;
    newest bigint;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        is_new := is_new OR (NEW.id = OLD.id AND NEW.name <> OLD.name AND (NEW.phone = '' OR NEW.phone <> OLD.phone));
    END IF;
    INSERT INTO contact_numbers AS n (enterprise, id, version)
    VALUES (NEW.enterprise, CASE WHEN is_new THEN 1 ELSE NEW.id END, 1)
    ON CONFLICT (enterprise) DO UPDATE
       SET id = CASE WHEN is_new THEN n.id + 1 ELSE greatest(n.id, NEW.id) END, version = n.version + 1
    RETURNING n.id, n.version INTO given, newest;
    NEW.version := newest;
    IF is_new THEN
        NEW.id := given;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER contacts_numbered BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION tocsin_number_contact();

-- Desks of before know a contact by its place. While some of them run they are given its id there, so that desks of before and of
-- now name everybody alike, and nobody's call counts for another.
ALTER FUNCTION tocsin_whereabouts(integer, bigint, integer, text[], text[]) RENAME TO tocsin_around;
CREATE FUNCTION tocsin_whereabouts(
    in_partition integer, after_seq bigint, most integer, enterprises text[], devices text[]
) RETURNS TABLE (
    enterprise text, device text, timezone text, contacts jsonb, calls jsonb, name text, name_en text, address text,
    address_en text, zone text, zone_en text, floor text, device_name text, device_name_en text
)
LANGUAGE sql STABLE AS $$
    SELECT a.enterprise, a.device, a.timezone,
           (SELECT jsonb_agg(x.contact || jsonb_build_object('order', x.contact->'id') ORDER BY x.place)
              FROM jsonb_array_elements(a.contacts) WITH ORDINALITY AS x (contact, place)),
           a.calls, a.name, a.name_en, a.address, a.address_en, a.zone, a.zone_en, a.floor, a.device_name, a.device_name_en
      FROM tocsin_around($1, $2, $3, $4, $5) AS a
$$;

-- Which contact answered by the link of a message; empty: an account did. `by` is the name as of then.
ALTER TABLE acknowledgements ADD COLUMN contact text NOT NULL DEFAULT '';
UPDATE acknowledgements SET contact = note, note = '' WHERE idempotency_key LIKE 'link:%' AND note LIKE 'contact:%';

CREATE OR REPLACE FUNCTION tocsin_act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    done jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO audit_log (who, act, subject, enterprise, detail)
    SELECT coalesce(done->>'by', done->>'asked_by'), TG_ARGV[0], key, enterprise, coalesce(done->>'contact', '') FROM alarms
     WHERE key = coalesce(done->>'alarm', done->>'alarm_key');
    RETURN NULL;
END
$$;
