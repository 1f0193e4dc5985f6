"""Recorded files through the engine, off line: the same entries as from a socket, made of columns.

A file is a run of its own: the engine starts afresh, each sensor is a device by itself (`STEM/NAME`), a reading arrives
at its event time, and ticks are each second of the file's time. Ticks that cannot matter are not made: the engine says
when the next one can, and rows are given to it in strides that end before that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from schemas.alarms import AlarmEvent
from schemas.entries import Entry, Payload, Sensor, Sensors, Tick
from schemas.errors import ConfigError
from schemas.identity import id_of
from schemas.measures import Measure
from schemas.readings import F64, I64, Origin, Quality, ReadingBatch
from schemas.rules import RulePack, Signal
from scoring.naive import NaiveEngine
from streams.engine import Engine
from streams.replay_sources import Recording, Table
from streams.replay_units import Conversion, convert, measure_named

SECOND_US = 1_000_000
BACKFILL_GRACE_US = 5_000_000
_SENSOR = re.compile(r"(?P<name>[^=]+)=(?P<measure>[a-z0-9_]+)(?:\[(?P<unit>[^\]]*)\])?:(?P<column>.+)\Z")


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """`NAME=MEASURE[UNIT]:COLUMN`, read. In NAME a `*` stands for the column's name, where COLUMN is a pattern."""

    name: str
    measure: Measure
    column: str
    to_unit: Conversion

    @classmethod
    def parse(cls, text: str) -> SensorSpec:
        """Raises ConfigError that says which part is wrong."""
        found = _SENSOR.match(text)
        if found is None:
            mend = "Write NAME=MEASURE[UNIT]:COLUMN, for example room=temperature[degF]:TC1."
            raise ConfigError(f"`{text}` is not a sensor.", field="--sensor", mend=mend)
        measure = measure_named(found["measure"])
        return cls(found["name"], measure, found["column"], convert(measure, found["unit"] or ""))


@dataclass(frozen=True, slots=True)
class Replayed:
    """One sensor of one file."""

    name: str
    column: str
    spec: SensorSpec
    sensor: Sensor


@dataclass(slots=True)
class Summary:
    """What one file held and gave."""

    file: str
    sensors: int
    first_us: int = 0
    last_us: int = 0
    readings: int = 0
    refused: int = 0
    """Outside of anything physical."""
    events: int = 0
    raised: dict[str, int] = field(default_factory=dict)
    """Alarms raised, by grade."""


class Judged(Protocol):
    """An engine as a replay drives it."""

    def apply(self, entry: Entry, scores: F64 | None = None) -> Any: ...

    def next_due_us(self) -> int | None: ...

    def pass_time(self, now_us: int) -> None: ...


class EverySecond:
    """The naive twin, which is given each tick there is: what the compiled engine is compared with."""

    def __init__(self, pack: RulePack) -> None:
        self._twin = NaiveEngine(pack)

    def apply(self, entry: Entry, scores: F64 | None = None) -> Any:
        verdict = self._twin.apply(entry)
        if scores is not None:
            scores[:] = verdict.scores
        return verdict

    def next_due_us(self) -> int:
        return 0

    def pass_time(self, now_us: int) -> None:
        raise AssertionError("a tick of every second is due")


OnEvent = Callable[[AlarmEvent, float], None]
"""An event, and the file's own time of it in s."""
OnScores = Callable[[Replayed, pa.Array, F64, F64, F64], None]
"""A sensor's (n,) rows: the time as written, the file's own time in s, value, score (NaN while not able to say)."""


def sensors_of(recording: Recording, specs: Sequence[SensorSpec], *, several: bool) -> list[Replayed]:
    """The file's columns as sensors. Raises ConfigError for a column that is not there or a name that comes twice."""
    found: dict[str, Replayed] = {}
    for spec in specs:
        for column in recording.match(spec.column):
            name = spec.name.replace("*", column)
            if name in found:
                mend = "Give each its own; with a pattern put a * into the name, which stands for the column's."
                raise ConfigError(f"two sensors are called `{name}`.", field="--sensor", mend=mend)
            key = f"{recording.stem}/{name}/{spec.measure.name}"
            sensor = Sensor(id_of(key), recording.stem, name, spec.measure.name)
            found[name] = Replayed(f"{recording.stem}/{name}" if several else name, column, spec, sensor)
    return list(found.values())


class Replay:
    """One file through one engine."""

    def __init__(
        self,
        recording: Recording,
        sensors: Sequence[Replayed],
        pack: RulePack,
        *,
        naive: bool = False,
        on_event: OnEvent | None = None,
        on_scores: OnScores | None = None,
    ) -> None:
        self._recording = recording
        self._sensors = sensors
        self._engine: Judged = EverySecond(pack) if naive else Engine(pack, capacity=max(4096, len(sensors)))
        self._on_event = on_event
        self._on_scores = on_scores
        self._reach_us = reach_us(pack)
        self._number = 0
        self._now = 0
        self._newest = 0
        self._started = False
        self._ids = np.array([s.sensor.id for s in sensors], np.int64)
        self.summary = Summary(str(recording.path), len(sensors))

    def run(self) -> Iterator[Summary]:
        """Judge the file; yields the running summary after some ten thousand rows each."""
        self._apply(Sensors([s.sensor for s in self._sensors]))
        for table in self._recording.tables([s.column for s in self._sensors]):
            self._take(table)
            yield self.summary
        if self._started:
            self._advance(_second_after(self._newest))

    def _take(self, table: Table) -> None:
        times = table.time_us
        if not self._started:
            self._started = True
            self.summary.first_us = self._newest = int(times[0])
            self._tick(int(times[0]) // SECOND_US * SECOND_US)
        arrivals = np.maximum.accumulate(np.maximum(times, self._newest))
        values = np.stack([s.spec.to_unit(table.columns[s.column]) for s in self._sensors], axis=1)
        given = np.isfinite(values)
        bad = given & ((values < _ends(self._sensors, 0)) | (values > _ends(self._sensors, 1)))
        self.summary.refused += int(bad.sum())
        given &= ~bad
        scores = np.full(values.shape, math.nan) if self._on_scores else None
        reach = self._reach_us if (arrivals == times).all() else min(self._reach_us, BACKFILL_GRACE_US)
        row, rows = 0, len(times)
        while row < rows:
            at = int(arrivals[row])
            self._advance(at // SECOND_US * SECOND_US)
            due = self._engine.next_due_us()
            until = at + reach if due is None else min(at + reach, max(_to_second(due), self._now + SECOND_US))
            end = max(row + 1, int(np.searchsorted(arrivals, until, "left")))
            self._judge(times[row:end], arrivals[row:end], values[row:end], given[row:end], scores, row)
            row = end
        self._newest = self.summary.last_us = int(arrivals[-1])
        if scores is not None:
            self._give_scores(table, values, given, scores)

    def _judge(self, times: I64, arrivals: I64, values: F64, given: Any, scores: F64 | None, row: int) -> None:
        """Rows between two ticks as one batch, row by row and in a row sensor by sensor."""
        n, k = values.shape
        whole = bool(given.all())
        pick = slice(None) if whole else given.ravel()
        x = values.ravel()[pick]
        outside = (values < _ends(self._sensors, 2)) | (values > _ends(self._sensors, 3))
        batch = ReadingBatch(
            np.tile(self._ids, n)[pick],
            np.repeat(times, k)[pick],
            np.repeat(arrivals, k)[pick],
            x,
            np.where(outside.ravel()[pick], np.uint8(Quality.OUT_OF_RANGE), np.uint8(Quality.GOOD)),
            np.full(len(x), Origin.LIVE, np.uint8),
        )
        self.summary.readings += len(batch)
        if not len(batch):
            return
        if scores is None:
            self._apply(batch)
            return
        found = np.full(len(batch), math.nan)
        self._apply(batch, found)
        scores[row : row + n][given] = found

    def _advance(self, until: int) -> None:
        """All ticks up to `until`, a whole second: those that can matter are made, the rest are passed over."""
        while self._now < until:
            due = self._engine.next_due_us()
            tick = until + 1 if due is None else max(_to_second(due), self._now + SECOND_US)
            last_idle = min(until, tick - SECOND_US) if tick <= until else until
            if last_idle > self._now:
                self._engine.pass_time(last_idle)
                self._now = last_idle
            if tick <= until:
                self._tick(tick)

    def _tick(self, now: int) -> None:
        self._now = now
        self._apply(Tick(now))

    def _apply(self, payload: Payload, scores: F64 | None = None) -> None:
        self._number += 1
        events = self._engine.apply(Entry(self._number, payload), scores).events
        for event in events:
            self.summary.events += 1
            if event.state == "raised":
                self.summary.raised[event.grade.word] = self.summary.raised.get(event.grade.word, 0) + 1
            if self._on_event is not None:
                self._on_event(event, self._recording.own_time_s(event.event_us, self.summary.first_us))

    def _give_scores(self, table: Table, values: F64, given: Any, scores: F64) -> None:
        assert self._on_scores is not None
        own = self._recording.own_times_s(table.time_us, self.summary.first_us)
        for j, sensor in enumerate(self._sensors):
            rows = np.flatnonzero(np.isfinite(values[:, j]))
            said = np.where(given[rows, j], scores[rows, j], math.nan)
            self._on_scores(sensor, table.as_written.take(pa.array(rows)), own[rows], values[rows, j], said)


def reach_us(pack: RulePack) -> int:
    """How far after a reading a tick can first do what it could not without it; so far rows may be judged together."""
    versions = [*pack.rules, *(o.rule for o in pack.overrides)]
    silence = [int(r.high * 1e6) for r in versions if r.signal is Signal.SILENCE]
    held = [d for r in versions if r.signal is not Signal.SILENCE for d in (r.delay_us, r.clear_delay_us) if d]
    return max(SECOND_US, min([*silence, *held], default=3600 * SECOND_US))


def _ends(sensors: Sequence[Replayed], which: int) -> F64:
    """(k,) physical low, physical high, instrument low or instrument high of each sensor."""
    return np.array([(*s.spec.measure.physical, *s.spec.measure.instrument)[which] for s in sensors])


def _to_second(t: int) -> int:
    return -(-t // SECOND_US) * SECOND_US


def _second_after(t: int) -> int:
    return (t // SECOND_US + 1) * SECOND_US
