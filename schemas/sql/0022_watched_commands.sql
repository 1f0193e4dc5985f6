-- Whoever watches hears of a command that was given or answered, not of each commit of the engine that answers none: a
-- statement's trigger fires for no row, too, and a screen that reads for nothing reads the alarm behind it later.

DROP TRIGGER commands_watched ON commands;
CREATE TRIGGER commands_watched AFTER INSERT OR UPDATE ON commands
    FOR EACH ROW EXECUTE FUNCTION tocsin_watch('alarms');
