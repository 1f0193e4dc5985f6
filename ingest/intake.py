"""Codec and admission behind one call: the messages of a round in, what the log and the devices get out.

The compiled reader takes what it is sure of; the rest goes to admission message by message, and readings come out in
the order in which their messages were received, whichever way they took.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.admission import Outcome, admit_status, admit_telemetry
from ingest.codecs.tocsin_json import NEW, TAKEN, decode
from ingest.ports import Admitted, MessageBatch, Refused
from ingest.sensors import SENSORS_PER_DEVICE, Declared, SensorTable, Spoken
from schemas.entries import Sensors
from schemas.errors import Reject
from schemas.readings import I64, U8, Origin, ReadingBatch
from schemas.rejects import CLOCK_CODES, Code
from schemas.topics import DeviceTopic
from scoring.declarations import head_of

FIRST_NEW = 32
"""Messages that name new sensors and are answered one by one before the others are tried compiled again, twice as many
each turn: the first message of a device makes its sensors known, and a round may hold thousands of it."""

I32 = npt.NDArray[np.int32]
_encoder = msgspec.msgpack.Encoder()


class _Part(NamedTuple):
    """Readings and the indices of their messages."""

    readings: ReadingBatch
    message: I32


class _Rejected(NamedTuple):
    """A message that was answered one by one, and what was refused of it, if anything."""

    message: int
    topic_text: str
    topic: DeviceTopic | None
    payload: bytes
    rejects: list[Reject]


class JsonIntake:
    """The Intake of our own JSON; not thread-safe. Memory: about 25 bytes a sensor, in columns.

    sensors_per_device: further sensors of a device are refused.  seed: 16 bytes, for tests.
    """

    def __init__(self, *, sensors_per_device: int = SENSORS_PER_DEVICE, seed: bytes | None = None) -> None:
        self._sensors = SensorTable(limit=sensors_per_device, seed=seed)
        self._undeclared: list[Declared] = []

    @property
    def known_sensors(self) -> int:
        return len(self._sensors)

    def take(self, messages: MessageBatch) -> Admitted:
        parts: list[_Part] = []
        refused: list[Refused] = []
        rest: I64 = np.arange(len(messages), dtype=np.int64)
        most = FIRST_NEW
        while len(rest):
            decoded = decode(messages, rest, self._sensors)
            parts.append(_Part(decoded.readings, decoded.message))
            state = decoded.state
            if most == FIRST_NEW:
                state = self._name_new(messages, rest, state, parts)
            left = np.flatnonzero(state != TAKEN)
            if not len(left):
                break
            is_new = state[left] == NEW
            later = is_new & (np.cumsum(is_new) > most)
            one_by_one = rest[left[~later]]
            if len(one_by_one):
                parts.append(self._take_plainly(messages, one_by_one.tolist(), refused))
            rest = rest[left[later]]
            most *= 2
        refused.sort(key=lambda one: one.message)
        return Admitted(_in_order(parts), _entry_of(self._undeclared), refused)

    def committed(self) -> None:
        self._undeclared.clear()

    def _name_new(self, messages: MessageBatch, which: I64, state: U8, parts: list[_Part]) -> U8:
        """Take what says nothing unusual but that its sensors are new; returns the states of all."""
        new = np.flatnonzero(state == NEW)
        if not len(new):
            return state
        found = self._sensors.candidates(messages, which[new])
        trial, candidate = self._sensors.trial(messages, found)
        decoded = decode(messages, which[new], trial)
        spoken = np.zeros(len(candidate), bool)
        spoken[decoded.readings.sensor_id] = True
        numbers = np.flatnonzero(spoken)
        ids: I64 = np.zeros(len(candidate), np.int64)
        ids[numbers], fresh = self._sensors.learn(messages, found, candidate[numbers])
        if fresh.sensors:
            self._undeclared.append(fresh)
        sensor_id, *columns = decoded.readings.columns()
        parts.append(_Part(ReadingBatch(ids[sensor_id], *columns), decoded.message))
        state = state.copy()
        state[new] = decoded.state
        return state

    def _take_plainly(self, messages: MessageBatch, which: Sequence[int], refused: list[Refused]) -> _Part:
        """Answer messages one by one; adds to `refused` and to the sensors to be declared."""
        spoken: list[Spoken] = []
        message: list[int] = []
        rejected: list[_Rejected] = []
        for m in which:
            topic_text = _bytes(messages, messages.topic_start[m], messages.topic_end[m]).decode(errors="replace")
            payload = _bytes(messages, messages.payload_start[m], messages.payload_end[m])
            topic = DeviceTopic.parse(topic_text)
            outcome = _outcome(topic, payload, int(messages.arrival_us[m]))
            rejected.append(_Rejected(m, topic_text, topic, payload, list(outcome.rejects)))
            if topic is not None:
                topic_id = int(messages.topic_id[m])
                spoken.extend(Spoken(topic_id, topic, reading) for reading in outcome.readings)
                message.extend([m] * len(outcome.readings))
        ids, fresh = self._sensors.settle(spoken)
        if fresh:
            self._undeclared.append(Declared(b"".join(map(_encoder.encode, fresh)), len(fresh)))
        of_message = np.array(message, np.int32)
        over: dict[int, Reject] = {}
        for i in np.flatnonzero(ids < 0).tolist():
            over.setdefault(message[i], self._too_many(spoken[i].reading.key))
        for one in rejected:
            rejects = [*one.rejects, *([over[one.message]] if one.message in over else [])]
            if rejects:
                refused.append(_refused(one, rejects, int(messages.arrival_us[one.message])))
        readings = ReadingBatch.of(
            ids,
            [one.reading.event_us for one in spoken],
            messages.arrival_us[of_message],
            [one.reading.value for one in spoken],
            [one.reading.quality for one in spoken],
            [one.reading.origin for one in spoken],
        )
        return _Part(readings.take(ids >= 0), of_message[ids >= 0])

    def _too_many(self, key: str) -> Reject:
        reason = f"The device has {self._sensors.limit} sensors already; no further one is taken."
        return Reject(Code.TOO_MANY_SENSORS, key, reason, "Use fixed channels, and fewer of them.")


def _entry_of(declared: Sequence[Declared]) -> Sensors:
    count = sum(one.sensors for one in declared)
    return Sensors.of_body(head_of(count) + b"".join(one.body for one in declared), count)


def _refused(one: _Rejected, rejects: Sequence[Reject], arrival_us: int) -> Refused:
    enterprise, device = one.topic[:2] if one.topic is not None else ("", "")
    is_kept = any(reject.code not in CLOCK_CODES for reject in rejects)
    return Refused(one.message, enterprise, device, one.topic_text, one.payload, arrival_us, tuple(rejects), is_kept)


def _outcome(topic: DeviceTopic | None, payload: bytes, arrival_us: int) -> Outcome:
    if topic is not None and topic.leaf == "telemetry":
        return admit_telemetry(payload, arrival_us)
    if topic is not None and topic.leaf == "status":
        return admit_status(payload, arrival_us)
    mend = "Publish on tocsin/v1/ENTERPRISE/DEVICE/telemetry or …/status."
    return Outcome([], (Reject(Code.TOPIC, "", "Nothing is read from this topic.", mend),))


def _bytes(messages: MessageBatch, start: np.int64, end: np.int64) -> bytes:
    return messages.buffer[start:end].tobytes()


def _in_order(parts: Sequence[_Part]) -> ReadingBatch:
    """One batch in the order of the messages, with the last reading of each sensor of an array marked as its end."""
    filled = [part for part in parts if len(part.message)]
    if not filled:
        return ReadingBatch.empty()
    readings = ReadingBatch.concat([part.readings for part in filled])
    message = filled[0].message
    if len(filled) > 1:
        message = np.concatenate([part.message for part in filled])
        order = np.argsort(message, kind="stable")
        readings, message = readings.take(order), message[order]
    replays = np.flatnonzero(readings.origin == Origin.REPLAY)
    if len(replays):
        # Sorted by message and sensor, the last of each group in the order of the payload is the end.
        order = np.lexsort((readings.sensor_id[replays], message[replays]))
        groups = np.stack((message[replays], readings.sensor_id[replays]))[:, order]
        is_last = np.append((groups[:, 1:] != groups[:, :-1]).any(axis=0), True)
        readings.origin[replays[order[is_last]]] = Origin.REPLAY_END
    return readings
