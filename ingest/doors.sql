-- name: begin
-- A door starts, or starts again, under its name.
INSERT INTO doors (name, run) VALUES (%(door)s, %(run)s)
ON CONFLICT (name) DO UPDATE SET run = excluded.run, seen_at = clock_timestamp();

-- name: beat
UPDATE doors SET seen_at = clock_timestamp() WHERE name = %(door)s AND run = %(run)s;

-- name: again
-- We were taken for dead. Nothing is inserted when another runs under our name.
INSERT INTO doors (name, run) VALUES (%(door)s, %(run)s) ON CONFLICT (name) DO NOTHING;

-- name: bury
-- Who deletes the row of a dead door takes up what was its, in the same transaction.
DELETE FROM doors WHERE name <> %(door)s AND seen_at < clock_timestamp() - make_interval(secs => %(lease_s)s)
RETURNING name;

-- name: adopt_sessions
UPDATE mqtt_sessions SET door = %(door)s WHERE door = ANY(%(dead)s)
RETURNING principal, client_id, expiry_s, ended_us;

-- name: adopt_wills
UPDATE mqtt_wills SET door = %(door)s WHERE door = ANY(%(dead)s)
RETURNING principal, client_id, topic, payload, qos, retain, delay_s, keep_alive_s, came_us;

-- name: claim
-- Sessions that are asked for and that nobody alive has; or whoever has them, by force.
UPDATE mqtt_sessions AS s SET door = %(door)s
  FROM unnest(%(principals)s::text[], %(client_ids)s::text[]) AS asked (principal, client_id)
 WHERE s.principal = asked.principal AND s.client_id = asked.client_id
   AND (s.door IN (%(door)s, '') OR %(by_force)s OR NOT EXISTS (
        SELECT FROM doors AS d WHERE d.name = s.door AND (
            %(all_live)s OR d.seen_at >= clock_timestamp() - make_interval(secs => %(lease_s)s))))
RETURNING s.principal, s.client_id, s.expiry_s, s.ended_us;

-- name: holders
-- Who has the sessions that are asked for.
SELECT s.principal, s.client_id, s.door FROM mqtt_sessions AS s
  JOIN unnest(%(principals)s::text[], %(client_ids)s::text[]) AS asked (principal, client_id)
       USING (principal, client_id);

-- name: owned
SELECT principal, client_id, true AS is_session FROM mqtt_sessions WHERE door = %(door)s
UNION ALL SELECT principal, client_id, false FROM mqtt_wills WHERE door = %(door)s;

-- name: tell
SELECT pg_notify(%(channel)s, %(payload)s);
