-- Readings at rest. New ones lie in sorted blocks (`open_blocks`) until their part of time closes, then as rows in a
-- partition of `timely_readings`; what came late waits in `late_readings` until its partition takes it in. The view
-- `readings` shows all of them, each (sensor_id, event_time) once: the first that came.

-- Closed parts of time. Partitions are made, merged and dropped by the store; `reading_partitions` lists them.
CREATE TABLE timely_readings (
    sensor_id    bigint           NOT NULL,
    event_time   timestamptz      NOT NULL,
    arrival_time timestamptz      NOT NULL,
    value        double precision NOT NULL,
    quality      smallint         NOT NULL,
    origin       smallint         NOT NULL,
    PRIMARY KEY (sensor_id, event_time)
) PARTITION BY RANGE (event_time);

CREATE TABLE reading_partitions (
    name     text   PRIMARY KEY,
    start_us bigint NOT NULL,
    end_us   bigint NOT NULL CHECK (end_us > start_us),
    readings bigint NOT NULL
);

-- Parts of time that still take readings. Several may cover the same time; a part closes at `closes_us` of stream time.
CREATE TABLE open_parts (
    part      bigint PRIMARY KEY,
    start_us  bigint NOT NULL,
    end_us    bigint NOT NULL CHECK (end_us > start_us),
    closes_us bigint NOT NULL,
    readings  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE SEQUENCE store_numbers;

-- One row: the readings of one block whose sensor ids share their top 12 bits (`bucket`), by (sensor_id, event_time).
-- `body` is columns of big-endian numbers: n sensor ids, n event times, n arrival times (µs since 1970), n values (IEEE 754),
-- n qualities, n origins (one byte each). 34 bytes a reading and a tenth of the time that a row of its own costs.
CREATE TABLE open_blocks (
    part   bigint   NOT NULL,
    bucket smallint NOT NULL,
    n      integer  NOT NULL,
    body   bytea    NOT NULL
) PARTITION BY LIST (part);
ALTER TABLE open_blocks ALTER body SET STORAGE PLAIN;
CREATE INDEX open_blocks_bucket ON open_blocks (bucket);

-- Not newer than their sensor's newest when they came.
CREATE TABLE late_readings (
    sensor_id    bigint           NOT NULL,
    event_time   timestamptz      NOT NULL,
    arrival_time timestamptz      NOT NULL,
    value        double precision NOT NULL,
    quality      smallint         NOT NULL,
    origin       smallint         NOT NULL,
    PRIMARY KEY (sensor_id, event_time)
);
CREATE INDEX late_readings_event_time ON late_readings (event_time);

-- Each sensor's newest reading, some minutes behind; exact with the log's entries after the position of `store.last_values`.
CREATE TABLE last_values (
    sensor_id  bigint           PRIMARY KEY,
    event_time timestamptz      NOT NULL,
    value      double precision NOT NULL,
    quality    smallint         NOT NULL
) WITH (fillfactor = 70);

-- What the store has done, in one row. Every reading of the log up to its position is one of
-- stored, late, duplicate or refused_old; conflicting are those duplicates that bore another value.
CREATE TABLE store_status (
    one         boolean     PRIMARY KEY DEFAULT true CHECK (one),
    stream_us   bigint      NOT NULL DEFAULT 0,
    stored      bigint      NOT NULL DEFAULT 0,
    late        bigint      NOT NULL DEFAULT 0,
    duplicate   bigint      NOT NULL DEFAULT 0,
    conflicting bigint      NOT NULL DEFAULT 0,
    refused_old bigint      NOT NULL DEFAULT 0,
    blocks      bigint      NOT NULL DEFAULT 0,
    written_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO store_status DEFAULT VALUES;

-- Eight bytes at `at` as a number. PostgreSQL before 18 has no cast for it.
CREATE FUNCTION bytes_to_bigint(body bytea, at integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || encode(substring(body FROM at + 1 FOR 8), 'hex'))::bit(64)::bigint
$$;

-- The double whose IEEE 754 bits these are, exactly; finite numbers only (others are never admitted).
CREATE FUNCTION bits_to_double(bits bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN bits < 0 THEN -1.0::float8 ELSE 1.0::float8 END * CASE (bits >> 52) & 2047
        WHEN 0 THEN ((bits & 4503599627370495)::float8 * power(2::float8, -537)) * power(2::float8, -537)
        ELSE ((bits & 4503599627370495) + 4503599627370496)::float8 * power(2::float8, ((bits >> 52) & 2047) - 1075)
    END
$$;

-- A block's readings as rows; slow (microseconds a reading): for looking, not for a sensor's history.
CREATE FUNCTION block_readings(n integer, body bytea) RETURNS TABLE (
    sensor_id bigint, event_time timestamptz, arrival_time timestamptz, value double precision, quality smallint,
    origin smallint
) LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 100 AS $$
    SELECT bytes_to_bigint(body, 8 * i),
           timestamptz '1970-01-01 00:00:00+00' + bytes_to_bigint(body, 8 * (n + i)) * interval '1 microsecond',
           timestamptz '1970-01-01 00:00:00+00' + bytes_to_bigint(body, 8 * (2 * n + i)) * interval '1 microsecond',
           bits_to_double(bytes_to_bigint(body, 8 * (3 * n + i))),
           get_byte(body, 32 * n + i)::smallint,
           get_byte(body, 33 * n + i)::smallint
      FROM generate_series(0, n - 1) AS i
$$;

CREATE VIEW readings AS
SELECT DISTINCT ON (sensor_id, event_time) sensor_id, event_time, arrival_time, value, quality, origin
  FROM (
        SELECT *, 0 AS rank FROM timely_readings
         UNION ALL
        SELECT r.*, 0 FROM open_parts JOIN open_blocks AS b USING (part), block_readings(b.n, b.body) AS r
         UNION ALL
        SELECT *, 1 FROM late_readings
       ) AS kept
 ORDER BY sensor_id, event_time, rank;
