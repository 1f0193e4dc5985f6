-- The log, what follows it, and what asks to enter it.

-- Who writes a partition of the log. A writer takes over by raising the epoch and ending the backends named here.
CREATE TABLE log_writers (
    partition      integer       PRIMARY KEY,
    epoch          bigint        NOT NULL,
    backend_pids   integer[]     NOT NULL,
    backend_starts timestamptz[] NOT NULL
) WITH (fillfactor = 50);

-- Entries in one order within a partition. Split by number into segments that the writer makes and retention drops.
CREATE TABLE log_entries (
    partition  integer     NOT NULL,
    number     bigint      NOT NULL,
    epoch      bigint      NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    kind       smallint    NOT NULL,
    body       bytea       NOT NULL,
    PRIMARY KEY (partition, number)
) PARTITION BY RANGE (number);
-- Whole and not compressed: it is already. (CREATE TABLE itself takes STORAGE from PostgreSQL 16 on.)
ALTER TABLE log_entries ALTER body SET STORAGE EXTERNAL;

-- How far a consumer has come. Who loads a position writes its own number into `owner`; the one before is fenced.
CREATE TABLE positions (
    consumer  text    NOT NULL,
    partition integer NOT NULL DEFAULT 0,
    position  bigint  NOT NULL DEFAULT 0,
    owner     bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000);

-- A consumer's memory as of one position: `manifest` names the chunks that make it up.
CREATE TABLE checkpoints (
    consumer   text        NOT NULL,
    partition  integer     NOT NULL,
    generation bigint      NOT NULL,
    position   bigint      NOT NULL,
    manifest   bytea       NOT NULL,
    crc        bigint      NOT NULL,
    saved_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, partition, generation)
);
ALTER TABLE checkpoints ALTER manifest SET STORAGE EXTERNAL;

CREATE TABLE checkpoint_chunks (
    consumer   text    NOT NULL,
    partition  integer NOT NULL,
    name       text    NOT NULL,
    index      integer NOT NULL,
    generation bigint  NOT NULL,
    body       bytea   NOT NULL,
    PRIMARY KEY (consumer, partition, name, index, generation)
);
ALTER TABLE checkpoint_chunks ALTER body SET STORAGE EXTERNAL;

-- What the engine says. `body` is the whole event (schemas.alarms.AlarmEvent); the columns are what readers filter by.
CREATE TABLE alarm_events (
    key        text     NOT NULL,
    step       integer  NOT NULL,
    partition  integer  NOT NULL,
    seq        bigint   NOT NULL,
    entry      bigint   NOT NULL,
    state      text     NOT NULL,
    subject    text     NOT NULL,
    enterprise text     NOT NULL,
    device     text     NOT NULL,
    family     text     NOT NULL,
    kind       text     NOT NULL,
    grade      smallint NOT NULL,
    active     boolean  NOT NULL,
    latched    boolean  NOT NULL,
    late       boolean  NOT NULL,
    event_us   bigint   NOT NULL,
    body       jsonb    NOT NULL,
    judged_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key, step),
    UNIQUE (partition, seq)
);
CREATE INDEX alarm_events_enterprise ON alarm_events (enterprise, event_us);

-- What people ask of the engine. Written by the API or the command, made an entry by the dispatcher, answered by the engine.
CREATE TABLE commands (
    key           text        PRIMARY KEY,
    action        text        NOT NULL CHECK (action IN ('reset')),
    alarm_key     text        NOT NULL,
    seen_step     integer     NOT NULL,
    asked_by      text        NOT NULL DEFAULT '',
    reason        text        NOT NULL DEFAULT '',
    asked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    logged_number bigint,
    answered_at   timestamptz,
    accepted      boolean,
    answer        text
);
CREATE INDEX commands_unlogged ON commands (asked_at) WHERE logged_number IS NULL;

-- Other control entries on their way into the log: `body` is schemas.entries.encode(payload).
CREATE TABLE control_outbox (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body          bytea       NOT NULL,
    asked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    logged_number bigint,
    refused       text        -- why it can never be logged
);
CREATE INDEX control_outbox_unlogged ON control_outbox (id) WHERE logged_number IS NULL AND refused IS NULL;

-- Every rule pack that was ever active, named by the hash of its text and kept for ever, since evidence names it.
CREATE TABLE rule_packs (
    version    text        PRIMARY KEY,
    toml       text        NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- When which pack became active, by the log entry that says so; the last one is active.
CREATE TABLE rule_pack_activations (
    partition    integer     NOT NULL,
    number       bigint      NOT NULL,
    version      text        NOT NULL REFERENCES rule_packs (version),
    activated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, number)
);

-- Wakes the dispatcher; what it does it finds by reading.
CREATE FUNCTION tocsin_wake_control() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY tocsin_control;
    RETURN NULL;
END
$$;
CREATE TRIGGER commands_wake AFTER INSERT ON commands
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_wake_control();
CREATE TRIGGER control_outbox_wake AFTER INSERT ON control_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION tocsin_wake_control();
