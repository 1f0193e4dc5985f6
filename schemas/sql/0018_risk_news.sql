-- More that touches a risk: what an alarm turned out to be, and devices that are heard for the first time.

CREATE FUNCTION tocsin_risk_verdict() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO risk_inbox (partition, enterprise, what, at_us, alarm, step, word)
    SELECT partition, enterprise, 'verdict', NEW.at_us, NEW.alarm, NEW.step, NEW.verdict FROM alarms
     WHERE key = NEW.alarm;
    NOTIFY tocsin_risk_asked;
    RETURN NULL;
END
$$;
CREATE TRIGGER verdicts_risk AFTER INSERT ON verdicts
    FOR EACH ROW EXECUTE FUNCTION tocsin_risk_verdict();

CREATE TRIGGER devices_heard_risk AFTER INSERT ON device_sensors REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts_of_devices();
CREATE TRIGGER devices_heard_more_risk AFTER UPDATE ON device_sensors REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts_of_devices();

-- What is there when risk begins to be kept.
INSERT INTO risk_inbox (enterprise, what)
SELECT enterprise, 'facts' FROM device_sensors UNION SELECT enterprise, 'facts' FROM devices;
