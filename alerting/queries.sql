-- What the desk and the outbox ask of alerting's tables; what people ask is in `people.sql`.

-- name: make_position
-- A consumer's first place.
INSERT INTO positions (consumer, partition) VALUES (%(consumer)s, %(partition)s) ON CONFLICT DO NOTHING

-- name: load_position
-- How far a consumer has come.
SELECT position FROM positions WHERE consumer = %(consumer)s AND partition = %(partition)s

-- name: hold_position
-- The same, held until the transaction ends, so that the fence is checked before anything is written.
SELECT position FROM positions WHERE consumer = %(consumer)s AND partition = %(partition)s FOR UPDATE

-- name: events_after
-- Alarm events by position, each with its alarm as it stands.
SELECT e.seq, (extract(epoch FROM e.judged_at) * 1e6)::bigint, e.body,
       a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body
FROM alarm_events e LEFT JOIN alarms a ON a.key = e.key
WHERE e.partition = %(partition)s AND e.seq > %(after)s
ORDER BY e.seq LIMIT %(limit)s

-- name: whereabouts
-- What the registry knows of the enterprises and devices of the next events, or of those that are named.
SELECT * FROM tocsin_around(%(partition)s, %(after)s, %(limit)s, %(enterprises)s, %(devices)s)

-- name: suppressed_devices
-- Devices with open alarms that were not announced.
SELECT DISTINCT enterprise, device FROM alarms
WHERE open AND partition = %(partition)s AND suppression NOT IN ('none', 'suppressed_by_design')

-- name: suppressed_alarms
-- Open alarms of some devices that were not announced, worst first.
SELECT a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body
FROM alarms a JOIN unnest(%(enterprises)s::text[], %(devices)s::text[]) AS x (enterprise, device)
  ON a.enterprise = x.enterprise AND a.device = x.device
WHERE a.open AND a.partition = %(partition)s AND a.suppression NOT IN ('none', 'suppressed_by_design')
ORDER BY a.grade DESC, a.key LIMIT %(limit)s

-- name: events_to_hand_on
-- Alarm events after a position, for one who follows the desk.
SELECT e.seq, e.enterprise, e.body FROM alarm_events e
WHERE e.partition = %(partition)s AND e.seq > %(after)s
  AND e.seq <= (SELECT position FROM positions WHERE consumer = %(leader)s AND partition = %(partition)s)
ORDER BY e.seq LIMIT %(limit)s

-- name: move_position
-- For one who holds it.
UPDATE positions SET position = %(new)s WHERE consumer = %(consumer)s AND partition = %(partition)s

-- name: move_position_from
-- For one who does not: unless another has moved it.
UPDATE positions SET position = %(new)s
WHERE consumer = %(consumer)s AND partition = %(partition)s AND position = %(old)s
RETURNING position

-- name: record_turn
-- A turn of the desk in one statement (six cost four times as much): the alarms with the engine's facts and who has been
-- told (what people did is not touched), the decisions, and the messages that go at once. These are recorded with their
-- first attempt already started, so that one commit precedes the send; what they say leaves the bundles.
WITH alarm AS (
    SELECT * FROM jsonb_to_recordset(%(alarms)s::jsonb) AS x (
        key text, partition integer, enterprise text, device text, kind text, state text, grade smallint, peak smallint,
        step integer, raised_step integer, raised_us bigint, active boolean, latched boolean, suppression text,
        told text[], body jsonb)
), decision AS (
    SELECT * FROM jsonb_to_recordset(%(decisions)s::jsonb) AS x (alarm text, step integer, told text[], reason text)
), message AS (
    SELECT * FROM jsonb_to_recordset(%(messages)s::jsonb) AS x (
        id text, enterprise text, recipient text, channel text, reason text, deadline_us bigint, alarm text,
        step integer, part text, body jsonb)
), ladder AS (
    SELECT * FROM jsonb_to_recordset(%(ladders)s::jsonb) AS x (
        alarm text, enterprise text, step integer, grade smallint, called text[], called_us bigint, due_us bigint)
), put_ladders AS (
    INSERT INTO ladders (alarm, partition, enterprise, step, grade, called, called_us, due_us)
    SELECT alarm, %(partition)s, enterprise, step, grade, called, called_us, due_us FROM ladder
    ON CONFLICT (alarm) DO UPDATE SET
        step = EXCLUDED.step, grade = EXCLUDED.grade, called = EXCLUDED.called, called_us = EXCLUDED.called_us,
        due_us = EXCLUDED.due_us, unreached = false
), put_alarms AS (
    INSERT INTO alarms (key, partition, enterprise, device, kind, state, grade, peak, step, raised_step, raised_us,
                        active, latched, suppression, told, body)
    SELECT key, partition, enterprise, device, kind, state, grade, peak, step, raised_step, raised_us, active, latched,
           suppression, told, body FROM alarm
    ON CONFLICT (key) DO UPDATE SET
        state = EXCLUDED.state, grade = EXCLUDED.grade, peak = EXCLUDED.peak, step = EXCLUDED.step,
        raised_step = EXCLUDED.raised_step, raised_us = EXCLUDED.raised_us, active = EXCLUDED.active,
        latched = EXCLUDED.latched, suppression = EXCLUDED.suppression, told = EXCLUDED.told, body = EXCLUDED.body
), put_decisions AS (
    INSERT INTO decisions (alarm, step, at_us, told, reason)
    SELECT alarm, step, %(now_us)s, told, reason FROM decision
    ON CONFLICT (alarm, step) DO UPDATE SET at_us = EXCLUDED.at_us, told = EXCLUDED.told, reason = EXCLUDED.reason
), put_messages AS (
    INSERT INTO notifications (id, partition, enterprise, recipient, channel, at_once, status, reason, planned_us,
                               queued_us, due_us, deadline_us, attempts, body)
    SELECT id, %(partition)s, enterprise, recipient, channel, true, 'sending', reason, %(now_us)s, %(now_us)s,
           %(now_us)s, deadline_us, 1, body FROM message
), start_attempts AS (
    INSERT INTO attempts (notification, number, started_us) SELECT id, 1, %(now_us)s FROM message
), put_lines AS (
    INSERT INTO notification_alarms (notification, alarm, step, part) SELECT id, alarm, step, part FROM message
)
DELETE FROM notification_alarms l USING notifications n, message m
WHERE n.id = l.notification AND n.enterprise = m.enterprise AND n.recipient = m.recipient
  AND n.status = 'planned' AND l.alarm = m.alarm

-- name: put_settled
-- What came of sends: attempts finished, messages moved on, receipts stamped (the first one of its kind counts). An answer
-- may come after another desk has taken the message over: then only that it was taken still counts.
WITH settled AS (
    SELECT * FROM jsonb_to_recordset(%(settled)s::jsonb) AS x (
        id text, number integer, finished_us bigint, outcome text, detail text, status text, due_us bigint,
        reference text, tracked_us bigint, channel text)
), finish_attempts AS (
    UPDATE attempts t SET finished_us = s.finished_us, outcome = s.outcome, detail = s.detail, reference = s.reference
    FROM settled s WHERE t.notification = s.id AND t.number = s.number
), track AS (
    INSERT INTO tracked (notification, channel, reference, accepted_us, due_us)
    SELECT id, channel, reference, finished_us, tracked_us FROM settled WHERE tracked_us IS NOT NULL
    ON CONFLICT (notification) DO UPDATE SET reference = EXCLUDED.reference, due_us = EXCLUDED.due_us
), settle AS (
    UPDATE notifications n SET status = s.status, due_us = s.due_us FROM settled s
    WHERE n.id = s.id AND (s.status = 'accepted' OR (n.status = 'sending' AND n.attempts = s.number))
)
INSERT INTO receipts (notification, stamp, at_us)
SELECT id, stamp, at_us
FROM jsonb_to_recordset(%(receipts)s::jsonb) AS x (id text, stamp text, at_us bigint) ON CONFLICT DO NOTHING

-- name: message_of_link
-- To whom the message of a link went, and whether that contact has had another number since. What was written down before
-- contacts had ids, or by a console of before, has their place as the key.
SELECT recipient, enterprise, body->>'language',
       EXISTS (SELECT FROM registry_changes c
               WHERE c.enterprise = n.enterprise AND c.what = 'contact' AND c.before IS NOT NULL AND c.after IS NOT NULL
                 AND coalesce(c.before->>'id', c.key) = substring(n.recipient FROM '[^:]*$')
                 AND coalesce(c.after->>'id', c.key) = substring(n.recipient FROM '[^:]*$')
                 AND c.at > to_timestamp(coalesce(n.queued_us, n.planned_us) / 1e6)
                 AND c.before->>'phone' IS DISTINCT FROM c.after->>'phone')
FROM notifications n WHERE id = %(id)s

-- name: link_alarms
-- The alarms that it spoke of, as they stand, each with the step that it told, and the contact who acknowledged it last.
SELECT l.step, (SELECT k.contact FROM acknowledgements k WHERE k.alarm = a.key AND k.step = a.acked_step
                ORDER BY k.number LIMIT 1),
       a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body
FROM notification_alarms l JOIN alarms a ON a.key = l.alarm
WHERE l.notification = %(id)s AND l.part = 'warning'

-- name: link_alarm_held
-- One of them, held until the transaction ends.
SELECT l.step, a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body
FROM notification_alarms l JOIN alarms a ON a.key = l.alarm
WHERE l.notification = %(id)s AND l.alarm = %(alarm)s AND l.part = 'warning'
FOR UPDATE OF a

-- name: example_place
-- An enterprise that a viewer sees, with one of its devices.
SELECT e.timezone, d.device, e.name, e.name_en, e.address, e.address_en, z.name, z.name_en, z.floor, d.name, d.name_en
FROM enterprises e
LEFT JOIN LATERAL (SELECT * FROM devices d WHERE d.enterprise = e.code ORDER BY d.zone = '', d.device LIMIT 1) d ON true
LEFT JOIN zones z ON z.enterprise = e.code AND z.zone = d.zone
WHERE e.code = %(enterprise)s AND tocsin_sees(e.code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: seen_contact
-- A contact of an enterprise that a viewer sees; not its number.
SELECT c.id, c.name, c.language, c.phone <> '' FROM contacts c
WHERE c.enterprise = %(enterprise)s AND c."order" = %(order)s
  AND tocsin_sees(c.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)

-- name: account_phone
-- Where an account's test message goes.
SELECT phone, language FROM accounts WHERE id = %(account)s AND NOT disabled

-- name: accounts_to_tell
-- Accounts by id, as recipients.
SELECT id, language, phone FROM accounts WHERE id = ANY (%(ids)s) AND NOT disabled AND phone <> ''

-- name: partitions
-- Into how many the log is divided.
SELECT partitions FROM log_layout

-- name: queue_test
-- A test message, unless one went there of late.
INSERT INTO notifications (id, partition, enterprise, recipient, channel, at_once, status, reason, planned_us, queued_us,
                           due_us, deadline_us, body)
SELECT %(id)s, %(partition)s, %(enterprise)s, %(recipient)s, 'sms', false, 'queued', 'test', %(now_us)s, %(now_us)s,
       %(now_us)s, %(deadline_us)s, %(body)s::jsonb
WHERE NOT EXISTS (SELECT FROM notifications WHERE recipient = %(recipient)s AND reason = 'test'
                  AND planned_us > %(since_us)s)
RETURNING id

-- name: note_test
-- Who asked for a test message, for the log of acts: a text costs money, and may annoy.
INSERT INTO audit_log (who, act, subject, enterprise) VALUES (%(who)s, 'test_message', %(recipient)s, %(enterprise)s)

-- name: take_tracked
-- Messages about which a carrier is to be asked now. Who asks moves them on first, so nobody else does.
UPDATE tracked SET asked = asked + 1,
                   due_us = %(now_us)s + least(%(first_us)s * 2 ^ least(asked, 20), %(longest_us)s)::bigint
WHERE notification IN (SELECT notification FROM tracked WHERE channel = %(channel)s AND due_us <= %(now_us)s
                       ORDER BY due_us LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING notification, reference, accepted_us

-- name: put_arrived
-- What carriers said in the end: it is there, it never will be, or (delivered null) nothing within the time. It counts
-- once, and of the newest send alone: an older one of the same message may have failed. Returns those that counted.
WITH said AS (
    SELECT * FROM jsonb_to_recordset(%(arrived)s::jsonb) AS x (id text, reference text, delivered boolean, detail text)
), arrived AS (
    DELETE FROM tracked t USING said s WHERE t.notification = s.id AND t.reference = s.reference
    RETURNING s.id, s.reference, s.delivered, s.detail
), note AS (
    UPDATE attempts t SET detail = a.detail FROM arrived a
    WHERE t.notification = a.id AND t.reference = a.reference AND a.delivered IS NOT NULL
), fail AS (
    UPDATE notifications n SET status = 'failed', due_us = %(now_us)s FROM arrived a
    WHERE n.id = a.id AND NOT a.delivered AND n.status = 'accepted'
), deliver AS (
    INSERT INTO receipts (notification, stamp, at_us, detail)
    SELECT id, 'delivered', %(now_us)s, detail FROM arrived WHERE delivered ON CONFLICT DO NOTHING
)
SELECT id FROM arrived

-- name: start_attempt
-- A send that is about to be made.
INSERT INTO attempts (notification, number, started_us) VALUES (%(id)s, %(number)s, %(now_us)s)

-- name: open_bundle
-- The enterprise's bundle for a recipient; one that gathers already leaves no later than this one would.
INSERT INTO notifications (id, partition, enterprise, recipient, channel, at_once, status, reason, planned_us,
                           due_us, deadline_us)
VALUES (%(id)s, %(partition)s, %(enterprise)s, %(recipient)s, %(channel)s, false, 'planned', 'bundled', %(now_us)s,
        %(due_us)s, %(deadline_us)s)
ON CONFLICT (enterprise, recipient) WHERE status = 'planned' DO UPDATE SET
    due_us = least(notifications.due_us, EXCLUDED.due_us),
    deadline_us = least(notifications.deadline_us, EXCLUDED.deadline_us)

-- name: put_in_bundle
-- An alarm into the bundle that gathers.
INSERT INTO notification_alarms (notification, alarm, step, part)
SELECT id, %(alarm)s, %(step)s, %(part)s FROM notifications
WHERE enterprise = %(enterprise)s AND recipient = %(recipient)s AND status = 'planned'
ON CONFLICT (notification, alarm, part) DO UPDATE SET step = EXCLUDED.step

-- name: due
-- What is to be done by now, oldest first.
SELECT id, enterprise, recipient, at_once, planned_us, attempts, body
FROM notifications
WHERE partition = %(partition)s AND due_us <= %(now_us)s AND status IN ('planned', 'queued')
ORDER BY due_us LIMIT %(limit)s FOR UPDATE

-- name: next_due
-- When there will be something to do.
SELECT least((SELECT min(due_us) FROM notifications
              WHERE partition = %(partition)s AND status IN ('planned', 'queued')),
             (SELECT min(due_us) FROM ladders WHERE partition = %(partition)s))

-- name: due_ladders
-- Ladders to be climbed by now, each with its alarm; and those of the same enterprises that would be soon, so that their
-- contacts get one message. An acknowledgement waits until the rung is recorded, or is seen by it.
SELECT l.alarm, l.enterprise, l.step, l.grade, l.called, l.called_us, l.due_us, l.unreached,
       a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body
FROM ladders l JOIN alarms a ON a.key = l.alarm
WHERE l.partition = %(partition)s AND l.due_us <= %(soon_us)s AND (l.due_us <= %(now_us)s OR l.enterprise IN (
    SELECT enterprise FROM ladders WHERE partition = %(partition)s AND due_us <= %(now_us)s))
ORDER BY l.due_us > %(now_us)s, a.grade DESC, l.due_us, l.alarm LIMIT %(limit)s FOR UPDATE OF l, a

-- name: climb_ladders
-- What became of ladders: those that wait or called somebody, and (due_us null) those that have ended.
WITH climbed AS (
    SELECT * FROM jsonb_to_recordset(%(ladders)s::jsonb) AS x (
        alarm text, grade smallint, called text[], called_us bigint, due_us bigint, unreached boolean)
), gone AS (
    DELETE FROM ladders l USING climbed c WHERE l.alarm = c.alarm AND c.due_us IS NULL
)
UPDATE ladders l SET grade = c.grade, called = c.called, called_us = c.called_us, due_us = c.due_us,
                     unreached = c.unreached
FROM climbed c WHERE l.alarm = c.alarm AND c.due_us IS NOT NULL

-- name: put_rungs
-- Why ladders went on or ended, and who is told by that.
WITH rung AS (
    SELECT * FROM jsonb_to_recordset(%(rungs)s::jsonb) AS x (
        alarm text, step integer, number integer, told text[], reason text)
), put AS (
    INSERT INTO rungs (alarm, step, number, at_us, told, reason)
    SELECT alarm, step, number, %(now_us)s, told, reason FROM rung
)
UPDATE alarms a SET told = (SELECT array_agg(DISTINCT name ORDER BY name) FROM unnest(a.told || r.told) AS name)
FROM rung r WHERE a.key = r.alarm AND r.told <> '{}'

-- name: put_calls
-- Messages of rungs, with their first attempt started; they may speak of several alarms.
WITH message AS (
    SELECT * FROM jsonb_to_recordset(%(messages)s::jsonb) AS x (
        id text, enterprise text, recipient text, channel text, reason text, deadline_us bigint, body jsonb)
), put AS (
    INSERT INTO notifications (id, partition, enterprise, recipient, channel, at_once, status, reason, planned_us,
                               queued_us, due_us, deadline_us, attempts, body)
    SELECT id, %(partition)s, enterprise, recipient, channel, true, 'sending', reason, %(now_us)s, %(now_us)s,
           %(now_us)s, deadline_us, 1, body FROM message
), start_attempts AS (
    INSERT INTO attempts (notification, number, started_us) SELECT id, 1, %(now_us)s FROM message
)
INSERT INTO notification_alarms (notification, alarm, step, part)
SELECT m.id, x.key, x.step, x.part FROM message m,
       jsonb_to_recordset(m.body->'lines') AS x (key text, step integer, part text)

-- name: mark_unanswered
-- The last call about an alarm was not answered in time: it is overdue, and its receipts say since when.
WITH late AS (
    SELECT * FROM jsonb_to_recordset(%(late)s::jsonb) AS x (alarm text, recipient text, detail text)
), message AS (
    UPDATE notifications n SET overdue = true FROM late
    WHERE n.id IN (SELECT l.notification FROM notification_alarms l WHERE l.alarm = late.alarm AND l.part = 'warning')
      AND n.recipient = late.recipient AND NOT n.overdue AND n.status IN ('accepted', 'failed')
    RETURNING n.id, late.detail
)
INSERT INTO receipts (notification, stamp, at_us, detail)
SELECT DISTINCT ON (id) id, 'overdue', %(now_us)s, detail FROM message ON CONFLICT DO NOTHING
RETURNING notification

-- name: hurry_ladders
-- The last call about an alarm cannot come to its person: its ladder is due now.
UPDATE ladders l SET unreached = true, due_us = least(l.due_us, %(now_us)s)
FROM notification_alarms k JOIN notifications n ON n.id = k.notification
WHERE k.notification = ANY (%(ids)s) AND k.part = 'warning' AND l.alarm = k.alarm
  AND l.called[cardinality(l.called)] = n.recipient AND n.status = 'failed'
RETURNING l.partition

-- name: bundle_lines
-- What a bundle gathered, each with its alarm as it stands, and how its recipient heard of the alarm before.
SELECT l.alarm, l.part, a.peak, a.raised_step, a.raised_us, a.acked_step, a.acked_by, a.suppression, a.told, a.body,
       (SELECT coalesce(bool_or(m.status = 'accepted' OR EXISTS (
                   SELECT FROM attempts t WHERE t.notification = m.id AND t.outcome = 'unknown')), false)
        FROM notification_alarms k JOIN notifications m ON m.id = k.notification
        WHERE k.alarm = l.alarm AND k.part = 'warning' AND m.recipient = %(recipient)s AND m.id <> l.notification),
       (SELECT coalesce(bool_or(m.status IN ('queued', 'sending')), false)
        FROM notification_alarms k JOIN notifications m ON m.id = k.notification
        WHERE k.alarm = l.alarm AND k.part = 'warning' AND m.recipient = %(recipient)s AND m.id <> l.notification)
FROM notification_alarms l JOIN alarms a ON a.key = l.alarm
WHERE l.notification = %(id)s
ORDER BY l.alarm, l.part
FOR UPDATE OF a

-- name: postpone
-- To be looked at again later.
UPDATE notifications SET due_us = %(due_us)s WHERE id = %(id)s

-- name: drop_bundle
-- Nothing was left to say.
UPDATE notifications SET status = 'dropped', reason = %(reason)s WHERE id = %(id)s

-- name: send_bundle
-- A bundle is composed and its first attempt starts.
UPDATE notifications SET status = 'sending', queued_us = %(now_us)s, attempts = 1, body = %(body)s WHERE id = %(id)s

-- name: drop_line
-- An alarm that a bundle, in the end, does not speak of.
DELETE FROM notification_alarms WHERE notification = %(id)s AND alarm = %(alarm)s AND part = %(part)s

-- name: untell
-- A recipient has its all-clear of an alarm.
UPDATE alarms SET told = array_remove(told, %(recipient)s) WHERE key = %(alarm)s

-- name: send_again
-- The next attempt of a message that was not taken.
UPDATE notifications SET status = 'sending', attempts = %(number)s WHERE id = %(id)s

-- name: leftovers
-- Sends of an earlier run whose answer never came.
SELECT id, attempts FROM notifications WHERE partition = %(partition)s AND status = 'sending' FOR UPDATE

-- name: mark_overdue
-- Messages that missed their limit, each told once.
UPDATE notifications SET overdue = true
WHERE partition = %(partition)s AND status IN ('planned', 'queued', 'sending') AND NOT overdue
  AND deadline_us <= %(now_us)s
RETURNING id, enterprise, recipient, channel

-- name: waiting
-- What waits in the outbox, by status.
SELECT status, count(*) FROM notifications
WHERE partition = %(partition)s AND status IN ('planned', 'queued', 'sending') GROUP BY status

-- name: put_journal
-- A line of the journal; a repeat of the same message changes nothing.
INSERT INTO journal (notification, at_us, enterprise, grade, en, zh)
VALUES (%(id)s, %(at_us)s, %(enterprise)s, %(grade)s, %(en)s, %(zh)s) ON CONFLICT DO NOTHING

-- name: acknowledgements_after
-- Enterprises in which people acknowledged something, for those who publish the state. A number is drawn before its
-- commit, so a smaller one may come later: ask from some way back, without those that are known.
SELECT k.number, a.enterprise FROM acknowledgements k JOIN alarms a ON a.key = k.alarm
WHERE a.partition = %(partition)s AND k.number > %(after)s AND k.number <> ALL (%(known)s::bigint[])

-- name: last_acknowledged
-- The newest number that is committed.
SELECT coalesce(max(number), 0) FROM acknowledgements

-- name: open_alarms
-- The open alarms of enterprises, worst first.
SELECT enterprise, peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body FROM alarms
WHERE enterprise = ANY(%(enterprises)s) AND open ORDER BY grade DESC, raised_us DESC, key DESC

-- name: enterprises_with_open_alarms
-- Whose state must stand on MQTT after a start.
SELECT DISTINCT enterprise FROM alarms WHERE partition = %(partition)s AND open

-- name: sit_down
-- This session is a living desk process for as long as it lasts.
SELECT pg_advisory_lock_shared(hashtext('tocsin.desks'), 0)

-- name: stand_up
-- It takes no more partitions; the others share without it.
SELECT pg_advisory_unlock_shared(hashtext('tocsin.desks'), 0)

-- name: look_round
-- The sessions of the living desk processes, our own among them, and the partitions that are served.
SELECT pg_backend_pid(),
       coalesce(array_agg(pid ORDER BY pid) FILTER (WHERE classid = hashtext('tocsin.desks')::oid), '{}'),
       coalesce(array_agg(objid::integer) FILTER (WHERE classid = hashtext('tocsin.desk')::oid), '{}')
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: end_silent
-- Sessions of desks that hang: stopped, or cut off without a word. In a pipeline no timeout of the server's would see them.
SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
  AND clock_timestamp() - a.state_change > make_interval(secs => %(silent_s)s)
  AND EXISTS (SELECT FROM pg_locks l
              WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
                AND l.classid IN (hashtext('tocsin.desk')::oid, hashtext('tocsin.desks')::oid))
