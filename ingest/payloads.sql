-- What people ask about payloads and devices (ingest/payloads.py). Each statement names the viewer's scope itself.

-- name: list
-- A page of refused messages, newest first.
SELECT arrival_us, source, enterprise, device, topic, client, octet_length(payload), rejects::text, asked_at, asked_by,
       tries, tried_at, replayed_at
  FROM quarantine
 WHERE (arrival_us, source) < (%(before_us)s, %(before_source)s)
   AND (%(waiting)s::boolean IS NULL OR (replayed_at IS NULL) = %(waiting)s)
   AND (%(enterprise)s = '' OR enterprise = %(enterprise)s) AND (%(device)s = '' OR device = %(device)s)
   AND (%(rejects)s::text IS NULL OR rejects @> %(rejects)s::text::jsonb)
   AND arrival_us >= %(since_us)s AND arrival_us < %(until_us)s
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
 ORDER BY arrival_us DESC, source DESC LIMIT %(limit)s

-- name: show
-- One refused message, with the head of its payload.
SELECT arrival_us, source, enterprise, device, topic, client, octet_length(payload), rejects::text, asked_at, asked_by,
       tries, tried_at, replayed_at, substring(payload FROM 1 FOR 4096)
  FROM quarantine
 WHERE (arrival_us, source) = (%(arrival_us)s, %(source)s)
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: last_refused
-- A device's last refused message, with the head of its payload.
SELECT arrival_us, source, enterprise, device, topic, client, octet_length(payload), rejects::text, asked_at, asked_by,
       tries, tried_at, replayed_at, substring(payload FROM 1 FOR 4096)
  FROM quarantine
 WHERE enterprise = %(enterprise)s AND device = %(device)s
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
 ORDER BY arrival_us DESC, source DESC LIMIT 1

-- name: count_waiting
-- How many refused messages of a device nobody has replayed.
SELECT count(*) FROM quarantine
 WHERE enterprise = %(enterprise)s AND device = %(device)s AND replayed_at IS NULL
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: ask_wanted
-- Ask for a replay of all that is wanted and whole; how many messages, by enterprise.
WITH wanted AS (
    SELECT arrival_us, source FROM quarantine
     WHERE replayed_at IS NULL
       AND (%(enterprise)s = '' OR enterprise = %(enterprise)s) AND (%(device)s = '' OR device = %(device)s)
       AND (%(rejects)s::text IS NULL OR rejects @> %(rejects)s::text::jsonb)
       AND arrival_us >= %(since_us)s AND arrival_us < %(until_us)s
       AND NOT rejects @> '[{"code": "too_large", "field": ""}]'
       AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
     ORDER BY arrival_us, source LIMIT %(limit)s FOR UPDATE
), asked AS (
    UPDATE quarantine AS q SET asked_at = clock_timestamp(), asked_by = %(by)s, mend = %(mend)s::text::jsonb
      FROM wanted WHERE (q.arrival_us, q.source) = (wanted.arrival_us, wanted.source)
    RETURNING q.enterprise
)
SELECT enterprise, count(*) FROM asked GROUP BY enterprise ORDER BY enterprise

-- name: ask_named
-- Ask for a replay of the messages named, as far as they are whole; how many messages, by enterprise.
WITH asked AS (
    UPDATE quarantine SET asked_at = clock_timestamp(), asked_by = %(by)s, mend = %(mend)s::text::jsonb
     WHERE (arrival_us, source) IN (SELECT * FROM unnest(%(arrivals)s::bigint[], %(sources)s::text[]))
       AND replayed_at IS NULL AND NOT rejects @> '[{"code": "too_large", "field": ""}]'
       AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
    RETURNING enterprise
)
SELECT enterprise, count(*) FROM asked GROUP BY enterprise ORDER BY enterprise

-- name: asked
-- How many messages were asked for and are not tried yet.
SELECT count(*) FROM quarantine
 WHERE asked_at IS NOT NULL AND replayed_at IS NULL
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: device
-- What registry and store know of one device.
SELECT coalesce(s.sensors, '{}'), s.heard_at, d.device IS NOT NULL, coalesce(d.name, ''), coalesce(d.name_en, ''),
       coalesce(d.zone, ''), coalesce((d.facts->>'out_of_service')::boolean, false)
  FROM (SELECT * FROM device_sensors WHERE enterprise = %(enterprise)s AND device = %(device)s) AS s
  FULL JOIN (SELECT * FROM devices WHERE enterprise = %(enterprise)s AND device = %(device)s) AS d
       USING (enterprise, device)
 WHERE tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: last_values
-- Saved newest readings of sensors, some minutes behind.
SELECT sensor_id, event_time, value, quality FROM last_values WHERE sensor_id = ANY (%(ids)s)

-- name: devices
-- A page of devices by name, of the registry and of those that were heard only.
WITH keys AS (
    (SELECT enterprise, device FROM devices
      WHERE (enterprise, device) > (%(after_enterprise)s, %(after_device)s)
        AND (%(enterprise)s = '' OR enterprise = %(enterprise)s)
        AND (%(text)s = '' OR strpos(lower(device || ' ' || name || ' ' || name_en), lower(%(text)s)) > 0)
        AND coalesce(%(registered)s::boolean, true)
        AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
      ORDER BY enterprise, device LIMIT %(limit)s)
     UNION
    (SELECT enterprise, device FROM device_sensors AS s
      WHERE (enterprise, device) > (%(after_enterprise)s, %(after_device)s)
        AND (%(enterprise)s = '' OR enterprise = %(enterprise)s)
        AND (%(text)s = '' OR strpos(lower(device), lower(%(text)s)) > 0)
        AND NOT coalesce(%(registered)s::boolean, false)
        AND NOT EXISTS (SELECT FROM devices AS d WHERE (d.enterprise, d.device) = (s.enterprise, s.device))
        AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
      ORDER BY enterprise, device LIMIT %(limit)s)
), page AS (SELECT * FROM keys ORDER BY enterprise, device LIMIT %(limit)s)
SELECT enterprise, device, d.device IS NOT NULL, coalesce(d.name, ''), coalesce(d.name_en, ''), coalesce(d.zone, ''),
       coalesce((d.facts->>'out_of_service')::boolean, false), s.heard_at, coalesce(s.sensors, '{}'),
       (SELECT count(*) FROM quarantine AS q
         WHERE (q.enterprise, q.device) = (page.enterprise, page.device) AND replayed_at IS NULL),
       a.is_silent, a.worst
  FROM page
  LEFT JOIN devices AS d USING (enterprise, device)
  LEFT JOIN device_sensors AS s USING (enterprise, device),
       LATERAL (SELECT coalesce(bool_or(kind = 'silence'), false) AS is_silent, coalesce(max(grade), 0) AS worst
                  FROM alarms AS o
                 WHERE open AND (o.enterprise, o.device) = (page.enterprise, page.device)) AS a
 ORDER BY enterprise, device

-- name: silent
-- A page of devices whose silence is an open alarm, worst and longest first.
SELECT enterprise, device, a.key, a.grade, (a.body->>'onset_us')::bigint, a.raised_us, a.acknowledged,
       coalesce(d.name, ''), coalesce(d.name_en, ''), coalesce(d.zone, '')
  FROM alarms AS a LEFT JOIN devices AS d USING (enterprise, device)
 WHERE a.open AND a.active AND a.kind = 'silence' AND (%(enterprise)s = '' OR enterprise = %(enterprise)s)
   AND (-a.grade, a.raised_us, a.key) > (-%(at_grade)s::int, %(at_us)s::bigint, %(at_key)s)
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
 ORDER BY a.grade DESC, a.raised_us, a.key LIMIT %(limit)s

-- name: silent_device
-- The silence of one device.
SELECT enterprise, device, a.key, a.grade, (a.body->>'onset_us')::bigint, a.raised_us, a.acknowledged,
       coalesce(d.name, ''), coalesce(d.name_en, ''), coalesce(d.zone, '')
  FROM alarms AS a LEFT JOIN devices AS d USING (enterprise, device)
 WHERE a.open AND a.active AND a.kind = 'silence' AND enterprise = %(enterprise)s AND device = %(device)s
   AND tocsin_sees(enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
 ORDER BY a.grade DESC LIMIT 1
