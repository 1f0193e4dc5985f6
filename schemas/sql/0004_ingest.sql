-- What of the door outlives a kill. A session belongs to its login: (principal, client_id).

-- Sessions that outlive their connection. `ended_us`: when the connection ended, null while there is one.
CREATE TABLE mqtt_sessions (
    principal text    NOT NULL,
    client_id text    NOT NULL,
    expiry_s  bigint  NOT NULL,
    ended_us  bigint,
    PRIMARY KEY (principal, client_id)
) WITH (fillfactor = 70);

CREATE TABLE mqtt_subscriptions (
    principal           text     NOT NULL,
    client_id           text     NOT NULL,
    filter              text     NOT NULL,
    qos                 smallint NOT NULL,
    no_local            boolean  NOT NULL,
    retain_as_published boolean  NOT NULL,
    PRIMARY KEY (principal, client_id, filter),
    FOREIGN KEY (principal, client_id) REFERENCES mqtt_sessions ON DELETE CASCADE
);

-- QoS 2 packet ids under which a message was taken, until the client releases them.
CREATE TABLE mqtt_ids (
    principal text    NOT NULL,
    client_id text    NOT NULL,
    packet_id integer NOT NULL,
    PRIMARY KEY (principal, client_id, packet_id),
    FOREIGN KEY (principal, client_id) REFERENCES mqtt_sessions ON DELETE CASCADE
);

-- QoS 1 messages that a session's client has not acknowledged, in the order of `number`.
CREATE TABLE mqtt_queue (
    principal text    NOT NULL,
    client_id text    NOT NULL,
    number    bigint  NOT NULL,
    topic     text    NOT NULL,
    payload   bytea   NOT NULL,
    retain    boolean NOT NULL,
    PRIMARY KEY (principal, client_id, number),
    FOREIGN KEY (principal, client_id) REFERENCES mqtt_sessions ON DELETE CASCADE
);

-- Wills of connected clients, with or without a session that outlives the connection.
CREATE TABLE mqtt_wills (
    principal    text             NOT NULL,
    client_id    text             NOT NULL,
    topic        text             NOT NULL,
    payload      bytea            NOT NULL,
    qos          smallint         NOT NULL,
    retain       boolean          NOT NULL,
    delay_s      bigint           NOT NULL,
    keep_alive_s double precision NOT NULL,
    PRIMARY KEY (principal, client_id)
);

CREATE TABLE mqtt_retained (
    topic   text     PRIMARY KEY,
    payload bytea    NOT NULL,
    qos     smallint NOT NULL
);
