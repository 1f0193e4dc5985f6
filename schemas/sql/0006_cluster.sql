-- A cluster's log: which topic it is and how many partitions it has. One process has no topic and one partition.
CREATE TABLE log_layout (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    topic      text    NOT NULL DEFAULT '',
    partitions integer NOT NULL DEFAULT 1 CHECK (partitions > 0)
);
INSERT INTO log_layout DEFAULT VALUES;

-- What enters the log enters it in a partition: who asks says in which.
ALTER TABLE commands ADD COLUMN partition integer NOT NULL DEFAULT 0;
ALTER TABLE control_outbox ADD COLUMN partition integer NOT NULL DEFAULT 0;

-- Records of the log that could not be decoded: kept whole, passed over, never in the way of their partition.
CREATE TABLE unreadable_entries (
    topic     text        NOT NULL,
    partition integer     NOT NULL,
    number    bigint      NOT NULL,
    kind      bytea       NOT NULL,
    body      bytea       NOT NULL,
    why       text        NOT NULL,
    found_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, number)
);
