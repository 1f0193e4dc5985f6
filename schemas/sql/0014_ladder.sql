-- Contacts are called one after the other until somebody acknowledges; what a carrier knows later; secrets of the house.

-- The ladder of an alarm: there from its first orange or red until it is acknowledged, over, or climbed to its end.
CREATE TABLE ladders (
    alarm      text     PRIMARY KEY REFERENCES alarms (key),
    partition  integer  NOT NULL,
    enterprise text     NOT NULL,
    step       integer  NOT NULL,                  -- the alarm's, that began it; an older acknowledgement does not end it
    grade      smallint NOT NULL,                  -- of the last call
    called     text[]   NOT NULL,                  -- contacts, as recipients, in the order of their calls
    called_us  bigint   NOT NULL,                  -- the last call
    due_us     bigint   NOT NULL,                  -- when it is looked at next
    unreached  boolean  NOT NULL DEFAULT false     -- the last call cannot come to its person
);
CREATE INDEX ladders_due ON ladders (partition, due_us);
CREATE INDEX ladders_by_enterprise ON ladders (enterprise);

-- Why a rung called whom it called, or nobody more; the step's own decision stands in `decisions`.
CREATE TABLE rungs (
    alarm  text    NOT NULL,
    step   integer NOT NULL,
    number integer NOT NULL,  -- calls made before, from 1
    at_us  bigint  NOT NULL,
    told   text[]  NOT NULL,
    reason text    NOT NULL,
    PRIMARY KEY (alarm, step, number)
);

-- A carrier's own name of a message, and the messages that it still has to tell about.
ALTER TABLE attempts ADD COLUMN reference text NOT NULL DEFAULT '';
CREATE TABLE tracked (
    notification text    PRIMARY KEY REFERENCES notifications (id),
    channel      text    NOT NULL,
    reference    text    NOT NULL,
    accepted_us  bigint  NOT NULL,
    due_us       bigint  NOT NULL,                 -- asked next; who asks moves it, so nobody else does
    asked        integer NOT NULL DEFAULT 0
);
CREATE INDEX tracked_due ON tracked (channel, due_us);

-- Test messages, which go once a minute at most to the same person.
CREATE INDEX notifications_tests ON notifications (recipient, planned_us) WHERE reason = 'test';

-- Keys that all processes of the house share. Nothing that a viewer may read.
CREATE TABLE house_secrets (
    name   text  PRIMARY KEY,
    secret bytea NOT NULL CHECK (octet_length(secret) >= 32)
);

SELECT tocsin_show_by_enterprise('ladders', 'ladders.enterprise', 'SELECT');
SELECT tocsin_show_by_alarm('rungs', 'alarm', 'SELECT');
