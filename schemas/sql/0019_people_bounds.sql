-- Bounds of what people do: test messages are counted, keys of acts say what came of them, old acts are forgotten.

-- Test messages of the last day: who asked for them, and a digest of the number to which they went.
CREATE TABLE test_messages (
    number         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_us          bigint NOT NULL,
    who            text   NOT NULL,
    address_sha256 bytea  NOT NULL
);
CREATE INDEX test_messages_by_who ON test_messages (who, at_us);
CREATE INDEX test_messages_by_address ON test_messages (address_sha256, at_us);
CREATE INDEX test_messages_at ON test_messages (at_us);

-- Empty: it was begun, and what came of it is not known. What stands there by now was answered as done.
ALTER TABLE done_once ADD COLUMN done_at timestamptz;
UPDATE done_once SET done_at = at;
