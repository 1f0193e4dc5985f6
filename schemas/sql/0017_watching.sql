-- What people do about alarms beside acknowledging them, and word of every change for those who watch.

-- A person's words about an alarm. Never changed.
CREATE TABLE comments (
    number          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm           text    NOT NULL REFERENCES alarms (key),
    by              text    NOT NULL,
    text            text    NOT NULL,
    at_us           bigint  NOT NULL,
    idempotency_key text    NOT NULL UNIQUE
);
CREATE INDEX comments_by_alarm ON comments (alarm, number);

-- Who is to see to an alarm: the newest counts; empty is nobody.
CREATE TABLE assignments (
    number          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm           text    NOT NULL REFERENCES alarms (key),
    "to"            text    NOT NULL,
    by              text    NOT NULL,
    at_us           bigint  NOT NULL,
    idempotency_key text    NOT NULL UNIQUE
);
CREATE INDEX assignments_by_alarm ON assignments (alarm, number);

-- What an alarm turned out to be, by the step that was looked at: the newest at or after its last raise counts.
CREATE TABLE verdicts (
    number          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm           text    NOT NULL REFERENCES alarms (key),
    step            integer NOT NULL,
    verdict         text    NOT NULL CHECK (verdict IN ('real', 'false', 'test')),
    note            text    NOT NULL DEFAULT '',
    by              text    NOT NULL,
    at_us           bigint  NOT NULL,
    idempotency_key text    NOT NULL UNIQUE
);
CREATE INDEX verdicts_by_alarm ON verdicts (alarm, number);

-- The newest of both stands with the alarm too, so that lists find it. `turned_out` is empty since the last raise.
ALTER TABLE alarms ADD COLUMN assigned_to text NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN verdict text NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN verdict_step integer NOT NULL DEFAULT 0;
ALTER TABLE alarms ADD COLUMN turned_out text NOT NULL
    GENERATED ALWAYS AS (CASE WHEN verdict_step >= raised_step THEN verdict ELSE '' END) STORED;

-- The lists of people, each with its order: of a kind, of an enterprise, of somebody, of a verdict.
CREATE INDEX alarms_by_kind ON alarms (kind, open, grade, raised_us, key);
CREATE INDEX alarms_by_enterprise ON alarms (enterprise, open, grade, raised_us, key);
CREATE INDEX alarms_by_assigned ON alarms (assigned_to, open, grade, raised_us, key) WHERE assigned_to <> '';
CREATE INDEX alarms_by_verdict ON alarms (turned_out, open, grade, raised_us, key) WHERE turned_out <> '';

-- Without a subquery the planner puts a function's body in its place, and for those who see all nothing is left of it.
CREATE FUNCTION tocsin_is_in(code text, districts text[]) RETURNS boolean LANGUAGE sql STABLE COST 1000 AS $$
    SELECT EXISTS (SELECT FROM enterprises e WHERE e.code = $1 AND e.district = ANY ($2))
$$;
CREATE OR REPLACE FUNCTION tocsin_sees(code text, sees_all boolean, districts text[], codes text[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT $2 OR $1 = ANY ($4) OR tocsin_is_in($1, $3)
$$;

-- Wakes who shows alarms (console.live). The word says what changed; what there is is found by reading.
CREATE FUNCTION tocsin_watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tocsin_watch', TG_ARGV[0]);
    RETURN NULL;
END
$$;
CREATE TRIGGER alarms_watched AFTER INSERT OR UPDATE OR DELETE ON alarms
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');
CREATE TRIGGER comments_watched AFTER INSERT ON comments
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');
CREATE TRIGGER assignments_watched AFTER INSERT ON assignments
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');
CREATE TRIGGER verdicts_watched AFTER INSERT ON verdicts
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');
CREATE TRIGGER notifications_watched AFTER UPDATE ON notifications
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');
CREATE TRIGGER receipts_watched AFTER INSERT ON receipts
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');
CREATE TRIGGER enterprises_watched AFTER INSERT OR UPDATE OR DELETE ON enterprises
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('registry');
CREATE TRIGGER zones_watched AFTER INSERT OR UPDATE OR DELETE ON zones
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('registry');

-- To whom an alarm of an enterprise may be given: logins alone, of those who may see to it there.
CREATE FUNCTION tocsin_assignees(code text) RETURNS TABLE (login text, name text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.login, a.name, a.role FROM accounts a
    WHERE NOT a.disabled AND a.role IN ('operator', 'owner', 'administrator')
      AND tocsin_sees(code, a.role = 'administrator'
                            OR (a.role = 'operator' AND a.districts = '{}' AND a.enterprises = '{}'),
                      a.districts, a.enterprises)
    ORDER BY a.role, a.login
$$;

CREATE INDEX commands_by_alarm ON commands (alarm_key);
CREATE TRIGGER commands_watched AFTER INSERT OR UPDATE ON commands
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('alarms');

SELECT tocsin_show_by_alarm('comments', 'alarm', 'SELECT, INSERT');
SELECT tocsin_show_by_alarm('assignments', 'alarm', 'SELECT, INSERT');
SELECT tocsin_show_by_alarm('verdicts', 'alarm', 'SELECT, INSERT');
CREATE TRIGGER comments_act AFTER INSERT ON comments FOR EACH ROW EXECUTE FUNCTION tocsin_act('comment');
CREATE TRIGGER assignments_act AFTER INSERT ON assignments FOR EACH ROW EXECUTE FUNCTION tocsin_act('assign');
CREATE TRIGGER verdicts_act AFTER INSERT ON verdicts FOR EACH ROW EXECUTE FUNCTION tocsin_act('judge');
GRANT UPDATE (assigned_to, verdict, verdict_step) ON alarms TO tocsin_viewer;

-- What a look at the house counts.
CREATE INDEX commands_unanswered ON commands (asked_at) WHERE answered_at IS NULL;
CREATE INDEX attempts_refused ON attempts (started_us) WHERE outcome = 'refused';

-- Idempotency keys of what is no act about an alarm, for two days: under each something was done, or is being done.
CREATE TABLE done_once (
    who  text        NOT NULL,
    key  text        NOT NULL,
    what text        NOT NULL,
    at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (who, key)
);
CREATE INDEX done_once_at ON done_once (at);
