-- How long readings wait until they are stored, for whoever watches the house.

-- Of the newest block that has readings: from the arrival of its oldest to its commit.
ALTER TABLE store_status ADD COLUMN waited_us bigint NOT NULL DEFAULT 0;
