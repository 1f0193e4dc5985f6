-- What people ask of the alarms and do about them. Every query names the scope of its viewer.

-- name: watched
-- Alarms with where they are and what people did about them, in the order of their keys.
SELECT a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body,
       e.name, e.name_en, e.district, e.address, e.address_en, d.zone, z.name, z.name_en, z.floor, d.name, d.name_en,
       (SELECT max(k.at_us) FROM acknowledgements k WHERE k.alarm = a.key AND k.step >= a.raised_step),
       (SELECT count(*) FROM comments c WHERE c.alarm = a.key),
       a.assigned_to, a.turned_out,
       (SELECT jsonb_agg(h ORDER BY h.planned_us, h.recipient) FROM (
            SELECT DISTINCT ON (n.recipient, n.channel) n.recipient, n.channel, n.status, n.planned_us, r.accepted_us,
                   r.delivered_us, r.answered_us,
                   CASE WHEN n.recipient LIKE 'contact:%%' THEN (
                       SELECT c."order" FROM contacts c
                       WHERE c.enterprise = n.enterprise AND c.id::text = substring(n.recipient FROM '[^:]*$')) END AS place
            FROM notification_alarms l JOIN notifications n ON n.id = l.notification
            CROSS JOIN LATERAL (
                SELECT max(at_us) FILTER (WHERE stamp = 'accepted') AS accepted_us,
                       max(at_us) FILTER (WHERE stamp = 'delivered') AS delivered_us,
                       max(at_us) FILTER (WHERE stamp = 'acknowledged') AS answered_us
                FROM receipts WHERE notification = n.id) AS r
            WHERE l.alarm = a.key AND l.part = 'warning' AND n.status <> 'dropped'
            ORDER BY n.recipient, n.channel, n.planned_us DESC) AS h)
FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS wanted (key, place)
JOIN alarms a ON a.key = wanted.key
LEFT JOIN enterprises e ON e.code = a.enterprise
LEFT JOIN devices d ON d.enterprise = a.enterprise AND d.device = a.device
LEFT JOIN zones z ON z.enterprise = a.enterprise AND z.zone = d.zone
WHERE tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
ORDER BY wanted.place

-- name: count_open
-- How many are open, by grade and whether acknowledged.
SELECT grade, acknowledged, count(*) FROM alarms a
WHERE open AND suppression <> 'suppressed_by_design'
  AND tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
GROUP BY grade, acknowledged

-- name: one_alarm
-- An alarm as it stands.
SELECT peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body FROM alarms a
WHERE key = %(key)s AND tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: one_alarm_held
-- The same, held until the transaction ends.
SELECT peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body FROM alarms a
WHERE key = %(key)s AND tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
FOR UPDATE

-- name: open_alarms
-- Keys of an enterprise's open alarms, worst first.
SELECT key FROM alarms a
WHERE enterprise = %(enterprise)s AND open
  AND tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
ORDER BY grade DESC, raised_us DESC, key DESC

-- name: put_acknowledgement
-- A person's act, once under its idempotency key.
INSERT INTO acknowledgements (alarm, step, by, contact, note, at_us, idempotency_key)
VALUES (%(alarm)s, %(step)s, %(by)s, %(contact)s, %(note)s, %(at_us)s, %(idempotency_key)s)
ON CONFLICT (idempotency_key) DO NOTHING RETURNING number

-- name: known_acknowledgement
-- What an idempotency key stands for.
SELECT alarm, step, by FROM acknowledgements WHERE idempotency_key = %(idempotency_key)s

-- name: acknowledge_alarm
-- The newest acknowledged step; an older one changes nothing.
UPDATE alarms SET acked_step = %(step)s, acked_by = %(by)s WHERE key = %(alarm)s AND acked_step < %(step)s

-- name: stamp_acknowledged
-- The receipts of every message that spoke of the alarm and was taken.
INSERT INTO receipts (notification, stamp, at_us, detail)
SELECT n.id, 'acknowledged', %(at_us)s, %(by)s FROM notifications n
JOIN notification_alarms l ON l.notification = n.id
WHERE l.alarm = %(alarm)s AND l.part = 'warning' AND l.step <= %(step)s AND n.status = 'accepted'
ON CONFLICT DO NOTHING

-- name: put_comment
-- Words about an alarm, once under their idempotency key.
INSERT INTO comments (alarm, by, text, at_us, idempotency_key)
VALUES (%(alarm)s, %(by)s, %(text)s, %(at_us)s, %(idempotency_key)s)
ON CONFLICT (idempotency_key) DO NOTHING RETURNING number

-- name: known_comment
-- What stands under an idempotency key.
SELECT number, by, text, at_us, alarm FROM comments WHERE idempotency_key = %(idempotency_key)s

-- name: put_assignment
-- Who is to see to an alarm, once under its idempotency key.
INSERT INTO assignments (alarm, "to", by, at_us, idempotency_key)
VALUES (%(alarm)s, %(to)s, %(by)s, %(at_us)s, %(idempotency_key)s)
ON CONFLICT (idempotency_key) DO NOTHING RETURNING number

-- name: stand_assignment
-- It stands with the alarm.
UPDATE alarms SET assigned_to = %(to)s WHERE key = %(alarm)s

-- name: known_assignment
-- What stands under an idempotency key.
SELECT number, "to", by, at_us, alarm FROM assignments WHERE idempotency_key = %(idempotency_key)s

-- name: put_verdict
-- What an alarm turned out to be, once under its idempotency key.
INSERT INTO verdicts (alarm, step, verdict, note, by, at_us, idempotency_key)
VALUES (%(alarm)s, %(step)s, %(verdict)s, %(note)s, %(by)s, %(at_us)s, %(idempotency_key)s)
ON CONFLICT (idempotency_key) DO NOTHING RETURNING number

-- name: stand_verdict
-- It stands with the alarm.
UPDATE alarms SET verdict = %(verdict)s, verdict_step = %(step)s WHERE key = %(alarm)s

-- name: known_verdict
-- What stands under an idempotency key.
SELECT number, step, verdict, note, by, at_us, alarm FROM verdicts WHERE idempotency_key = %(idempotency_key)s

-- name: assignees
-- To whom an alarm of an enterprise may be given.
SELECT login, name, role FROM tocsin_assignees(%(enterprise)s)

-- name: events_of
-- Every step of an alarm.
SELECT body FROM alarm_events WHERE key = %(key)s ORDER BY step

-- name: decisions_of
-- Why each step, and each rung of its ladder, told whom it told.
SELECT step, at_us, told, reason FROM decisions WHERE alarm = %(key)s
UNION ALL SELECT step, at_us, told, reason FROM rungs WHERE alarm = %(key)s ORDER BY at_us, step

-- name: acknowledgements_of
-- Who took notice of an alarm.
SELECT number, step, by, note, at_us, contact FROM acknowledgements WHERE alarm = %(key)s ORDER BY number

-- name: comments_of
-- What was said about an alarm.
SELECT number, by, text, at_us FROM comments WHERE alarm = %(key)s ORDER BY number

-- name: assignments_of
-- Who had an alarm, in order.
SELECT number, "to", by, at_us FROM assignments WHERE alarm = %(key)s ORDER BY number

-- name: verdicts_of
-- What an alarm was said to be, in order.
SELECT number, step, verdict, note, by, at_us FROM verdicts WHERE alarm = %(key)s ORDER BY number

-- name: ledger_of
-- The messages that spoke of an alarm, with their attempts and receipts.
SELECT n.id, n.recipient, n.channel, n.at_once, n.status, n.reason, n.planned_us, n.queued_us, n.overdue, n.body,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('number', t.number, 'started_us', t.started_us,
                   'finished_us', t.finished_us, 'outcome', t.outcome, 'detail', t.detail) ORDER BY t.number), '[]')
        FROM attempts t WHERE t.notification = n.id),
       (SELECT coalesce(jsonb_agg(jsonb_build_object('stamp', r.stamp, 'at_us', r.at_us, 'detail', r.detail)
                   ORDER BY r.at_us, array_position(
                       ARRAY['sent', 'accepted', 'delivered', 'acknowledged', 'overdue'], r.stamp)), '[]')
        FROM receipts r WHERE r.notification = n.id)
FROM notifications n
WHERE n.id IN (SELECT notification FROM notification_alarms WHERE alarm = %(key)s)
ORDER BY n.planned_us, n.id

-- name: ask_reset
-- A person asks the engine to reset an alarm, once under the idempotency key.
INSERT INTO commands (key, action, alarm_key, seen_step, asked_by, reason, partition)
SELECT %(key)s, 'reset', %(alarm)s, %(step)s, %(by)s, %(note)s, partition FROM alarms WHERE key = %(alarm)s
ON CONFLICT (key) DO NOTHING

-- name: one_command
-- What became of it; `accepted` is null until the engine has judged.
SELECT c.alarm_key, c.seen_step, c.asked_by, c.accepted, c.answer FROM commands c
JOIN alarms a ON a.key = c.alarm_key
WHERE c.key = %(key)s AND tocsin_sees(a.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: commands_of
-- What people asked of the engine about an alarm.
SELECT key, action, seen_step, asked_by, accepted, coalesce(answer, ''), (extract(epoch FROM asked_at) * 1e6)::bigint
FROM commands WHERE alarm_key = %(key)s ORDER BY asked_at
