-- Alerting: what stands of each alarm, what people did about it, and the ledger of what they were told.
-- Times are microseconds since 1970 (UTC), as in alarm events; grades are 0 none, 1 blue ... 4 red.

-- The projection of alarm_events. The engine's facts come from events, `acked_step` and `suppression` from people.
CREATE TABLE alarms (
    key          text PRIMARY KEY,
    partition    integer  NOT NULL,
    enterprise   text     NOT NULL,
    device       text     NOT NULL,
    kind         text     NOT NULL,
    state        text     NOT NULL,
    grade        smallint NOT NULL,
    peak         smallint NOT NULL,   -- highest grade since it was last raised
    step         integer  NOT NULL,
    raised_step  integer  NOT NULL,   -- step of the last `raised`
    raised_us    bigint   NOT NULL,   -- event time of the last `raised`
    acked_step   integer  NOT NULL DEFAULT 0,
    acked_by     text     NOT NULL DEFAULT '',
    acknowledged boolean  NOT NULL GENERATED ALWAYS AS (acked_step >= raised_step) STORED,
    active       boolean  NOT NULL,
    latched      boolean  NOT NULL,
    open         boolean  NOT NULL GENERATED ALWAYS AS (active OR latched) STORED,
    suppression  text     NOT NULL DEFAULT 'none',
    told         text[]   NOT NULL DEFAULT '{}',  -- recipients that were told and have had no all-clear yet
    body         jsonb    NOT NULL                -- the last event, whole
);
CREATE INDEX alarms_worst_first ON alarms (open, grade, raised_us, key);
CREATE INDEX alarms_open_by_enterprise ON alarms (enterprise) WHERE open;

-- A person saw an alarm at a step and took it on. Never changed, never counted among the engine's steps.
CREATE TABLE acknowledgements (
    number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm           text    NOT NULL REFERENCES alarms (key),
    step            integer NOT NULL,
    by              text    NOT NULL,
    note            text    NOT NULL DEFAULT '',
    at_us           bigint  NOT NULL,
    idempotency_key text    NOT NULL UNIQUE
);
CREATE INDEX acknowledgements_by_alarm ON acknowledgements (alarm, number);

-- Why an event told whom it told, or nobody.
CREATE TABLE decisions (
    alarm  text     NOT NULL,
    step   integer  NOT NULL,
    at_us  bigint   NOT NULL,
    told   text[]   NOT NULL,
    reason text     NOT NULL,
    PRIMARY KEY (alarm, step)
);

-- The outbox and ledger: one message to one recipient.
CREATE TABLE notifications (
    id          text     PRIMARY KEY,           -- idempotency key
    partition   integer  NOT NULL,
    enterprise  text     NOT NULL,
    recipient      text     NOT NULL,
    channel     text     NOT NULL,
    at_once     boolean  NOT NULL,
    status      text     NOT NULL,
    reason      text     NOT NULL DEFAULT '',
    planned_us  bigint   NOT NULL,
    queued_us   bigint,
    due_us      bigint   NOT NULL,              -- when the next thing is to be done about it
    deadline_us bigint   NOT NULL,              -- accepted by then, else overdue
    overdue     boolean  NOT NULL DEFAULT false,
    attempts    integer  NOT NULL DEFAULT 0,
    body        jsonb                           -- the message, frozen when composed
);
CREATE INDEX notifications_due ON notifications (partition, due_us) WHERE status IN ('planned', 'queued');
CREATE INDEX notifications_in_the_air ON notifications (partition) WHERE status = 'sending';
CREATE INDEX notifications_not_overdue ON notifications (partition, deadline_us)
    WHERE status IN ('planned', 'queued', 'sending') AND NOT overdue;
-- One bundle at a time gathers for an enterprise and a recipient.
CREATE UNIQUE INDEX notifications_gathering ON notifications (enterprise, recipient) WHERE status = 'planned';

CREATE TABLE notification_alarms (
    notification text    NOT NULL REFERENCES notifications (id),
    alarm        text    NOT NULL,
    step         integer NOT NULL,
    part         text    NOT NULL,
    PRIMARY KEY (notification, alarm, part)
);
CREATE INDEX notification_alarms_by_alarm ON notification_alarms (alarm);

-- Every send that was started. One without `finished_us` is in the air, or its answer never came.
CREATE TABLE attempts (
    notification text    NOT NULL REFERENCES notifications (id),
    number       integer NOT NULL,
    started_us   bigint  NOT NULL,
    finished_us  bigint,
    outcome      text,              -- accepted, again, refused, unknown
    detail       text    NOT NULL DEFAULT '',
    PRIMARY KEY (notification, number)
);

CREATE TABLE receipts (
    notification text   NOT NULL REFERENCES notifications (id),
    stamp        text   NOT NULL,
    at_us        bigint NOT NULL,
    detail       text   NOT NULL DEFAULT '',
    PRIMARY KEY (notification, stamp)
);

-- The default channel: what was said, readable without any other system, in both languages.
CREATE TABLE journal (
    number       bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification text     NOT NULL UNIQUE,
    at_us        bigint   NOT NULL,
    enterprise   text     NOT NULL,
    grade        smallint NOT NULL,
    en           text     NOT NULL,
    zh           text     NOT NULL
);
