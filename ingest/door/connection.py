"""One client's connection, and the columns of all of them that the compiled passes read.

A column is indexed by the socket's number, which the system uses again; `generation` tells two users of a number apart.
"""

from __future__ import annotations

import math
import select
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.door.limits import Cause
from ingest.door.session import Session
from ingest.saved import WillKept


@dataclass(slots=True)
class TooLarge:
    """A message over the limit whose bytes are being skipped; its head goes into quarantine."""

    topic: bytes
    head: bytes
    qos: int
    packet_id: int


@dataclass(slots=True, eq=False)
class Connection:
    socket: socket.socket
    number: int
    """Of the socket, and of the row in `Columns`."""
    generation: int
    version: int
    login: int
    """Number of the principal, see `Rights`."""
    session: Session
    talking: dict[int, Connection]
    """The state's connections with bytes in `out`."""
    came_us: int = 0
    """When it connected, µs since 1970."""
    will: WillKept | None = None
    out: bytearray = field(default_factory=bytearray)
    """Answers that wait for the round's commit."""
    backlog: bytearray = field(default_factory=bytearray)
    """Answers that the socket did not take; while there are any it is not read."""
    backlog_since: float = 0.0
    pledges: int = 0
    """Commits whose changes of its session are not known to be durable; while there are any it is not read."""
    unsaid: bytearray = field(default_factory=bytearray)
    """Answers that wait for them."""
    tail: bytes = b""
    """Bytes that were received and not yet taken."""
    too_large: TooLarge | None = None
    foreign: deque[float] = field(default_factory=deque)
    """Times of the last messages on foreign topics."""
    closing: Cause | None = None
    is_gone: bool = False
    """The peer has closed; what it sent before is still taken."""
    is_held: bool = False
    """Over its messages a second: not read for the rest of it."""

    def say(self, answer: bytes) -> None:
        self.out += answer
        self.talking[self.number] = self

    @property
    def is_read(self) -> bool:
        return not (self.backlog or self.is_held or self.pledges)

    def interest(self) -> int:
        if self.backlog:
            return select.EPOLLOUT
        return select.EPOLLIN if self.is_read else 0


class Columns:
    """generation: int64.  version: 4 or 5.  login: the principal's number.  tail_length, skip: bytes.

    tail_since, heard: monotonic seconds.  patience_s: of silence, 1.5 keep-alives.  window: messages of this second.
    refused: of these, those that were refused.  mark: (rows, 2) fingerprint of the last committed QoS 1 message.
    """

    __slots__ = (
        "generation", "heard", "login", "mark", "patience_s", "refused", "skip", "tail_length", "tail_since", "version",
        "window",
    )  # fmt: skip

    def __init__(self, rows: int) -> None:
        self.generation: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self.version: npt.NDArray[np.uint8] = np.zeros(rows, np.uint8)
        self.login: npt.NDArray[np.int32] = np.zeros(rows, np.int32)
        self.tail_length: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self.skip: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self.tail_since: npt.NDArray[np.float64] = np.full(rows, math.inf)
        self.heard: npt.NDArray[np.float64] = np.zeros(rows)
        self.patience_s: npt.NDArray[np.float64] = np.full(rows, math.inf)
        self.mark: npt.NDArray[np.uint64] = np.zeros((rows, 2), np.uint64)
        self.window: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self.refused: npt.NDArray[np.int64] = np.zeros(rows, np.int64)

    def reserve(self, number: int) -> None:
        """Make a row for the socket `number`."""
        if number < len(self.version):
            return
        fresh: Any = Columns(max(number + 1, 2 * len(self.version)))
        for name in self.__slots__:
            old = getattr(self, name)
            getattr(fresh, name)[: len(old)] = old
            setattr(self, name, getattr(fresh, name))

    def clear(self, number: int) -> None:
        self.tail_length[number] = self.skip[number] = self.window[number] = self.refused[number] = 0
        self.tail_since[number] = self.patience_s[number] = math.inf
        self.generation[number] = -1
        self.mark[number] = 0
