-- Several bridges: who of them is alive, and who reads which session at which broker.

-- A bridge that beats is alive. `run` is one life of it: the one before, if it still goes, has lost its name.
CREATE TABLE bridges (
    name    text        PRIMARY KEY,
    run     text        NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);

-- The sessions of a group of bridges at a broker. One whose bridge is no more is read to its end by another.
CREATE TABLE bridge_sessions (
    broker      text NOT NULL,
    client_id   text NOT NULL,
    share_group text NOT NULL,
    bridge      text NOT NULL,
    PRIMARY KEY (broker, client_id)
);
