-- Risk: how every enterprise stands, how it stood before, and what the keeper of it has still to look at.
-- Times are microseconds since 1970 (UTC). Colours are of places: 1 blue, 2 yellow, 3 orange, 4 red. They are not warning grades.

-- One row an enterprise. `state` is scoring.risk_state.RiskState as msgpack: all that the risk is made of, so that every
-- term and reason can be made again from it. The other columns are what people filter, sort and count by.
CREATE TABLE risk (
    enterprise text             PRIMARY KEY,
    partition  integer          NOT NULL,
    district   text             NOT NULL DEFAULT '',
    trade      text             NOT NULL DEFAULT '',
    score      double precision NOT NULL,
    colour     smallint         NOT NULL CHECK (colour BETWEEN 1 AND 4),
    since_us   bigint           NOT NULL,  -- since when it has this colour
    as_of_us   bigint           NOT NULL,
    next_us    bigint,                     -- when the colour would change by itself
    due_us     bigint,                     -- when the keeper looks at it again, if nothing happens before
    slot       smallint,                   -- second of the hour at which its circuits are looked at; none: it has none
    state      bytea            NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX risk_worst_first ON risk (colour, score, enterprise);
CREATE INDEX risk_by_district ON risk (district, colour, score, enterprise);
CREATE INDEX risk_by_trade ON risk (trade, colour, score, enterprise);
CREATE INDEX risk_due ON risk (partition, due_us) WHERE due_us IS NOT NULL;
CREATE INDEX risk_by_slot ON risk (partition, slot, enterprise) WHERE slot IS NOT NULL;

-- How it stood: a row when the colour or a reason changed, and at most one a day while only the points move.
CREATE TABLE risk_history (
    enterprise text             NOT NULL,
    at_us      bigint           NOT NULL,
    partition  integer          NOT NULL,
    score      double precision NOT NULL,
    colour     smallint         NOT NULL,
    points     real[]           NOT NULL,  -- of the terms, in the order of the formula: H A X P R Q N
    reasons    jsonb            NOT NULL,  -- schemas.risk.Reason
    knock_outs jsonb            NOT NULL,  -- schemas.risk.KnockOut
    PRIMARY KEY (enterprise, at_us)
);
CREATE INDEX risk_history_newest ON risk_history (partition, at_us);

-- What touches a risk and is no alarm event: the keeper takes a row out in the commit that holds what it made of it.
-- `partition` is null where who asks cannot know it; a keeper fills it in.
CREATE TABLE risk_inbox (
    number     bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition  integer,
    enterprise text    NOT NULL,
    what       text    NOT NULL CHECK (what IN ('facts', 'acknowledged', 'verdict')),
    at_us      bigint  NOT NULL DEFAULT 0,
    alarm      text    NOT NULL DEFAULT '',
    step       integer NOT NULL DEFAULT 0,
    word       text    NOT NULL DEFAULT ''
) WITH (autovacuum_vacuum_threshold = 1000);
CREATE INDEX risk_inbox_sorted ON risk_inbox (partition, number);
CREATE INDEX risk_inbox_facts ON risk_inbox (enterprise) WHERE what = 'facts';

CREATE FUNCTION tocsin_risk_facts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO risk_inbox (enterprise, what) SELECT DISTINCT code, 'facts' FROM changed;
    NOTIFY tocsin_risk_asked;
    RETURN NULL;
END
$$;
CREATE FUNCTION tocsin_risk_facts_of_devices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO risk_inbox (enterprise, what) SELECT DISTINCT enterprise, 'facts' FROM changed;
    NOTIFY tocsin_risk_asked;
    RETURN NULL;
END
$$;
CREATE TRIGGER enterprises_added_risk AFTER INSERT ON enterprises REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts();
CREATE TRIGGER enterprises_changed_risk AFTER UPDATE ON enterprises REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts();
CREATE TRIGGER enterprises_gone_risk AFTER DELETE ON enterprises REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts();
CREATE TRIGGER devices_added_risk AFTER INSERT ON devices REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts_of_devices();
CREATE TRIGGER devices_changed_risk AFTER UPDATE ON devices REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts_of_devices();
CREATE TRIGGER devices_gone_risk AFTER DELETE ON devices REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_risk_facts_of_devices();

CREATE FUNCTION tocsin_risk_acknowledged() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO risk_inbox (partition, enterprise, what, at_us, alarm, step)
    SELECT partition, enterprise, 'acknowledged', NEW.at_us, NEW.alarm, NEW.step FROM alarms WHERE key = NEW.alarm;
    NOTIFY tocsin_risk_asked;
    RETURN NULL;
END
$$;
CREATE TRIGGER acknowledgements_risk AFTER INSERT ON acknowledgements
    FOR EACH ROW EXECUTE FUNCTION tocsin_risk_acknowledged();

-- What is there when risk begins to be kept.
INSERT INTO risk_inbox (enterprise, what) SELECT code, 'facts' FROM enterprises;

SELECT tocsin_show_by_enterprise('risk', 'risk.enterprise', 'SELECT');
SELECT tocsin_show_by_enterprise('risk_history', 'risk_history.enterprise', 'SELECT');
