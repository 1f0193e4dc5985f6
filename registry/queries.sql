-- The registry's people's side. What a viewer may see is asked of `tocsin_sees` by the queries themselves.

-- name: enterprises
-- A page of enterprises, by code.
SELECT row_to_json(found)::text FROM (
    SELECT e.*, d.name AS district_name, d.name_en AS district_name_en
      FROM enterprises e JOIN districts d ON d.code = e.district
     WHERE e.code > %(after)s
       AND (%(codes)s::text[] IS NULL OR e.code = ANY (%(codes)s))
       AND (%(districts)s::text[] IS NULL OR e.district = ANY (%(districts)s))
       AND (%(trade)s::text IS NULL OR starts_with(e.trade, %(trade)s))
       AND (%(text)s::text IS NULL
            OR concat_ws(E'\n', e.code, e.name, e.name_en, e.address, e.address_en) ILIKE %(text)s)
       AND tocsin_sees(e.code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
     ORDER BY e.code LIMIT %(limit)s) AS found;

-- name: zones
-- An enterprise's zones.
SELECT row_to_json(z)::text FROM zones z WHERE enterprise = %(code)s ORDER BY zone;

-- name: contacts
-- Who is told, in order.
SELECT row_to_json(c)::text FROM contacts c WHERE enterprise = %(code)s ORDER BY "order";

-- name: former_contacts
-- Who was a contact and is none, as each was last.
SELECT DISTINCT ON (before->>'id') before::text FROM registry_changes r
 WHERE enterprise = %(code)s AND what = 'contact' AND before->>'id' IS DISTINCT FROM after->>'id'
   AND NOT EXISTS (SELECT FROM contacts c WHERE c.enterprise = r.enterprise AND c.id::text = r.before->>'id')
   AND before ? 'id'
 ORDER BY before->>'id', number DESC;

-- name: all_zones
-- Every zone in scope.
SELECT row_to_json(z)::text FROM zones z
 WHERE tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s) ORDER BY enterprise, zone;

-- name: all_contacts
-- Every contact in scope.
SELECT row_to_json(c)::text FROM contacts c
 WHERE tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s) ORDER BY enterprise, "order";

-- name: districts
-- Districts in scope.
SELECT row_to_json(d)::text FROM districts d
 WHERE %(sees_all)s OR code = ANY (%(sees_districts)s)
    OR code IN (SELECT district FROM enterprises WHERE code = ANY (%(sees_enterprises)s))
 ORDER BY code;

-- name: is_seen
-- Whether there is anything under the name of an enterprise, in scope.
SELECT true FROM (VALUES (%(code)s::text)) AS asked (code)
 WHERE tocsin_sees(code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
   AND (EXISTS (SELECT FROM enterprises WHERE enterprises.code = asked.code)
        OR EXISTS (SELECT FROM devices WHERE enterprise = asked.code)
        OR EXISTS (SELECT FROM device_sensors WHERE enterprise = asked.code));

-- name: devices
-- A page of devices, by name, each with its zone and the sensors it has spoken of.
SELECT (d.facts || to_jsonb(found))::text FROM (
    SELECT d.enterprise, d.device, d.zone, d.name, d.name_en, d.added_at, coalesce(z.name, '') AS zone_name,
           coalesce(z.name_en, '') AS zone_name_en, coalesce(s.sensors, '{}') AS sensors
      FROM devices d LEFT JOIN zones z USING (enterprise, zone) LEFT JOIN device_sensors s USING (enterprise, device)
     WHERE (%(enterprise)s::text IS NULL OR enterprise = %(enterprise)s)
       AND (%(device)s::text IS NULL OR device = %(device)s)
       AND (enterprise, device) > (%(after_enterprise)s, %(after_device)s)
       AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
     ORDER BY enterprise, device LIMIT %(limit)s) AS found
  JOIN devices d USING (enterprise, device) ORDER BY found.enterprise, found.device;

-- name: unclaimed
-- A page of devices that have spoken and that the registry does not know.
SELECT s.enterprise, s.device, EXISTS (SELECT FROM enterprises e WHERE e.code = s.enterprise), s.heard_at, s.sensors
  FROM device_sensors s
 WHERE (%(enterprise)s::text IS NULL OR s.enterprise = %(enterprise)s)
   AND (s.enterprise, s.device) > (%(after_enterprise)s, %(after_device)s)
   AND NOT EXISTS (SELECT FROM devices d WHERE d.enterprise = s.enterprise AND d.device = s.device)
   AND tocsin_sees(s.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
 ORDER BY s.enterprise, s.device LIMIT %(limit)s;

-- name: newest
-- Newest stored values of sensors.
SELECT sensor_id, value, event_time FROM last_values WHERE sensor_id = ANY (%(ids)s);

-- name: held_district
-- A district, held.
SELECT row_to_json(d)::text FROM districts d WHERE code = %(code)s FOR UPDATE;

-- name: put_district
-- Add or rename a district.
INSERT INTO districts (code, name, name_en) VALUES (%(code)s, %(name)s, %(name_en)s)
ON CONFLICT (code) DO UPDATE SET name = excluded.name, name_en = excluded.name_en;

-- name: held_enterprise
-- An enterprise in scope with its version, held.
SELECT row_to_json(e)::text, version FROM enterprises e
 WHERE code = %(code)s AND tocsin_sees(code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
   FOR UPDATE;

-- name: add_enterprise
-- Add an enterprise, unless its code is taken.
INSERT INTO enterprises (code, name, name_en, trade, district, address, address_en, longitude, latitude, hours,
                         timezone, area_m2, built, wired, open_flame, flammables, people)
VALUES (%(code)s, %(name)s, %(name_en)s, %(trade)s, %(district)s, %(address)s, %(address_en)s, %(longitude)s,
        %(latitude)s, %(hours)s, %(timezone)s, %(area_m2)s, %(built)s, %(wired)s, %(open_flame)s, %(flammables)s,
        %(people)s)
ON CONFLICT (code) DO NOTHING;

-- name: set_enterprise
-- Replace what is known of an enterprise.
UPDATE enterprises
   SET name = %(name)s, name_en = %(name_en)s, trade = %(trade)s, district = %(district)s, address = %(address)s,
       address_en = %(address_en)s, longitude = %(longitude)s, latitude = %(latitude)s, hours = %(hours)s,
       timezone = %(timezone)s, area_m2 = %(area_m2)s, built = %(built)s, wired = %(wired)s,
       open_flame = %(open_flame)s, flammables = %(flammables)s, people = %(people)s, version = version + 1
 WHERE code = %(code)s;

-- name: enterprise_is_seen
-- Whether an enterprise is there, in scope.
SELECT true FROM enterprises
 WHERE code = %(code)s AND tocsin_sees(code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s);

-- name: keep_parts
-- Keep as changes what goes with an enterprise.
INSERT INTO registry_changes (who, what, enterprise, key, before)
SELECT %(who)s, 'zone', enterprise, zone, to_jsonb(z) FROM zones z WHERE enterprise = %(code)s
 UNION ALL
SELECT %(who)s, 'contact', enterprise, "order"::text, to_jsonb(c) - 'version' FROM contacts c WHERE enterprise = %(code)s;

-- name: remove_enterprise
-- Remove an enterprise with its zones and contacts.
DELETE FROM enterprises WHERE code = %(code)s;

-- name: count_devices
-- An enterprise's devices.
SELECT count(*) FROM devices WHERE enterprise = %(code)s;

-- name: held_zone
-- A zone, held.
SELECT row_to_json(z)::text FROM zones z WHERE enterprise = %(enterprise)s AND zone = %(zone)s FOR UPDATE;

-- name: put_zone
-- Add a zone or replace it.
INSERT INTO zones (enterprise, zone, name, name_en, floor)
VALUES (%(enterprise)s, %(zone)s, %(name)s, %(name_en)s, %(floor)s)
ON CONFLICT (enterprise, zone)
DO UPDATE SET name = excluded.name, name_en = excluded.name_en, floor = excluded.floor;

-- name: remove_zone
-- Remove a zone.
DELETE FROM zones WHERE enterprise = %(enterprise)s AND zone = %(zone)s;

-- name: count_in_zone
-- Devices that hang in a zone.
SELECT count(*) FROM devices WHERE enterprise = %(enterprise)s AND zone = %(zone)s;

-- name: held_contact
-- A contact, held.
SELECT row_to_json(c)::text FROM contacts c WHERE enterprise = %(enterprise)s AND "order" = %(order)s FOR UPDATE;

-- name: add_contact
-- Add a contact, unless its place is taken. Its id and version are made by the table.
INSERT INTO contacts (enterprise, "order", name, duty, phone, channels, language, hours, least)
VALUES (%(enterprise)s, %(order)s, %(name)s, %(duty)s, %(phone)s, %(channels)s, %(language)s, %(hours)s, %(least)s)
ON CONFLICT (enterprise, "order") DO NOTHING
RETURNING row_to_json(contacts)::text;

-- name: set_contact
-- Replace what is known of a contact; with another name and another number it is another person.
UPDATE contacts
   SET name = %(name)s, duty = %(duty)s, phone = %(phone)s, channels = %(channels)s, language = %(language)s,
       hours = %(hours)s, least = %(least)s
 WHERE enterprise = %(enterprise)s AND "order" = %(order)s
RETURNING row_to_json(contacts)::text;

-- name: swap_contacts
-- Two contacts take each other's place: everything but the place goes over, the id too.
UPDATE contacts c
   SET id = o.id, name = o.name, duty = o.duty, phone = o.phone, channels = o.channels, language = o.language,
       hours = o.hours, least = o.least
  FROM contacts o
 WHERE c.enterprise = %(enterprise)s AND o.enterprise = c.enterprise
   AND ((c."order" = %(one)s AND o."order" = %(other)s) OR (c."order" = %(other)s AND o."order" = %(one)s));

-- name: remove_contact
-- Remove a contact.
DELETE FROM contacts WHERE enterprise = %(enterprise)s AND "order" = %(order)s;

-- name: held_device
-- A device in scope, held.
SELECT facts::text, zone, name, name_en FROM devices
 WHERE enterprise = %(enterprise)s AND device = %(device)s
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
   FOR UPDATE;

-- name: place_device
-- Say where a device hangs and what it is called.
UPDATE devices SET zone = %(zone)s, name = %(name)s, name_en = %(name_en)s
 WHERE enterprise = %(enterprise)s AND device = %(device)s;

-- name: remove_device
-- Remove a device.
DELETE FROM devices WHERE enterprise = %(enterprise)s AND device = %(device)s;

-- name: remove_login
-- Remove a device's own login.
DELETE FROM logins WHERE id = %(enterprise)s || '/' || %(device)s;

-- name: in_scope
-- Whether an enterprise would be in scope.
SELECT tocsin_sees(%(enterprise)s, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s);

-- name: has_spoken
-- Whether a device has spoken.
SELECT true FROM device_sensors WHERE enterprise = %(enterprise)s AND device = %(device)s;

-- name: has_open_alarm
-- Whether a device has an alarm that is not over.
SELECT EXISTS (SELECT FROM alarms WHERE enterprise = %(enterprise)s AND device = %(device)s AND open);

-- name: trade_of
-- An enterprise's trade.
SELECT trade FROM enterprises WHERE code = %(enterprise)s;

-- name: facts_of_devices
-- The facts of an enterprise's devices, held.
SELECT facts::text FROM devices WHERE enterprise = %(code)s FOR UPDATE;

-- name: record_change
-- Keep a change.
INSERT INTO registry_changes (who, what, enterprise, key, before, after)
VALUES (%(who)s, %(what)s, %(enterprise)s, %(key)s, %(before)s::text::jsonb, %(after)s::text::jsonb);

-- name: list_changes
-- A page of changes, newest first.
SELECT jsonb_build_object('number', number, 'at', at, 'who', who, 'what', what, 'enterprise', enterprise, 'key', key,
                          'before', before, 'after', after)::text
  FROM registry_changes
 WHERE (%(enterprise)s::text IS NULL OR enterprise = %(enterprise)s)
   AND (%(before)s::bigint IS NULL OR number < %(before)s)
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
 ORDER BY number DESC LIMIT %(limit)s;

-- name: analyze
ANALYZE districts, enterprises, zones, contacts, devices

-- name: lock_registry
-- Nobody else changes what an import compares itself with; reading goes on.
LOCK TABLE districts, enterprises, zones, contacts, devices IN SHARE ROW EXCLUSIVE MODE;

-- name: clear_merged
-- What the file before left.
DROP TABLE IF EXISTS pg_temp.merged;

-- name: stage
-- Where an import puts the rows that it has read: file, number in it, key, and what it says.
CREATE TEMP TABLE staged (
    tab integer NOT NULL, number integer NOT NULL, enterprise text NOT NULL, key text NOT NULL, id bigint NOT NULL,
    body jsonb NOT NULL
) ON COMMIT DROP;

-- name: stage_rows
-- The rows themselves.
COPY staged (tab, number, enterprise, key, id, body) FROM STDIN;

-- name: stage_is_read
-- So that the planner knows how many there are.
ANALYZE staged;

-- name: unknown_districts
-- Rows whose district is not there.
SELECT number, body->>'district' FROM staged
 WHERE tab = %(tab)s AND body ? 'district' AND NOT EXISTS (SELECT FROM districts WHERE code = body->>'district')
 ORDER BY number;

-- name: unknown_enterprises
-- Rows whose enterprise is not there.
SELECT number, enterprise FROM staged
 WHERE tab = %(tab)s AND NOT EXISTS (SELECT FROM enterprises WHERE code = staged.enterprise) ORDER BY number;

-- name: unknown_zones
-- Devices whose zone is not there.
SELECT number, body->>'zone' FROM staged
 WHERE tab = %(tab)s AND body->>'zone' <> ''
   AND NOT EXISTS (SELECT FROM zones z WHERE z.enterprise = staged.enterprise AND z.zone = body->>'zone')
 ORDER BY number;

-- name: unstage
-- Rows that are refused.
DELETE FROM staged WHERE tab = %(tab)s AND number = ANY (%(numbers)s);

-- name: merge_districts
-- What there is and what there shall be.
CREATE TEMP TABLE merged ON COMMIT DROP AS
SELECT s.number, '' AS enterprise, s.key, s.id, to_jsonb(d) AS before,
       %(defaults)s::text::jsonb || coalesce(to_jsonb(d), '{}') || s.body AS after
  FROM staged s LEFT JOIN districts d ON d.code = s.key
 WHERE s.tab = %(tab)s;

-- name: merge_enterprises
-- What there is and what there shall be.
CREATE TEMP TABLE merged ON COMMIT DROP AS
SELECT s.number, s.key AS enterprise, s.key, s.id, to_jsonb(e) - 'version' - 'added_at' AS before,
       %(defaults)s::text::jsonb || coalesce(to_jsonb(e) - 'version' - 'added_at', '{}') || s.body AS after
  FROM staged s LEFT JOIN enterprises e ON e.code = s.key
 WHERE s.tab = %(tab)s;

-- name: merge_zones
-- What there is and what there shall be.
CREATE TEMP TABLE merged ON COMMIT DROP AS
SELECT s.number, s.enterprise, s.key, s.id, to_jsonb(z) AS before,
       %(defaults)s::text::jsonb || coalesce(to_jsonb(z), '{}') || s.body AS after
  FROM staged s LEFT JOIN zones z ON z.enterprise = s.enterprise AND z.zone = s.key
 WHERE s.tab = %(tab)s;

-- name: merge_contacts
-- What there is and what there shall be. A row means the contact with its id, or of its name and number, or at its place with one
-- of both; a contact leaves its place only when the file gives that to another. A row that means nobody is a new person.
CREATE TEMP TABLE merged ON COMMIT DROP AS
WITH said AS (
    SELECT number, enterprise, key, id, body, key::smallint AS place, nullif((body->>'id')::integer, 0) AS wish,
           body->>'name' AS name, body->>'phone' AS phone
      FROM staged WHERE tab = %(tab)s
), likely AS (
    SELECT s.number, s.enterprise, c.id AS contact, c."order" <> s.place AS moves,
           CASE WHEN c.id = s.wish THEN 1
                WHEN c.name = s.name AND c.phone = coalesce(s.phone, c.phone) THEN 2
                WHEN c."order" = s.place
                     AND (c.name = s.name OR (c.phone <> '' AND c.phone = coalesce(s.phone, c.phone))) THEN 3 END AS how
      FROM said s JOIN contacts c ON c.enterprise = s.enterprise
     WHERE (c.enterprise, c."order") IN (SELECT enterprise, place FROM said)
), meant AS (
    SELECT DISTINCT ON (enterprise, contact) number, enterprise, contact FROM (
        SELECT DISTINCT ON (number) * FROM likely WHERE how IS NOT NULL ORDER BY number, how, moves, contact) AS best
     ORDER BY enterprise, contact, how, moves, number
), known AS (
    SELECT s.*, coalesce(to_jsonb(c), CASE WHEN gone.enterprise IS NULL THEN to_jsonb(p) END) - 'version' AS before,
           coalesce(m.contact, CASE WHEN row_number() OVER (PARTITION BY s.enterprise, s.wish ORDER BY s.number) = 1
                                     AND taken.id IS NULL THEN s.wish END) AS contact
      FROM said s
      LEFT JOIN meant m ON m.number = s.number
      LEFT JOIN contacts c ON c.enterprise = m.enterprise AND c.id = m.contact
      LEFT JOIN contacts p ON p.enterprise = s.enterprise AND p."order" = s.place
      LEFT JOIN meant gone ON gone.enterprise = p.enterprise AND gone.contact = p.id
      LEFT JOIN contacts taken ON taken.enterprise = s.enterprise AND taken.id = s.wish
)
SELECT number, enterprise, key, id, before,
       %(defaults)s::text::jsonb || coalesce(before, '{}') || body || jsonb_build_object('id', coalesce(contact, 0)) AS after
  FROM known;

-- name: number_merged
-- The ids of those who are new.
UPDATE merged m SET after = m.after || jsonb_build_object('id', c.id)
  FROM contacts c
 WHERE c.enterprise = m.enterprise AND c."order" = m.key::smallint AND m.after->'id' <> to_jsonb(c.id);

-- name: merge_devices
-- What there is and what there shall be; the trade is the enterprise's where no other is said.
CREATE TEMP TABLE merged ON COMMIT DROP AS
SELECT number, enterprise, key, id, before,
       CASE WHEN after->>'trade' IS NULL THEN after || jsonb_build_object('trade', trade) ELSE after END AS after
  FROM (SELECT s.number, s.enterprise, s.key, s.id, e.trade, known AS before,
               %(defaults)s::text::jsonb || coalesce(known, '{}') || s.body AS after
          FROM staged s
          LEFT JOIN (SELECT enterprise, device, (facts - 'type') || jsonb_build_object(
                                'zone', zone, 'name', name, 'name_en', name_en) AS known
                       FROM devices) d ON d.enterprise = s.enterprise AND d.device = s.key
          LEFT JOIN enterprises e ON e.code = s.enterprise
         WHERE s.tab = %(tab)s) AS both_;

-- name: count_merged
-- How many are new, another than before, and the same.
SELECT count(*) FILTER (WHERE before IS NULL), count(*) FILTER (WHERE before <> after),
       count(*) FILTER (WHERE before = after)
  FROM merged;

-- name: keep_merged
-- Each change of an import.
INSERT INTO registry_changes (who, what, enterprise, key, before, after)
SELECT %(who)s, %(what)s, enterprise, key, before, after FROM merged
 WHERE before IS DISTINCT FROM after ORDER BY number;

-- name: apply_districts
-- Write what is new or another.
INSERT INTO districts SELECT r.* FROM merged, jsonb_populate_record(NULL::districts, after) r
 WHERE before IS DISTINCT FROM after
ON CONFLICT (code) DO UPDATE SET name = excluded.name, name_en = excluded.name_en;

-- name: apply_enterprises
-- Write what is new or another.
INSERT INTO enterprises (code, name, name_en, trade, district, address, address_en, longitude, latitude, hours,
                         timezone, area_m2, built, wired, open_flame, flammables, people)
SELECT r.code, r.name, r.name_en, r.trade, r.district, r.address, r.address_en, r.longitude, r.latitude, r.hours,
       r.timezone, r.area_m2, r.built, r.wired, r.open_flame, r.flammables, r.people
  FROM merged, jsonb_populate_record(NULL::enterprises, after) r WHERE before IS DISTINCT FROM after
ON CONFLICT (code) DO UPDATE
   SET name = excluded.name, name_en = excluded.name_en, trade = excluded.trade, district = excluded.district,
       address = excluded.address, address_en = excluded.address_en, longitude = excluded.longitude,
       latitude = excluded.latitude, hours = excluded.hours, timezone = excluded.timezone, area_m2 = excluded.area_m2,
       built = excluded.built, wired = excluded.wired, open_flame = excluded.open_flame,
       flammables = excluded.flammables, people = excluded.people, version = enterprises.version + 1;

-- name: apply_zones
-- Write what is new or another.
INSERT INTO zones SELECT r.* FROM merged, jsonb_populate_record(NULL::zones, after) r
 WHERE before IS DISTINCT FROM after
ON CONFLICT (enterprise, zone)
DO UPDATE SET name = excluded.name, name_en = excluded.name_en, floor = excluded.floor;

-- name: apply_contacts
-- Write what is new or another.
INSERT INTO contacts (enterprise, "order", name, duty, phone, channels, language, hours, least, id)
SELECT r.enterprise, r."order", r.name, r.duty, r.phone, r.channels, r.language, r.hours, r.least, r.id
  FROM merged, jsonb_populate_record(NULL::contacts, after) r
 WHERE before IS DISTINCT FROM after ORDER BY r.id = 0
ON CONFLICT (enterprise, "order")
DO UPDATE SET name = excluded.name, duty = excluded.duty, phone = excluded.phone, channels = excluded.channels,
              language = excluded.language, hours = excluded.hours, least = excluded.least, id = excluded.id;

-- name: apply_devices
-- Write what is new or another.
INSERT INTO devices (enterprise, device, id, facts, zone, name, name_en)
SELECT enterprise, key, id, (after - 'zone' - 'name' - 'name_en') || '{"type": "facts"}', after->>'zone',
       after->>'name', after->>'name_en'
  FROM merged WHERE before IS DISTINCT FROM after
ON CONFLICT (enterprise, device)
DO UPDATE SET facts = excluded.facts, zone = excluded.zone, name = excluded.name, name_en = excluded.name_en;

-- name: changed_facts
-- What the engine must hear of: facts of devices that are new or another.
SELECT (after - 'zone' - 'name' - 'name_en')::text FROM merged
 WHERE before IS NULL OR before - 'zone' - 'name' - 'name_en' <> after - 'zone' - 'name' - 'name_en' ORDER BY number;

-- name: new_devices
-- Devices that are new and have no login.
SELECT enterprise, key FROM merged
 WHERE before IS NULL AND NOT EXISTS (SELECT FROM logins WHERE id = enterprise || '/' || key) ORDER BY number;

-- name: keep_logins
-- That they get one.
INSERT INTO registry_changes (who, what, enterprise, key, after)
SELECT %(who)s, 'login', enterprise, enterprise || '/' || key, jsonb_build_object('id', enterprise || '/' || key)
  FROM merged
 WHERE before IS NULL AND NOT EXISTS (SELECT FROM logins WHERE id = enterprise || '/' || key) ORDER BY number;

-- name: follow_trades
-- Devices of which no other trade was said have their enterprise's.
UPDATE devices d SET facts = d.facts || jsonb_build_object('trade', m.after->>'trade')
  FROM merged m
 WHERE d.enterprise = m.key AND m.before->>'trade' IS DISTINCT FROM m.after->>'trade'
   AND (d.facts->>'trade' IS NULL OR d.facts->>'trade' = m.before->>'trade')
RETURNING (d.facts - 'type')::text;

-- name: tell_engine
-- Facts on their way into the log.
COPY control_outbox (body, partition) FROM STDIN;

-- name: new_logins
-- Logins of new devices.
COPY logins (id, secret_sha256) FROM STDIN;

-- name: new_grants
-- What they may do.
COPY grants (login, role, enterprise, device) FROM STDIN;
