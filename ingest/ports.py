"""The shapes between the door, the codecs and admission, and what they expect of the outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.saved import Change
from schemas.entries import Payload, Sensors
from schemas.errors import Reject
from schemas.readings import I64, ReadingBatch


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """n telemetry or status messages of one round, as views into one buffer.

    buffer: (bytes,) uint8.  topic_start/topic_end, payload_start/payload_end: (n,) int64 offsets into it, half open.
    topic_id: (n,) int32, the door's dense number of the topic's bytes (`ingest.intern.ByteTable`); the door has already
    checked that the sender may publish there.  arrival_us: (n,) int64, strictly increasing over the life of the log.
    client: (n,) int32, the door's number of the connection, for answers.
    """

    buffer: npt.NDArray[np.uint8]
    topic_start: I64
    topic_end: I64
    payload_start: I64
    payload_end: I64
    topic_id: npt.NDArray[np.int32]
    arrival_us: I64
    client: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.topic_id)


@dataclass(frozen=True, slots=True)
class Refused:
    """A message of which something was refused: kept whole in quarantine, answered on the device's `errors`."""

    message: int
    """Index in the MessageBatch."""
    enterprise: str
    device: str
    topic: str
    payload: bytes
    arrival_us: int
    rejects: tuple[Reject, ...]
    kept: bool = True
    """False: an answer only (a clock to mend); everything in the message was admitted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A refused message as quarantine keeps it; (arrival_us, source) is its name.

    source: who took it, of several that write; their arrivals are not each other's.  client: its sender's client id.
    """

    arrival_us: int
    enterprise: str
    device: str
    topic: str
    client: str
    payload: bytes
    rejects: tuple[Reject, ...]
    source: str = ""

    @classmethod
    def of(cls, refused: Refused, client: str, source: str) -> Kept:
        return cls(
            refused.arrival_us, refused.enterprise, refused.device, refused.topic, client, refused.payload,
            refused.rejects, source,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Admitted:
    """What one round gives the log: readings, sensors never seen before (to be written first), and refusals."""

    readings: ReadingBatch
    sensors: Sensors
    refused: Sequence[Refused]


class Intake(Protocol):
    """Codec and admission behind one call; pure but for its own tables of names."""

    def take(self, messages: MessageBatch) -> Admitted: ...

    def committed(self) -> None:
        """The last `Admitted` is in the log: its sensors need not be declared again."""
        ...


class RoundLog(Protocol):
    """Where a round becomes durable: rows of one transaction in one process, Kafka in a cluster."""

    def commit(self, payloads: Sequence[Payload], kept: Sequence[Kept], changes: Sequence[Change]) -> int:
        """Return once payloads and kept messages are durable, so that their senders may be answered.

        Returns 0 when the changes of sessions are durable, too; otherwise the number under which it will be said
        whether they are. Raises ServiceAway: the same round is to be committed again; part of it may be durable
        already, and that is harmless. Raises Fenced (stop) or OutcomeUnknown (closed meanwhile).
        """
        ...
