-- Several doors: what each of them keeps, and who of them is alive.

-- Arrivals rise strictly at each writer, not between writers: `source` says which it was.
ALTER TABLE quarantine ADD COLUMN source text NOT NULL DEFAULT '';
ALTER TABLE quarantine DROP CONSTRAINT quarantine_pkey;
ALTER TABLE quarantine ADD PRIMARY KEY (arrival_us, source);

-- A door that beats is alive. Who deletes the row of one that does not takes up what was its, in the same transaction.
-- `run` is one life of the door: the one before, if it still goes, has lost its name.
CREATE TABLE doors (
    name    text        PRIMARY KEY,
    run     text        NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);

-- The door that has a session in memory, and alone writes it. One process, which has no doors, has the name ''.
ALTER TABLE mqtt_sessions ADD COLUMN door text NOT NULL DEFAULT '';
ALTER TABLE mqtt_wills ADD COLUMN door text NOT NULL DEFAULT '';
CREATE INDEX mqtt_sessions_by_door ON mqtt_sessions (door);
CREATE INDEX mqtt_wills_by_door ON mqtt_wills (door);

-- By byte, so that the topics below a level are one range.
ALTER TABLE mqtt_retained ALTER COLUMN topic TYPE text COLLATE "C";
