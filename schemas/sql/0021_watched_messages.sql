-- What a screen shows anew at once, and what may wait for a moment: a new alarm is told apart from the fate of a message.

DROP TRIGGER notifications_watched ON notifications;
CREATE TRIGGER notifications_watched AFTER UPDATE ON notifications
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('messages');
DROP TRIGGER receipts_watched ON receipts;
CREATE TRIGGER receipts_watched AFTER INSERT ON receipts
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_watch('messages');
