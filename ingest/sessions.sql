-- name: sessions
-- All sessions that outlive their connection.
SELECT principal, client_id, expiry_s, ended_us FROM mqtt_sessions;

-- name: subscriptions
-- What they have subscribed to.
SELECT principal, client_id, filter, qos, no_local, retain_as_published FROM mqtt_subscriptions;

-- name: ids
-- QoS 2 ids that were not released.
SELECT principal, client_id, packet_id FROM mqtt_ids;

-- name: queue
-- Messages on their way to clients, oldest first.
SELECT principal, client_id, number, topic, payload, retain FROM mqtt_queue ORDER BY principal, client_id, number;

-- name: wills
-- Wills that were not published.
SELECT principal, client_id, topic, payload, qos, retain, delay_s, keep_alive_s FROM mqtt_wills;

-- name: retained
-- The last retained message of each topic.
SELECT topic, payload, qos FROM mqtt_retained;

-- name: SessionKept
-- A client has come, or gone and may return.
INSERT INTO mqtt_sessions (principal, client_id, expiry_s, ended_us)
VALUES (%(principal)s, %(client_id)s, %(expiry_s)s, %(ended_us)s)
ON CONFLICT (principal, client_id) DO UPDATE SET expiry_s = excluded.expiry_s, ended_us = excluded.ended_us;

-- name: SessionGone
-- A session has ended, and with it what hangs on it.
DELETE FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s;

-- name: SubscriptionKept
-- A subscription, new or replaced.
INSERT INTO mqtt_subscriptions (principal, client_id, filter, qos, no_local, retain_as_published)
SELECT principal, client_id, %(filter)s, %(qos)s, %(no_local)s, %(retain_as_published)s
  FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s
ON CONFLICT (principal, client_id, filter) DO UPDATE
   SET qos = excluded.qos, no_local = excluded.no_local, retain_as_published = excluded.retain_as_published;

-- name: SubscriptionGone
-- An unsubscription.
DELETE FROM mqtt_subscriptions
 WHERE principal = %(principal)s AND client_id = %(client_id)s AND filter = %(filter)s;

-- name: WillKept
-- The will of a client that has connected.
INSERT INTO mqtt_wills (principal, client_id, topic, payload, qos, retain, delay_s, keep_alive_s)
VALUES (%(principal)s, %(client_id)s, %(topic)s, %(payload)s, %(qos)s, %(retain)s, %(delay_s)s, %(keep_alive_s)s)
ON CONFLICT (principal, client_id) DO UPDATE
   SET topic = excluded.topic, payload = excluded.payload, qos = excluded.qos, retain = excluded.retain,
       delay_s = excluded.delay_s, keep_alive_s = excluded.keep_alive_s;

-- name: WillGone
-- Published, or no longer wanted.
DELETE FROM mqtt_wills WHERE principal = %(principal)s AND client_id = %(client_id)s;

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
  FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s
ON CONFLICT DO NOTHING;

-- name: IdReleased
-- The client has released the id.
DELETE FROM mqtt_ids WHERE principal = %(principal)s AND client_id = %(client_id)s AND packet_id = %(packet_id)s;

-- name: Queued
-- A message waits for a client.
INSERT INTO mqtt_queue (principal, client_id, number, topic, payload, retain)
SELECT principal, client_id, %(number)s, %(topic)s, %(payload)s, %(retain)s
  FROM mqtt_sessions WHERE principal = %(principal)s AND client_id = %(client_id)s
ON CONFLICT DO NOTHING;

-- name: Delivered
-- The client has acknowledged it, or it was dropped.
DELETE FROM mqtt_queue WHERE principal = %(principal)s AND client_id = %(client_id)s AND number = %(number)s;
