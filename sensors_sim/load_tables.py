"""The tables that the load generator and its kernel share: what stands in which column of an int64 array."""

from __future__ import annotations

from enum import IntEnum


class Conn(IntEnum):
    """Columns of the table of connections, int64."""

    FD = 0
    FIRST_ROW = 1
    END_ROW = 2
    NEXT_ROW = 3
    SERIAL = 4
    """Messages handed to the socket so far."""
    ACKED = 5
    ORDINAL = 6
    """Ordinary messages so far; the intended time follows from it."""
    UNSENT_AT = 7
    """What of the last block the socket has not taken, as offsets into the frames."""
    UNSENT_END = 8
    LAST_MS = 9
    """`ts` of the last block: a row comes round again only in a later millisecond."""
    PHASE_US = 10
    """When its first burst is due."""
    TAIL = 11
    """Bytes of an unfinished packet from the server."""
    DEAD = 12
    """errno, or -1 when the server closed."""
    FAULTS = 13
    """Acknowledgements that were not the next one due, and packets that nobody asked for."""


class Block(IntEnum):
    """Columns of what was sent: a run of rows that left together."""

    CONNECTION = 0
    SERIAL = 1
    COUNT = 2
    ROW = 3
    ORDINAL = 4
    """Of its first message; -1 - i for message i of the alarms."""
    SENT_US = 5


class Ack(IntEnum):
    """Columns of what was acknowledged: at AT_US, CONNECTION had ACKED messages acknowledged in all."""

    CONNECTION = 0
    ACKED = 1
    AT_US = 2


class Setting(IntEnum):
    """What does not change during a run."""

    INTERVAL_NS = 0
    """Between two bursts of one connection; 0: flat out."""
    BURST = 1
    WINDOW = 2
    QUANTUM_US = 3
    """Sleep at least so long between two looks at the sockets; 0: wake for every answer."""
    STOP_US = 4
    """Nothing is sent from here on."""
    ID_AT = 5
    TS_AT = 6
    EPOLL = 7
    MOST = 8
    """Ordinary messages of a connection in all."""


class Count(IntEnum):
    BLOCKS = 0
    ACKS = 1
    NEXT_ALARM = 2
