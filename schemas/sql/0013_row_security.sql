-- Row security: behind every query's own filter, what a viewer does not see is not there for the database either.
--
-- A transaction on a viewer's behalf becomes the role `tocsin_viewer` with the viewer's scope in settings
-- (schemas.viewers.BECOME_VIEWER). All other work is done as the owner of the tables, for whom nothing changes, or as
-- another role with rights of its own, which the policy `house` lets see all.
--
-- A later migration that adds a table for viewers says so with one line, as at the end of this file:
--   SELECT tocsin_show_by_enterprise('things', 'enterprise', 'SELECT, UPDATE (name)');
--   SELECT tocsin_show_by_alarm('remarks', 'alarm', 'SELECT, INSERT');
--   SELECT tocsin_show('odd_ones', 'EXISTS (SELECT FROM things t WHERE t.id = thing)', 'SELECT');
-- and with a mere GRANT SELECT … TO tocsin_viewer where there is no enterprise. Without, viewers cannot read it at all.

-- Roles belong to the server, so another database of it may have made this one, or may be about to.
DO $$
DECLARE
    mend text := format(
        'Let a superuser run: CREATE ROLE tocsin_viewer NOLOGIN; GRANT tocsin_viewer TO %I; (and TO every other role '
        'that Tocsin connects as)', current_user);
    modern boolean := current_setting('server_version_num')::integer >= 160000;
    becomes text := CASE WHEN modern THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tocsin_viewer') THEN
        BEGIN
            CREATE ROLE tocsin_viewer NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE insufficient_privilege USING
                    MESSAGE = format('the role tocsin_viewer is missing, and %I may not make it', current_user),
                    HINT = mend;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'tocsin_viewer', becomes) THEN
        BEGIN
            EXECUTE format('GRANT tocsin_viewer TO %I', current_user)
                || CASE WHEN modern THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE insufficient_privilege USING
                    MESSAGE = format('%I may not become tocsin_viewer', current_user), HINT = mend;
        END;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO tocsin_viewer;

-- Viewers see those rows of `what` for which `seen` holds, and may do what `rights` says. The subqueries without a
-- column are asked once a statement, so an index still leads the way. `house` is for roles that are neither owner nor
-- viewer; the first condition is for those of them that inherit from tocsin_viewer, as every member does before 16.
CREATE FUNCTION tocsin_show(what regclass, seen text, rights text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', what);
    EXECUTE format('CREATE POLICY house ON %s USING (true) WITH CHECK (true)', what);
    EXECUTE format(
        'CREATE POLICY viewer ON %s AS RESTRICTIVE TO tocsin_viewer
         USING ((SELECT current_user <> ''tocsin_viewer'' OR current_setting(''tocsin.sees_all'', true) = ''true'')
                OR %s)', what, seen);
    EXECUTE format('GRANT %s ON %s TO tocsin_viewer', rights, what);
END
$$;

CREATE FUNCTION tocsin_show_by_enterprise(what regclass, enterprise text, rights text) RETURNS void
LANGUAGE sql AS $$
    SELECT tocsin_show(what, format(
        '%1$s = ANY ((SELECT nullif(current_setting(''tocsin.sees_enterprises'', true), '''')::text[])::text[])
         OR EXISTS (SELECT FROM enterprises AS seen WHERE seen.code = %1$s AND seen.district = ANY (
            (SELECT nullif(current_setting(''tocsin.sees_districts'', true), '''')::text[])::text[]))',
        enterprise), rights)
$$;

-- What belongs to an alarm, or to a message, is seen with it.
CREATE FUNCTION tocsin_show_by_alarm(what regclass, alarm text, rights text) RETURNS void LANGUAGE sql AS $$
    SELECT tocsin_show(what, format('EXISTS (SELECT FROM alarms AS seen WHERE seen.key = %s.%I)', what, alarm), rights)
$$;

CREATE FUNCTION tocsin_show_by_notification(what regclass, notification text, rights text) RETURNS void
LANGUAGE sql AS $$
    SELECT tocsin_show(
        what, format('EXISTS (SELECT FROM notifications AS seen WHERE seen.id = %s.%I)', what, notification), rights)
$$;

-- The registry. An enterprise tells its own district; a policy that asked `enterprises` again would ask for ever.
SELECT tocsin_show('enterprises', '
    code = ANY ((SELECT nullif(current_setting(''tocsin.sees_enterprises'', true), '''')::text[])::text[])
    OR district = ANY ((SELECT nullif(current_setting(''tocsin.sees_districts'', true), '''')::text[])::text[])
    ', 'SELECT, INSERT, UPDATE, DELETE');
GRANT SELECT, INSERT, UPDATE ON districts TO tocsin_viewer;
SELECT tocsin_show_by_enterprise('zones', 'zones.enterprise', 'SELECT, INSERT, UPDATE, DELETE');
SELECT tocsin_show_by_enterprise('contacts', 'contacts.enterprise', 'SELECT, INSERT, UPDATE, DELETE');
SELECT tocsin_show_by_enterprise('devices', 'devices.enterprise', 'SELECT, INSERT, UPDATE, DELETE');
SELECT tocsin_show_by_enterprise('registry_changes', 'registry_changes.enterprise', 'SELECT, INSERT');
-- A device's login bears its name; those of integrators and gateways are the house's.
SELECT tocsin_show_by_enterprise('logins', 'split_part(logins.id, ''/'', 1)', 'SELECT, INSERT, UPDATE, DELETE');
SELECT tocsin_show_by_enterprise('grants', 'grants.enterprise', 'SELECT, INSERT, DELETE');
GRANT SELECT, UPDATE (version) ON logins_version TO tocsin_viewer;
-- Whoever changes a device tells the engine: in which partition (the right to change `one`, which is always true, is
-- the right to hold the row), and what.
GRANT SELECT, UPDATE (one) ON log_layout TO tocsin_viewer;
GRANT INSERT (body, partition) ON control_outbox TO tocsin_viewer;

-- Alarms, what people do about them, and who was told.
SELECT tocsin_show_by_enterprise('alarms', 'alarms.enterprise', 'SELECT, UPDATE (acked_step, acked_by)');
SELECT tocsin_show_by_enterprise('alarm_events', 'alarm_events.enterprise', 'SELECT');
SELECT tocsin_show_by_alarm('acknowledgements', 'alarm', 'SELECT, INSERT');
SELECT tocsin_show_by_alarm('commands', 'alarm_key', 'SELECT, INSERT');
SELECT tocsin_show_by_alarm('decisions', 'alarm', 'SELECT');
SELECT tocsin_show_by_enterprise('notifications', 'notifications.enterprise', 'SELECT');
SELECT tocsin_show_by_notification('notification_alarms', 'notification', 'SELECT');
SELECT tocsin_show_by_notification('attempts', 'notification', 'SELECT');
SELECT tocsin_show_by_notification('receipts', 'notification', 'SELECT, INSERT');
SELECT tocsin_show_by_enterprise('journal', 'journal.enterprise', 'SELECT');

-- The door.
SELECT tocsin_show_by_enterprise('quarantine', 'quarantine.enterprise', 'SELECT, UPDATE (replayed_at)');

-- Without an enterprise: rules are everybody's, and a sensor's values are asked for by ids of devices that were seen.
GRANT SELECT ON rule_packs, rule_pack_activations, last_values TO tocsin_viewer;
-- What was done is written down in the same transaction; it is read by the house alone.
GRANT INSERT ON audit_log TO tocsin_viewer;

-- Whoever does something about an alarm, by whatever way, stands in the log of acts.
CREATE FUNCTION tocsin_act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    done jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO audit_log (who, act, subject, enterprise)
    SELECT coalesce(done->>'by', done->>'asked_by'), TG_ARGV[0], key, enterprise FROM alarms
     WHERE key = coalesce(done->>'alarm', done->>'alarm_key');
    RETURN NULL;
END
$$;
CREATE TRIGGER acknowledgements_act AFTER INSERT ON acknowledgements FOR EACH ROW EXECUTE FUNCTION tocsin_act('acknowledge');
CREATE TRIGGER commands_act AFTER INSERT ON commands FOR EACH ROW EXECUTE FUNCTION tocsin_act('ask_reset');
