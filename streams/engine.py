"""The engine: log entries in, alarm events out; a function of the log.

Compiled kernels (`scoring/`) judge whole batches and write down which rules began or ceased to hold. What is rare is
done here in Python, in the log's order: those transitions become steps of alarms, devices fall silent and are heard
again, packs and facts change plans. `docs/reference/detection.md` says it all, `scoring/naive.py` does it in dicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from schemas.alarms import AlarmEvent, Answer, Evidence, Kind
from schemas.entries import ClockStepped, DeviceFacts, Entry, PackActivated, ResetAsked, Sensor, Sensors, Tick
from schemas.measures import Measure
from schemas.readings import F64, ReadingBatch
from schemas.rules import Rule, RulePack, Signal
from scoring import slots
from scoring.judge import LATE_US, judge
from scoring.keeping import keep_row
from scoring.layout import (
    BACKFILL,
    BACKFILL_ENDS,
    CLOCK,
    CONFLICTING,
    DUPLICATE,
    FOREVER,
    HEARD,
    JUDGED,
    LATE,
    MALFORMED,
    MOST_RULES,
    NONE,
    OVERDUE,
    TRANSITION,
    UNKNOWN,
    UP,
    WATCH_TOP,
    WATCHED,
)
from scoring.ticking import due_watches, earliest_silence, end_backfills, hold, overdue
from scoring.watches import settle_one
from streams import engine_checkpoint
from streams.alarm_book import AlarmBook, Moment, Moved, Standing
from streams.engine_roster import CAPACITY, Roster
from streams.engine_silence import SilenceWatch
from streams.plans import Facts, is_of_device
from streams.ports import Snapshot, Verdict
from streams.visits import Visits

HOLE_US = 10_000_000
ReadPack = Callable[[str, str], RulePack]
"""(toml, version) → a pack; raises TocsinError when the text is not one."""
_COUNTERS = {
    "judged": JUDGED,
    "duplicate": DUPLICATE,
    "conflicting": CONFLICTING,
    "late": LATE,
    "backfill": BACKFILL,
    "unknown": UNKNOWN,
    "malformed": MALFORMED,
    "clock": CLOCK,
}
_NO_SCORES: F64 = np.empty(0)
_NO_TIMES = np.empty(0, np.int64)
_TRANSITIONS = 4 * MOST_RULES
_OVERDUE = 4096


class Engine:
    """Judges the entries of one partition; see `streams.ports.Judge`. One thread at a time.

    pack: the rules until one is activated; None for none.  read_pack: needed where packs are activated.
    capacity: the most sensors it has address space for.
    """

    def __init__(
        self,
        pack: RulePack | None = None,
        *,
        partition: int = 0,
        read_pack: ReadPack | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        self.now = 0
        self.holes: list[tuple[int, int]] = []
        self.clock_onset: int | None = None
        self.roster = Roster(pack, capacity)
        self.book = AlarmBook(partition, self.roster.describe)
        self.silence = SilenceWatch(self.roster, self.book)
        self.visits = Visits()
        """By whom a snapshot is copied while judging goes on."""
        self.frozen: object | None = None
        """The chunks of the snapshot that is not released yet."""
        self._read_pack = read_pack
        self._slots = np.empty(0, np.int32)
        self._transitions = np.zeros(_TRANSITIONS, TRANSITION)
        self._overdue = np.zeros(_OVERDUE, OVERDUE)

    # --- the port ---

    def apply(self, entry: Entry, scores: F64 | None = None) -> Verdict:
        """Judge one entry.

        scores: for a batch, (n,) float64, filled with each reading's anomaly score: 0 to 1, NaN while not able to say.
        """
        with self.visits:
            return self._apply(entry, scores)

    def _apply(self, entry: Entry, scores: F64 | None) -> Verdict:
        book = self.book
        book.entry, book.events = entry.number, []
        answers: Sequence[Answer] = ()
        payload = entry.payload
        if isinstance(payload, ReadingBatch):
            self._judge(payload, _NO_SCORES if scores is None else scores)
        elif isinstance(payload, Tick):
            self._tick(payload.now_us)
        elif isinstance(payload, Sensors):
            self.roster.declare(payload)
        elif isinstance(payload, PackActivated):
            self._activate(payload)
        elif isinstance(payload, DeviceFacts):
            self._learn(payload)
        elif isinstance(payload, ResetAsked):
            answers = (self._reset(payload),)
        else:
            self._clock_stepped(payload)
        events: list[AlarmEvent] = book.events
        book.events = []
        return Verdict(events, answers)

    def snapshot(self, position: int) -> Snapshot:
        """What changed since the last snapshot (everything, the first time)."""
        return engine_checkpoint.save(self, position)

    def restore(self, snapshot: Snapshot) -> None:
        """Take the memory of a whole snapshot; for a fresh engine. Raises CorruptState when it cannot be read."""
        engine_checkpoint.load(self, snapshot)

    def next_due_us(self) -> int | None:
        """The earliest `now` at which a tick can do anything if no reading comes before, or sooner; None: never."""
        m = self.roster.memory
        watches = m.watches["due"][: int(m.head[WATCH_TOP])]
        due = min(int(watches.min(initial=FOREVER)), int(earliest_silence(m, self.now)))
        return None if due >= FOREVER else due

    def pass_time(self, now: int) -> None:
        """As if ticks had come each second until `now`, all of them before `next_due_us()`: no hole is seen."""
        self.now = self.book.now = max(self.now, now)

    def counters(self) -> dict[str, int]:
        """Readings by their fate since the log began, and how many sensors and devices there are."""
        head = self.roster.memory.head
        counted = {name: int(head[at]) for name, at in _COUNTERS.items()}
        sizes = {"sensors": self.roster.sensors, "devices": self.roster.devices, "watched": int(head[WATCHED])}
        return counted | sizes | {"silent": len(self.silence)}

    def read_pack(self, toml: str, version: str) -> RulePack:
        """Raises ValueError when the engine was made without a reader of packs."""
        if self._read_pack is None:
            raise ValueError("a pack was activated, but this engine was given no read_pack")
        return self._read_pack(toml, version)

    # --- entries ---

    def _judge(self, batch: ReadingBatch, scores: F64) -> None:
        n = len(batch)
        if scores is not _NO_SCORES and scores.shape != (n,):
            raise ValueError(f"scores must have one place for each of {n} readings, not {scores.shape}")
        numbers, times, arrivals, values, qualities, origins = (_read_only(column) for column in batch.columns())
        if len(self._slots) < n:
            self._slots = np.empty(max(n, 4096), np.int32)
        slots.resolve(self.roster.sensor_table, numbers, self._slots)
        done = 0
        while done < n:
            done, moved = judge(
                self.roster.memory, numbers, times, arrivals, values, qualities, origins,
                self._slots, done, self.now, self._transitions, scores,
            )  # fmt: skip
            self._take(moved)

    def _tick(self, now: int) -> None:
        if now <= self.now:
            return
        before, self.now = self.now, now
        self.book.now = now
        if before > 0 and now - before > HOLE_US:
            self.holes.append((before, now))
            length_s = (now - before) / 1e6
            self.book.tell_own("blind", before, now, self._own_evidence("engine.blind", length_s, length_s))
        m = self.roster.memory
        due = due_watches(m, now)
        if len(due):
            due = due[np.argsort(m.watches["slot"][due])]
            for kernel in (hold, end_backfills):
                done = 0
                while done < len(due):
                    done, moved = kernel(m, due, done, now, self._transitions)
                    self._take(moved)
        self.look_at_devices(judge=True)

    def look_at_devices(self, *, judge: bool) -> None:
        """Look at the devices whose time has come; without `judge` only their next times are worked out."""
        starts = np.array([a for a, _ in self.holes], np.int64) if self.holes else _NO_TIMES
        ends = np.array([b for _, b in self.holes], np.int64) if self.holes else _NO_TIMES
        hole_end = self.holes[-1][1] if self.holes else None
        done = 0
        while done < self.roster.devices:
            done, found = overdue(self.roster.memory, starts, ends, done, self.now, self._overdue)
            if not judge:
                self.roster.memory.due[self._overdue["device"][:found]] = 0
                continue
            for device, watch, heard, silent, period in self._overdue[:found].tolist():
                self.silence.look(device, watch, heard, silent, period, self.now, hole_end)

    def _activate(self, activated: PackActivated) -> None:
        if (activated.version, activated.toml) == (self.roster.plans.version, self.roster.plans.toml):
            return  # said again
        pack = self.read_pack(activated.toml, activated.version)
        m = self.roster.memory
        for slot in sorted(m.watches["slot"][(m.watches["open"] != 0) & (m.watches["slot"] != NONE)].tolist()):
            self._end_backfill(slot)
        self.roster.set_pack(replace(pack, toml=activated.toml))
        subjects = sorted(self.book.subjects())
        devices = sorted({-1 - subject for subject in subjects if subject < 0} | set(self.silence.silent))
        self._replanned([subject for subject in subjects if subject >= 0], devices, "pack")

    def _learn(self, facts: DeviceFacts) -> None:
        device = self.roster.device_number(facts.enterprise, facts.device)
        if self.roster.facts_of(device) == Facts.of(facts):
            return  # said again
        sensors = sorted(self.roster.sensors_of(device))
        for slot in sensors:
            self._end_backfill(slot)
        self.roster.set_facts(device, facts)
        self._replanned(sensors, [device], "facts")

    def _replanned(self, sensors: Iterable[int], devices: Iterable[int], reason: str) -> None:
        """Let the alarms of subjects whose rules changed take the step that follows."""
        order = self.roster.plans.families
        for slot in sensors:
            self.book.replan(slot, order, self.roster.standing, reason)
        for device in devices:
            self.silence.replan(device)

            def standing(slot: int, rule: str, device: int = device) -> Standing | None:
                return self.roster.standing(slot, rule) if slot >= 0 else self.silence.standing(device, rule)

            self.book.replan(-1 - device, order, standing, reason)

    def _reset(self, asked: ResetAsked) -> Answer:
        subject = self.book.subject_of(asked.alarm)
        if subject is not None and subject >= 0:
            self._end_backfill(subject)
        reason = self.book.reset(asked.alarm, asked.seen_step, asked.by)
        return Answer(asked.command, not reason, reason)

    def _clock_stepped(self, stepped: ClockStepped) -> None:
        onset = stepped.now_us if self.clock_onset is None else max(stepped.now_us, self.clock_onset + 1)
        self.clock_onset = onset
        self.book.tell_own(
            "clock_step", onset, onset, self._own_evidence("engine.clock_step", stepped.by_us / 1e6, 0.0)
        )

    def _own_evidence(self, rule: str, value: float, held_s: float) -> Evidence:
        return Evidence(rule, self.roster.plans.version, value, HOLE_US / 1e6, "s", held_s)

    def _end_backfill(self, slot: int) -> None:
        m = self.roster.memory
        number = int(m.sensors["watch"][slot])
        if number != NONE and m.watches["open"][number]:
            m.watches["open"][number] = 0
            self.book.end_backfill(slot, self.roster.plans.families)
            settle_one(m, number)

    # --- what the kernels wrote down ---

    def _take(self, count: int) -> None:
        """Turn the first `count` transitions into steps, those of one reading (or of one sensor at a tick) together."""
        if count == 0:
            return
        for (_, slot), together in groupby(self._transitions[:count].tolist(), key=_READING_AND_SLOT):
            moved: list[Any] = []
            for row in together:
                what, arrival = row[_WHAT], row[_ARRIVAL]
                if what == HEARD:
                    self.silence.hear(self.roster.device_of(slot), arrival)
                elif what == BACKFILL_ENDS:
                    self._step(slot, moved)
                    moved = []
                    self.book.end_backfill(slot, self.roster.plans.families)
                else:
                    moved.append(row)
            self._step(slot, moved)

    def _step(self, slot: int, rows: Sequence[Any]) -> None:
        if not rows:
            return
        rules = self.roster.rules_of(slot)
        measure = self.roster.measure_of(slot)
        order = self.roster.plans.families

        def place(row: Any) -> int:
            return order[rules[row[_RULE]].family]

        for _, together in groupby(sorted(rows, key=place), key=place):
            group = list(together)
            first = rules[group[0][_RULE]]
            moment = Moment(group[0][_EVENT], group[0][_ARRIVAL])
            of_device = is_of_device(first)
            subject = -1 - self.roster.device_of(slot) if of_device else slot
            moved = [self._moved(slot, subject, rules[row[_RULE]], measure, row) for row in group]
            self.book.move(subject, first.family, moved, moment, keep=bool(group[0][_OPEN]) and not of_device)

    def _moved(self, slot: int, subject: int, rule: Rule, measure: Measure, row: Any) -> Moved:
        s, z, since = row[_S], row[_Z], row[_SINCE]
        up = row[_WHAT] == UP
        if up:
            limit = rule.high if s >= rule.high else rule.low
        else:
            limit = rule.clear_high if math.isfinite(rule.clear_high) else rule.clear_low
        if subject < 0:
            since = self.silence.held_since(-1 - subject, rule.family, since)
        return Moved(
            rule.id,
            slot,
            up,
            Standing(rule.grade, rule.latched, rule.kind),
            up and bool(row[_LIFTED]) and rule.kind is Kind.ANOMALY,
            since,
            Evidence(
                rule.id,
                self.roster.plans.version,
                s,
                limit if math.isfinite(limit) else None,
                _unit(rule, measure),
                row[_HELD] / 1e6,
                None if math.isnan(z) else z,
            ),
        )


_FIELDS = TRANSITION.names or ()
_WHAT, _OPEN, _LIFTED, _RULE = (_FIELDS.index(name) for name in ("what", "open", "lifted", "rule"))
_EVENT, _ARRIVAL, _SINCE, _HELD = (_FIELDS.index(name) for name in ("event", "arrival", "since", "held"))
_S, _Z = _FIELDS.index("s"), _FIELDS.index("z")
_READING_AND_SLOT = itemgetter(_FIELDS.index("reading"), _FIELDS.index("slot"))


def _unit(rule: Rule, measure: Measure) -> str:
    if rule.signal is Signal.STUCK:
        return "s"
    if rule.signal in (Signal.VALUE, Signal.ABOVE_BASELINE, Signal.BASELINE):
        return measure.unit
    return f"{measure.unit}/min" if rule.signal is Signal.RATE else ""


def _read_only(column: Any) -> Any:
    """The column as the kernels are compiled for it: contiguous, aligned, not to be written to."""
    view = np.require(column, requirements=("C", "A")).view()
    view.flags.writeable = False
    return view


def compile_kernels() -> None:
    """Compile every kernel of the engine, or load it from the cache: some seconds the first time, so before serving."""
    engine = Engine(partition=0, capacity=4096)
    sensor = Sensor(1, "e", "d", "battery")
    engine.apply(Entry(1, Sensors([sensor])))
    batch = ReadingBatch.of([1], [0], [LATE_US + 1], [1.0], [0], [0])
    engine.apply(Entry(2, batch))
    engine.apply(Entry(3, Tick(1)))
    engine.apply(Entry(4, Tick(1 + 6_000_000)))
    snapshot = engine.snapshot(4)
    keep_row(engine.roster.memory, 0)
    Engine(partition=0, capacity=4096).restore(snapshot)
