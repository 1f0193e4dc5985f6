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

-- What the registry knows of the enterprises and devices of a partition's next events, and of those that are named: the
-- time zone, the contacts in order, when each was last called for which grade, and what people call the place. Asked at
-- every turn of the desk, so it is planned once a session, for few rows, whatever the planner thinks of a limit that it
-- does not know.
CREATE FUNCTION tocsin_whereabouts(
    in_partition integer, after_seq bigint, most integer, enterprises text[], devices text[]
) RETURNS TABLE (
    enterprise text, device text, timezone text, contacts jsonb, calls jsonb, name text, name_en text, address text,
    address_en text, zone text, zone_en text, floor text, device_name text, device_name_en text
)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT next.enterprise, next.device FROM (
            SELECT v.enterprise, v.device FROM alarm_events v WHERE v.partition = $1 AND v.seq > $2
            ORDER BY v.seq LIMIT $3) AS next
        UNION
        SELECT * FROM unnest($4, $5)
    )
    SELECT asked.enterprise, asked.device, e.timezone,
           (SELECT jsonb_agg(to_jsonb(c) ORDER BY c."order") FROM contacts c WHERE c.enterprise = e.code),
           (SELECT jsonb_agg(jsonb_build_object('recipient', k.recipient, 'grade', k.grade, 'us', k.us)) FROM (
                SELECT l.called[cardinality(l.called)] AS recipient, l.grade, max(l.called_us) AS us
                FROM ladders l WHERE l.enterprise = e.code AND l.called <> '{}' GROUP BY 1, 2) AS k),
           e.name, e.name_en, e.address, e.address_en, z.name, z.name_en, z.floor, d.name, d.name_en
    FROM asked
    JOIN enterprises e ON e.code = asked.enterprise
    LEFT JOIN devices d ON d.enterprise = asked.enterprise AND d.device = asked.device
    LEFT JOIN zones z ON z.enterprise = d.enterprise AND z.zone = d.zone;
END
$$;

SELECT tocsin_show_by_enterprise('ladders', 'ladders.enterprise', 'SELECT');
SELECT tocsin_show_by_alarm('rungs', 'alarm', 'SELECT');
