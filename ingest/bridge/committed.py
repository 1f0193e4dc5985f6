"""What was committed of one session's messages, by packet id: a broker that sends one again is only acknowledged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.door.repeats import Fingerprints
from ingest.door.scan import Found
from schemas.readings import I64, U8

_PACKET_IDS = 65_536


class Committed:
    """The last message of each packet id: 1 MB once all of them are used.

    A message goes again under the id that it had, with DUP. rumqttd does not say DUP; then readings with a time of
    their own are known by that, and others are stored twice.
    """

    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints
        self._marks: npt.NDArray[np.uint64] = np.zeros((_PACKET_IDS, 2), np.uint64)

    def holds(self, buffer: U8, found: Found, row: int) -> bool:
        """Is this very message in the log already?"""
        mark = self._fingerprints.of(buffer, found, np.array([row], np.int64))[0]
        return bool((self._marks[found.packet_id[row]] == mark).all())

    def add(self, buffer: U8, found: Found, rows: I64) -> None:
        """These QoS 1 messages are in the log, in this order."""
        self._marks[found.packet_id[rows]] = self._fingerprints.of(buffer, found, rows)

    def forget(self) -> None:
        """The session has begun anew: nothing of the one before is sent again."""
        self._marks.fill(0)
