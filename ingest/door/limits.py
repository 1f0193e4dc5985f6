"""What the door allows and what it has counted: settings with defaults, and counters whose causes are closed sets."""

from __future__ import annotations

import resource
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

OTHER_FILES = 512
"""Files of this process that are not clients: PostgreSQL, HTTP, logs, shared libraries."""


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """Limits of the door. Sizes in bytes, times in seconds, rates per second."""

    name: str = ""
    """This door's own among several, for ever; what it keeps is kept under it."""
    host: str = "127.0.0.1"
    port: int = 1883
    """0 takes a free one, see `Door.port`."""
    proxy_socket: str = ""
    """A unix socket on which a TLS terminator brings clients (`ingest.door.proxied`); empty: none."""
    anonymous: bool = True
    """On loopback, clients without a user name come in and may do everything."""
    connections: int = 20_000
    connections_per_login: int = 5_000
    """Not of clients without a login."""
    packet_size: int = 256 * 1024
    """A whole packet, its head included."""
    connect_size: int = 64 * 1024 + 5
    """A whole CONNECT, which anybody may send: it is buffered before its login is known."""
    receive_maximum: int = 8_192
    """QoS 1 messages of one client without their PUBACK."""
    messages_per_s: int = 250_000
    """Of one client; above it its socket is not read for the rest of the second."""
    refused_per_s: int = 200
    """Refused messages of one client, each as dear to everybody's round as many good ones; above it the same."""
    unfinished_bytes: int = 64 * 1024 * 1024
    """All frames that have begun and not ended; above it their connections are closed."""
    round_bytes: int = 4 * 1024 * 1024
    round_messages: int = 65_536
    keep_alive_s: int = 300
    """For a client that asks for none: version 5 is told, 3.1.1 has `idle_s`."""
    idle_s: int = 3_600
    connect_s: float = 5.0
    frame_s: float = 30.0
    """How long a frame may be unfinished."""
    unread_s: float = 60.0
    """How long a client may leave our answers unread."""
    session_expiry_s: int = 7 * 24 * 3600
    """Cap of version 5, and the value of 3.1.1."""
    name_bytes: int = 256
    """Of a client id, and of a user name: both are parts of a session's key."""
    filter_bytes: int = 1_024
    """Of a subscription's filter; it is part of a key that PostgreSQL takes up to 2,704 bytes of."""
    queue: int = 1_000
    """Messages that wait for one client; above it the oldest is dropped."""
    in_flight: int = 100
    """QoS 1 messages on their way to one client, if it does not allow fewer."""
    foreign_per_minute: int = 10
    reentry_per_s: float = 500.0
    """CONNECTs let in after the log was away, for `reentry_s`."""
    reentry_s: float = 30.0
    shared_s: float = 5.0
    """How long a client waits for what other doors or PostgreSQL must say first."""
    linger_s: float = 1.0
    """How long a closed connection is drained, so that its last packet is not lost to a reset."""


class Cause(StrEnum):
    """Why a connection was closed, or a CONNECT refused."""

    DISCONNECTED = "disconnected"
    CUT = "cut"
    MALFORMED = "malformed"
    PROTOCOL = "protocol"
    SECOND_CONNECT = "second_connect"
    NO_CONNECT = "no_connect"
    VERSION = "version"
    CLIENT_ID = "client_id"
    LOGIN = "login"
    AUTH = "auth"
    AWAY = "away"
    REENTRY = "reentry"
    CONNECTIONS = "connections"
    KEEP_ALIVE = "keep_alive"
    UNFINISHED_FRAME = "unfinished_frame"
    UNFINISHED_BYTES = "unfinished_bytes"
    UNREAD = "unread"
    TAKEN_OVER = "taken_over"
    FOREIGN = "foreign"
    REVOKED = "revoked"
    """Its login was taken away, or has another secret by now."""
    TOO_LARGE = "too_large"
    RECEIVE_MAXIMUM = "receive_maximum"
    TOPIC_ALIAS = "topic_alias"
    QOS = "qos"
    STOPPING = "stopping"


class Dropped(StrEnum):
    """Why a message was dropped, inwards or outwards."""

    FOREIGN = "foreign"
    REPEATED = "repeated"
    """A DUP that equals the last of its client, or a QoS 2 id that is stored."""
    TOO_LARGE = "too_large"
    QUEUE_FULL = "queue_full"
    CLIENT_SIZE = "client_size"
    """Larger than the client's own Maximum Packet Size."""
    UNREAD = "unread"
    """QoS 0 to a client that does not read."""


@dataclass(slots=True)
class Counts:
    """What the door has counted since it was made. Written by its thread; reading from another is safe."""

    rounds: int = 0
    received_bytes: int = 0
    messages: int = 0
    """PUBLISHes that were taken into a round, wills included."""
    acknowledged: int = 0
    published: int = 0
    """PUBLISHes on their way to clients."""
    connects: int = 0
    away: int = 0
    """Commits that found the log away."""
    rate_limited: int = 0
    """Times a client was over its messages, or its refused messages, a second."""
    closed: Counter[Cause] = field(default_factory=Counter)
    refused: Counter[Cause] = field(default_factory=Counter)
    """CONNECTs that were not let in."""
    dropped: Counter[Dropped] = field(default_factory=Counter)
    connections: int = 0
    sessions: int = 0
    unfinished_bytes: int = 0
    is_away: bool = False


def allow_files(connections: int) -> None:
    """Raise this process's limit of open files so far that `connections` sockets fit, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
