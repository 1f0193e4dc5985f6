"""Who may publish where, and read what. Verdicts on topics are remembered, so that a round costs an array look-up.

A topic is interned once somebody who may publish there has done so; a foreign topic never is, so a stranger cannot
fill the table. `granted[topic]` is the number of the login that last published there; the same login passes without a
look at the topic's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.arena import Column
from ingest.intern import ByteTable
from ingest.naming import are_telemetry
from schemas import mqtt
from schemas.mqtt_fields import ProtocolFault
from schemas.principals import Principal
from schemas.readings import I64, U8
from schemas.topics import DeviceTopic

I32 = npt.NDArray[np.int32]

PUBLISHED = ("telemetry", "status")
"""What a device publishes."""
READ = ("status", "errors", "command")
"""What a device may subscribe to; the door does not hand on telemetry."""
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Checked:
    """topic_id: (n,) int32, -1 where refused.  foreign, malformed: (k,) rows that may not be taken."""

    topic_id: I32
    foreign: list[int]
    malformed: list[int]


class Rights:
    """The verdicts on topics, and the numbers of the logins that are connected."""

    def __init__(self, topics: ByteTable) -> None:
        self.topics = topics
        self._granted = Column(np.int32, 1024)
        self._status = Column(np.uint8, 1024)
        self._logins: dict[int, Principal] = {}
        self._numbers: dict[Principal, tuple[int, int]] = {}
        self._next = 1
        # 0 is nobody's number: a new topic has been granted to none.

    def enter(self, principal: Principal) -> int:
        """The number of a login; equal logins share it until the last has left."""
        number, users = self._numbers.get(principal, (self._next, 0))
        if not users:
            self._next += 1
            self._logins[number] = principal
        self._numbers[principal] = (number, users + 1)
        return number

    def connections(self, principal: Principal) -> int:
        """How many connections a login has."""
        return self._numbers.get(principal, (0, 0))[1]

    def leave(self, number: int) -> None:
        principal = self._logins[number]
        _, users = self._numbers[principal]
        if users > 1:
            self._numbers[principal] = (number, users - 1)
        else:
            del self._numbers[principal], self._logins[number]

    def intern(self, topic: bytes) -> int:
        """The number of a device's topic whose publisher was checked before."""
        return int(self._intern([topic])[0])

    def is_status(self, topic_id: I32) -> U8:
        """(n,) uint8: 1 where the topic is a device's status."""
        status: U8 = self._status.array[topic_id]
        return status

    def check(self, buffer: U8, starts: I64, ends: I64, logins: I32) -> Checked:
        """Verdicts on n messages. logins: (n,) number of each sender's login, NOBODY where it was checked before."""
        ids = self.topics.lookup(buffer, starts, ends)
        checked = Checked(ids, [], [])
        known = self._granted.array[ids] == logins
        known |= logins == NOBODY
        known &= ids >= 0
        if not known.all():
            rows = self._grant_all(buffer, starts, ends, logins, np.flatnonzero(~known), checked)
            self._look(buffer, starts, ends, logins, rows, checked)
        return checked

    def _grant_all(self, buffer: U8, starts: I64, ends: I64, logins: I32, rows: I64, checked: Checked) -> I64:
        """Grant telemetry to those who may publish anything; returns the rows that are left."""
        free = [n for n in np.unique(logins[rows]).tolist() if n != NOBODY and self._logins[n].everything]
        of_free = rows[np.isin(logins[rows], free)]
        plain = of_free[are_telemetry(buffer, starts[of_free], ends[of_free])]
        if not len(plain):
            return rows
        numbers = self.topics.add_many(buffer, starts[plain], ends[plain])
        self._make_room()
        self._granted.array[numbers] = logins[plain]
        checked.topic_id[plain] = numbers
        return np.setdiff1d(rows, plain)

    def _intern(self, topics: Sequence[bytes]) -> I32:
        numbers = self.topics.add_all(topics)
        self._make_room()
        self._status.array[numbers] = [topic.endswith(b"/status") for topic in topics]
        return numbers

    def _make_room(self) -> None:
        self._granted.reserve(len(self.topics))
        self._status.reserve(len(self.topics))

    def _look(self, buffer: U8, starts: I64, ends: I64, logins: I32, rows: I64, checked: Checked) -> None:
        wanted: dict[tuple[int, bytes], list[int]] = {}
        for row in rows.tolist():
            wanted.setdefault((int(logins[row]), buffer[starts[row] : ends[row]].tobytes()), []).append(row)
        granted: list[tuple[int, bytes]] = []
        for (login, topic), those in wanted.items():
            try:
                may = may_publish(self._logins[login], mqtt.decode_topic(topic))
            except ProtocolFault:
                checked.malformed.extend(those)
                continue
            if may:
                granted.append((login, topic))
            else:
                checked.topic_id[those] = -1
                checked.foreign.extend(those)
        numbers = self._intern([topic for _, topic in granted])
        for (login, topic), number in zip(granted, numbers.tolist(), strict=True):
            self._granted.array[number] = login
            checked.topic_id[wanted[login, topic]] = number
        checked.foreign.sort()
        checked.malformed.sort()


def may_publish(principal: Principal, topic: str) -> bool:
    """Telemetry and status of its own devices."""
    parsed = DeviceTopic.parse(topic)
    return parsed is not None and parsed.leaf in PUBLISHED and principal.owns(parsed.enterprise, parsed.device)


def alarms_of(topic: str) -> str | None:
    """The enterprise whose alarms go by this topic; None where it is not one of alarms."""
    match topic.split("/"):
        case ["tocsin", "v1", enterprise, "alarms"] | ["tocsin", "v1", enterprise, "alarms", _]:
            return enterprise
    return None


def is_filter(text: str) -> bool:
    """Is it a topic filter as MQTT writes them: `#` alone and last, `+` alone in its level."""
    levels = text.split("/")
    if not text or "#" in "".join(levels[:-1]) or len(text.encode()) > 0xFFFF:
        return False
    return all(level in ("+", "#") or not ("+" in level or "#" in level) for level in levels)


def may_read(principal: Principal, wanted: str) -> bool:
    """True when everything that a filter can match is the principal's to read.

    Alarms of whatever enterprises (`+`) may be asked for by whoever reads those of some: it hears of these.
    """
    if principal.everything:
        return not wanted.startswith("$")
    match wanted.split("/"):
        case ["tocsin", "v1", "+", "alarms"] | ["tocsin", "v1", "+", "alarms", "state" | "#" | "+"]:
            return principal.reads_some_alarms
        case ["tocsin", "v1", enterprise, "alarms"] | ["tocsin", "v1", enterprise, "alarms", "state" | "#" | "+"]:
            return principal.reads_alarms(enterprise)
        case ["tocsin", "v1", enterprise, "#" | "+"] | ["tocsin", "v1", enterprise, "+", "#" | "+"]:
            return enterprise in principal.enterprises and principal.reads_alarms(enterprise)
        case ["tocsin", "v1", enterprise, "+", leaf]:
            return enterprise in principal.enterprises and leaf in READ
        case ["tocsin", "v1", enterprise, device, leaf]:
            return principal.owns(enterprise, device) and leaf in (*READ, "+", "#")
    return False
