-- `door` is the door that asks; {whose} stands for the rows that it asks for.

-- name: sessions
-- Sessions that outlive their connection.
SELECT principal, client_id, expiry_s, ended_us FROM mqtt_sessions WHERE {whose};

-- name: subscriptions
-- What they have subscribed to.
SELECT principal, client_id, filter, qos, no_local, retain_as_published FROM mqtt_subscriptions
 WHERE (principal, client_id) IN (SELECT principal, client_id FROM mqtt_sessions WHERE {whose});

-- name: ids
-- QoS 2 ids that were not released.
SELECT principal, client_id, packet_id FROM mqtt_ids
 WHERE (principal, client_id) IN (SELECT principal, client_id FROM mqtt_sessions WHERE {whose});

-- name: queue
-- Messages on their way to clients, oldest first.
SELECT principal, client_id, number, topic, payload, retain FROM mqtt_queue
 WHERE (principal, client_id) IN (SELECT principal, client_id FROM mqtt_sessions WHERE {whose})
 ORDER BY principal, client_id, number;

-- name: wills
-- Wills that were not published.
SELECT principal, client_id, topic, payload, qos, retain, delay_s, keep_alive_s, came_us FROM mqtt_wills WHERE {whose};

-- name: retained
-- The last retained message of each topic.
SELECT topic, payload, qos FROM mqtt_retained;

-- name: retained_statuses
-- Those of devices below a level, or of one topic.
SELECT topic, payload, qos FROM mqtt_retained
 WHERE topic >= %(low)s AND topic <= %(high)s AND topic LIKE '%%/status' ORDER BY topic LIMIT %(most)s;

-- name: SessionBegun
-- A new session, in the place of any other.
INSERT INTO mqtt_sessions (principal, client_id, expiry_s, ended_us, door)
VALUES (%(principal)s, %(client_id)s, %(expiry_s)s, NULL, %(door)s)
ON CONFLICT (principal, client_id) DO UPDATE
   SET expiry_s = excluded.expiry_s, ended_us = excluded.ended_us, door = excluded.door;

-- name: SessionKept
-- A client has come back, or gone and may return.
UPDATE mqtt_sessions SET expiry_s = %(expiry_s)s, ended_us = %(ended_us)s
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND door = %(door)s;

-- name: SessionGone
-- A session has ended, and with it what hangs on it.
DELETE FROM mqtt_sessions
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND (door = %(door)s OR NOT %(is_ours)s);

-- name: SessionMoved
-- It is left to another door.
UPDATE mqtt_sessions SET door = %(to)s
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND door = %(door)s;

-- name: SubscriptionKept
-- A subscription, new or replaced.
INSERT INTO mqtt_subscriptions (principal, client_id, filter, qos, no_local, retain_as_published)
SELECT principal, client_id, %(filter)s, %(qos)s, %(no_local)s, %(retain_as_published)s
  FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s AND door = %(door)s
ON CONFLICT (principal, client_id, filter) DO UPDATE
   SET qos = excluded.qos, no_local = excluded.no_local, retain_as_published = excluded.retain_as_published;

-- name: SubscriptionGone
-- An unsubscription.
DELETE FROM mqtt_subscriptions AS o
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND filter = %(filter)s
   AND EXISTS (SELECT FROM mqtt_sessions AS s
                WHERE s.principal = o.principal AND s.client_id = o.client_id AND s.door = %(door)s);

-- name: ClientCame
-- A client has connected without a will: that of its last connection is not wanted, whichever door has it. One that
-- it has brought to another door since stays: we are late.
DELETE FROM mqtt_wills
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND NOT %(has_will)s
   AND (door = %(door)s OR came_us <= %(at_us)s);

-- name: WillKept
-- The will of a client that has connected, unless another door has one of a later connection. A door's own come in order,
-- whatever its clock does.
INSERT INTO mqtt_wills AS o (principal, client_id, topic, payload, qos, retain, delay_s, keep_alive_s, came_us, door)
VALUES (%(principal)s, %(client_id)s, %(topic)s, %(payload)s, %(qos)s, %(retain)s, %(delay_s)s, %(keep_alive_s)s,
        %(came_us)s, %(door)s)
ON CONFLICT (principal, client_id) DO UPDATE
   SET topic = excluded.topic, payload = excluded.payload, qos = excluded.qos, retain = excluded.retain,
       delay_s = excluded.delay_s, keep_alive_s = excluded.keep_alive_s, came_us = excluded.came_us,
       door = excluded.door
 WHERE o.door = excluded.door OR o.came_us <= excluded.came_us;

-- name: WillGone
-- Published, or no longer wanted.
DELETE FROM mqtt_wills WHERE principal = %(principal)s AND client_id = %(client_id)s AND door = %(door)s;

-- name: Retained
-- A retained message takes the place of the one before.
INSERT INTO mqtt_retained (topic, payload, qos) VALUES (%(topic)s, %(payload)s, %(qos)s)
ON CONFLICT (topic) DO UPDATE SET payload = excluded.payload, qos = excluded.qos;

-- name: RetainedGone
-- An empty message deletes the retained one.
DELETE FROM mqtt_retained WHERE topic = %(topic)s;

-- name: IdStored
-- A QoS 2 message was taken under this id.
INSERT INTO mqtt_ids (principal, client_id, packet_id)
SELECT principal, client_id, %(packet_id)s
  FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s AND door = %(door)s
ON CONFLICT DO NOTHING;

-- name: IdReleased
-- The client has released the id.
DELETE FROM mqtt_ids AS o
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND packet_id = %(packet_id)s
   AND EXISTS (SELECT FROM mqtt_sessions AS s
                WHERE s.principal = o.principal AND s.client_id = o.client_id AND s.door = %(door)s);

-- name: Queued
-- A message waits for a client.
INSERT INTO mqtt_queue (principal, client_id, number, topic, payload, retain)
SELECT principal, client_id, %(number)s, %(topic)s, %(payload)s, %(retain)s
  FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s AND door = %(door)s
ON CONFLICT DO NOTHING;

-- name: Delivered
-- The client has acknowledged it, or it was dropped.
DELETE FROM mqtt_queue AS o
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND number = %(number)s
   AND EXISTS (SELECT FROM mqtt_sessions AS s
                WHERE s.principal = o.principal AND s.client_id = o.client_id AND s.door = %(door)s);

-- name: own_all
-- One process has no doors beside it: what any has left is its.
WITH sessions AS (UPDATE mqtt_sessions SET door = %(door)s WHERE door <> %(door)s)
UPDATE mqtt_wills SET door = %(door)s WHERE door <> %(door)s;
