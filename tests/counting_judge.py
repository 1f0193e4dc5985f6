"""A small judge for tests of those who run one: it counts readings and says so at every third of a sensor."""

from __future__ import annotations

from collections import Counter

import msgspec

from schemas.alarms import AlarmEvent, Answer, Evidence, Grade, Kind, State
from schemas.entries import Entry, ResetAsked, Tick
from schemas.readings import ReadingBatch
from streams.ports import Chunk, Snapshot, Verdict


class CountingJudge:
    """A function of the log with memory: losing, doubling or reordering an entry changes what it says."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.seq = 0
        self.now = 0
        self.resets = 0
        self._changed: set[int] = set()

    def apply(self, entry: Entry) -> Verdict:
        events: list[AlarmEvent] = []
        answers: list[Answer] = []
        match entry.payload:
            case ReadingBatch():
                for sensor, event_us in zip(
                    entry.payload.sensor_id.tolist(), entry.payload.event_time.tolist(), strict=True
                ):
                    self.counts[sensor] += 1
                    self._changed.add(sensor)
                    if self.counts[sensor] % 3 == 0:
                        events.append(self._event(sensor, event_us, entry))
            case ResetAsked():
                self.resets += 1
                answers.append(Answer(entry.payload.command, self.resets % 2 == 1, f"number {self.resets}"))
            case Tick():
                self.now = max(self.now, entry.payload.now_us)
            case _:
                pass
        return Verdict(events, answers)

    def _event(self, sensor: int, event_us: int, entry: Entry) -> AlarmEvent:
        self.seq += 1
        return AlarmEvent(
            key=f"{sensor:032x}", step=self.counts[sensor] // 3, partition=entry.partition, seq=self.seq,
            state=State.RAISED,
            subject=f"e/d{sensor}/value", enterprise="e", device=f"d{sensor}", measure="value", family="value",
            kind=Kind.FIRE, grade=Grade.RED, previous=Grade.NONE, active=True, latched=False, onset_us=event_us,
            event_us=event_us, received_us=event_us, now_us=self.now, entry=entry.number,
            evidence=Evidence("test", "none", value=float(self.counts[sensor])),
        )  # fmt: skip

    def snapshot(self, position: int) -> Snapshot:
        chunks = [Chunk("self", 0, msgspec.msgpack.encode((self.seq, self.now, self.resets)))]
        for index in sorted({sensor % 4 for sensor in self._changed}):
            part = {sensor: n for sensor, n in self.counts.items() if sensor % 4 == index}
            chunks.append(Chunk("counts", index, msgspec.msgpack.encode(part)))
        self._changed.clear()
        return Snapshot(position, chunks)

    def restore(self, snapshot: Snapshot) -> None:
        for chunk in snapshot.chunks:
            if chunk.name == "self":
                self.seq, self.now, self.resets = msgspec.msgpack.decode(chunk.body)
            else:
                self.counts.update(msgspec.msgpack.decode(chunk.body, type=dict[int, int]))
