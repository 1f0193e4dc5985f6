-- The reading store's edition, decided once, by what the database has when this is applied: with TimescaleDB closed readings
-- lie in a hypertable, without it in native partitions. Roll-ups are continuous aggregates where its licence has them,
-- otherwise rows that the store writes. The views `readings`, `readings_hourly` and `readings_daily` are the same on all.
-- What a database already has in partitions stays there. Every branch is parsed by every server that applies this.

-- Hours and days (UTC) that have closed readings, where the store rolls up itself. One that is done takes later readings in
-- as they come; `done` moves once, so each reading is counted once.
CREATE TABLE roll_ups (
    grain    text    NOT NULL CHECK (grain IN ('hour', 'day')),
    start_us bigint  NOT NULL,
    done     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (grain, start_us)
);
CREATE INDEX roll_ups_to_do ON roll_ups (grain, start_us) WHERE NOT done;

DO $$
DECLARE
    has_timescale  CONSTANT boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
    has_aggregates CONSTANT boolean := has_timescale AND current_setting('timescaledb.license', true) = 'timescale';
    is_empty       CONSTANT boolean := NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'timely_readings'::regclass);
BEGIN
    IF has_timescale AND is_empty THEN
        DROP VIEW readings;
        DROP TABLE timely_readings;
        CREATE TABLE timely_readings (
            sensor_id    bigint           NOT NULL,
            event_time   timestamptz      NOT NULL,
            arrival_time timestamptz      NOT NULL,
            value        double precision NOT NULL,
            quality      smallint         NOT NULL,
            origin       smallint         NOT NULL,
            PRIMARY KEY (sensor_id, event_time)
        );
        PERFORM create_hypertable(
            'timely_readings', 'event_time', chunk_time_interval => interval '1 day', create_default_indexes => false
        );
    END IF;

    IF has_aggregates AND is_empty THEN
        ALTER TABLE timely_readings SET (
            timescaledb.compress, timescaledb.compress_segmentby = 'sensor_id', timescaledb.compress_orderby = 'event_time'
        );
        CREATE MATERIALIZED VIEW hourly_rows WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
        SELECT sensor_id, time_bucket(interval '1 hour', event_time) AS hour, count(*) AS readings,
               min(value) AS lowest, max(value) AS highest, sum(value) AS total
          FROM timely_readings
         GROUP BY 1, 2
          WITH NO DATA;
        CREATE MATERIALIZED VIEW daily_rows WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
        SELECT sensor_id, time_bucket(interval '1 day', hour) AS day, sum(readings)::bigint AS readings,
               min(lowest) AS lowest, max(highest) AS highest, sum(total) AS total
          FROM hourly_rows
         GROUP BY 1, 2
          WITH NO DATA;
    ELSE
        -- Partitions are made and dropped by the store: of a day, and of 32 days.
        CREATE TABLE hourly_rows (
            sensor_id bigint           NOT NULL,
            hour      timestamptz      NOT NULL,
            readings  bigint           NOT NULL,
            lowest    double precision NOT NULL,
            highest   double precision NOT NULL,
            total     double precision NOT NULL,
            PRIMARY KEY (sensor_id, hour)
        ) PARTITION BY RANGE (hour);
        CREATE TABLE daily_rows (
            sensor_id bigint           NOT NULL,
            day       timestamptz      NOT NULL,
            readings  bigint           NOT NULL,
            lowest    double precision NOT NULL,
            highest   double precision NOT NULL,
            total     double precision NOT NULL,
            PRIMARY KEY (sensor_id, day)
        ) PARTITION BY RANGE (day);
        -- What closed before there were roll-ups.
        INSERT INTO roll_ups
        SELECT DISTINCT 'hour', hour_us, false
          FROM reading_partitions,
               generate_series(start_us / 3600000000 * 3600000000, end_us - 1, 3600000000) AS hour_us;
    END IF;
END
$$;

CREATE OR REPLACE VIEW readings AS
SELECT DISTINCT ON (sensor_id, event_time) sensor_id, event_time, arrival_time, value, quality, origin
  FROM (
        SELECT *, 0 AS rank FROM timely_readings
         UNION ALL
        SELECT r.*, 0 FROM open_parts JOIN open_blocks AS b USING (part), block_readings(b.n, b.body) AS r
         UNION ALL
        SELECT *, 1 FROM late_readings
       ) AS kept
 ORDER BY sensor_id, event_time, rank;

-- What every sensor said in each hour and each day (UTC) that is over and closed, late readings with it.
CREATE VIEW readings_hourly AS
SELECT sensor_id, hour, readings, lowest, highest, total, total / readings AS mean FROM hourly_rows;

CREATE VIEW readings_daily AS
SELECT sensor_id, day, readings, lowest, highest, total, total / readings AS mean FROM daily_rows;
