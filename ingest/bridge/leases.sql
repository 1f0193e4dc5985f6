-- name: begin
INSERT INTO bridges (name, run) VALUES (%(bridge)s, %(run)s)
    ON CONFLICT (name) DO UPDATE SET run = excluded.run, seen_at = clock_timestamp()

-- name: beat
UPDATE bridges SET seen_at = clock_timestamp() WHERE name = %(bridge)s AND run = %(run)s

-- name: again
INSERT INTO bridges (name, run) VALUES (%(bridge)s, %(run)s) ON CONFLICT (name) DO NOTHING

-- name: bury
DELETE FROM bridges WHERE seen_at < clock_timestamp() - make_interval(secs => %(lease_s)s) RETURNING name

-- name: take_own
INSERT INTO bridge_sessions (broker, client_id, share_group, bridge)
    VALUES (%(broker)s, %(own)s, %(share_group)s, %(bridge)s)
    ON CONFLICT (broker, client_id) DO UPDATE SET bridge = excluded.bridge WHERE bridge_sessions.bridge <> excluded.bridge

-- name: take_common
INSERT INTO bridge_sessions (broker, client_id, share_group, bridge)
    VALUES (%(broker)s, %(common)s, %(share_group)s, %(bridge)s) ON CONFLICT (broker, client_id) DO NOTHING

-- name: adopt
UPDATE bridge_sessions SET bridge = %(bridge)s
    WHERE broker = %(broker)s AND share_group = %(share_group)s AND bridge NOT IN (SELECT name FROM bridges)
    RETURNING client_id

-- name: held
SELECT client_id FROM bridge_sessions WHERE broker = %(broker)s AND bridge = %(bridge)s ORDER BY client_id

-- name: drained
DELETE FROM bridge_sessions
    WHERE broker = %(broker)s AND client_id = ANY(%(client_ids)s) AND bridge = %(bridge)s

-- name: leave
DELETE FROM bridges WHERE name = %(bridge)s AND run = %(run)s
