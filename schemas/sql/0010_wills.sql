-- Several doors: which of two wills of one client is the newer one, however late its door writes it.

-- When the client came to the door that has the will, by that door's clock.
ALTER TABLE mqtt_wills ADD COLUMN came_us bigint NOT NULL DEFAULT 0;
