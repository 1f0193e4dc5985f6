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

-- The lists of people: newest first, of a kind, of an enterprise, and those that nobody has acknowledged.
CREATE INDEX alarms_newest ON alarms (raised_us, key);
CREATE INDEX alarms_by_kind ON alarms (kind, open, grade, raised_us, key);
CREATE INDEX alarms_by_enterprise ON alarms (enterprise, open, grade, raised_us, key);

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
