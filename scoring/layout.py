"""How the engine's memory lies: one record of 64 bytes a sensor, and what hangs from it.

A sensor's record is one cache line and holds all that every reading touches. What only some sensors need (timers of
rules, a steady lag, an open back-fill) lies in watch records, handed out while a sensor is not quiet. Records never
move.
Bump `VERSION` with every change of a type here: a checkpoint of another layout is not read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.readings import I64

VERSION = 1
Array = npt.NDArray[Any]
I32 = npt.NDArray[np.int32]

NEVER = -(1 << 63)
"""A time before every time: not yet."""
FOREVER = (1 << 63) - 1
NONE = -1
"""No watch, no slot, no next."""

SENSOR = np.dtype(
    [
        ("newest", "<i8"),
        ("arrival", "<i8"),
        ("same_since", "<i8"),
        ("last", "<f4"),
        ("mean", "<f4"),
        ("var", "<f4"),
        ("a", "<f4"),
        ("b", "<f4"),
        ("period", "<f4"),
        ("plan", "<i4"),
        ("watch", "<i4"),
        ("age", "<u4"),
        ("flags", "<u4"),
    ]
)
"""arrival: the largest.  last: float32 of x, unchanged since same_since.  a, b: dec and base of a `smoke` sensor, fast
and slow of any other.  period: learned, s, 0 when not.  age: sum of dt in µs up to AGE_ABLE, and DEVICE_SILENT.
flags, from the lowest bit: n (5), same (7), range (5), gaps (2), rate samples (2), smoke samples (2), by arrival (1),
faults (8)."""

N_BITS, SAME_AT, RANGE_AT, GAPS_AT, RATE_AT, SMOKE_AT, BASE_AT, FAULTS_AT = 5, 5, 12, 17, 19, 21, 23, 24
N_ABLE, SAME_ABLE = 30, 100
AGE_ABLE = 300_000_000
AGE_MASK = (1 << 29) - 1
DEVICE_SILENT = 1 << 31
"""In `age`: the sensor's device is in a silence alarm, so its arrivals are told."""

COLD = np.dtype([("device", "<i4"), ("next", "<i4"), ("name", "<i4")])
"""What no reading touches: the device, the next sensor of that device, and which measure and channel it is."""

DEVICE = np.dtype(
    [
        ("enterprise", "<u4"),
        ("name_at", "<u4"),
        ("head", "<i4"),
        ("selector", "<i4"),
        ("plan", "<i4"),
        ("name_size", "u1"),
        ("enterprise_size", "u1"),
        ("bits", "<u2"),
    ],
)
"""enterprise: low bits of its id, to find all devices that may be of one.  name_at, name_size: its key in the arena of
names, of which the first enterprise_size bytes are the enterprise.  head: the sensor declared last.  selector, plan:
see `streams.plans`."""
HAS_FIRE_SENSOR, IS_SILENT = 1, 2
"""In `bits` of a device."""

WATCH = np.dtype(
    [
        ("slot", "<i4"),
        ("timers", "<i4"),
        ("size", "<i4"),
        ("row", "u1"),
        ("open", "u1"),
        ("spare", "<u2"),
        ("arrival", "<i8"),
        ("lag", "<i8"),
        ("lag_arrival", "<i8"),
        ("backfill_now", "<i8"),
        ("due", "<i8"),
    ]
)
"""slot: NONE when free.  timers, size: its block of timers.  row: late readings in a row.  open: a back-fill is.
arrival: of the last judged reading.  due: the tick at which a held value may complete."""

TIMER = np.dtype(
    [
        ("since", "<i8"),
        ("held", "<i8"),
        ("s", "<f8"),
        ("count", "<u2"),
        ("phase", "u1"),
        ("held_before", "u1"),
        ("spare", "<u4"),
    ]
)
IDLE, PENDING, ACTIVE, CLEARING = 0, 1, 2, 3
COUNT_MAX = 65_535

BANDS = 9
"""Signals of a sensor: Signal.VALUE to Signal.Z."""
PLAN = np.dtype(
    [
        ("x_low", "<f8"),
        ("x_high", "<f8"),
        ("prior", "<f8"),
        ("resolution", "<f8"),
        ("usual_period", "<f8"),
        ("declared_period", "<f8"),
        ("rated", "<f8"),
        ("rate_floor", "<f8"),
        ("quiet_low", "<f8", (BANDS,)),
        ("quiet_high", "<f8", (BANDS,)),
        ("rules_at", "<i4"),
        ("rules", "<i4"),
        ("signals", "<i4"),
        ("on_change", "u1"),
        ("is_flag", "u1"),
        ("is_smoke", "u1"),
        ("spare", "u1"),
    ]
)
"""What holds for all sensors of one measure and one selection of rules. A sensor without timers needs no rule looked at
while each signal (a bit in `signals`) is strictly within (quiet_low, quiet_high). declared_period, rated: 0 where not
known."""

RULE = np.dtype(
    [
        ("high", "<f8"),
        ("low", "<f8"),
        ("floor", "<f8"),
        ("clear_high", "<f8"),
        ("clear_low", "<f8"),
        ("delay", "<i8"),
        ("clear_delay", "<i8"),
        ("max_gap", "<i8"),
        ("readings", "<i4"),
        ("clear_readings", "<i4"),
        ("family", "<i4"),
        ("signal", "u1"),
        ("band", "u1"),
        ("tier0", "u1"),
        ("of_device", "u1"),
    ]
)

SILENCE_PLAN = np.dtype(
    [("declared_period", "<f8"), ("rules_at", "<i4"), ("rules", "<i4"), ("supplied", "<i4"), ("spare", "<i4")]
)
SILENCE_RULE = np.dtype([("high", "<f8"), ("periods", "<f8"), ("watch", "<i4"), ("spare", "<i4")])

TRANSITION = np.dtype(
    [
        ("slot", "<i4"),
        ("reading", "<i4"),
        ("rule", "<i4"),
        ("what", "u1"),
        ("open", "u1"),
        ("lifted", "u1"),
        ("spare", "u1"),
        ("event", "<i8"),
        ("arrival", "<i8"),
        ("since", "<i8"),
        ("held", "<i8"),
        ("s", "<f8"),
        ("z", "<f8"),
    ]
)
"""reading: its index in the batch, so that transitions of one reading stay together.  rule: its index in the sensor's
plan.  since: the smallest of its family's phases.  lifted: a tier 0 rule of the sensor holds its alarm.  z: NaN where
not able to say."""
UP, DOWN, HEARD, BACKFILL_ENDS = 1, 2, 3, 4

OVERDUE = np.dtype([("device", "<i4"), ("watch", "<i4"), ("heard", "<i8"), ("silent", "<i8"), ("period", "<f8")])
"""A device that some silence rule may hold for: silent in µs, period in s (NaN when none is known)."""

CHUNK_BITS = 12
"""A chunk of a checkpoint is 4,096 slots."""

SENSORS, DEVICES, WATCH_TOP, WATCH_FREE, TIMER_TOP, WATCHED = 0, 1, 2, 3, 4, 5
JUDGED, DUPLICATE, CONFLICTING, LATE, BACKFILL, UNKNOWN, MALFORMED, CLOCK = 6, 7, 8, 9, 10, 11, 12, 13
COUNTERS = 16
TIMER_CLASS = 4
"""Blocks of timers have a multiple of this many."""
TIMER_CLASSES = 257
MOST_RULES = TIMER_CLASS * (TIMER_CLASSES - 1)
FREE_BLOCKS = COUNTERS
KEPT = COUNTERS + TIMER_CLASSES
HEAD_SIZE = KEPT + 1
"""`head`: sizes and counters, the first free block of timers of each size, NONE where none, and how many rows are kept
(`scoring.keeping`)."""

CHANGED, FROZEN = 1, 2
"""Bits of a chunk: written since the last snapshot; part of a snapshot that is not saved yet."""
KEPT_ROW = np.dtype([("slot", "<i4"), ("next", "<i4"), ("extra", "<f4", (2,))])
"""next: one more than the index of the chunk's row that was kept before, 0 when there is none."""


class IdTable(NamedTuple):
    """Ids to slots; `scoring.slots` says how."""

    entries: Array
    sizes: I64
    counts: I64
    ids: I64


class Kept(NamedTuple):
    """Rows of sensors as they were when a snapshot was taken; `scoring.keeping` says how. All zero while none is.

    rows: SENSOR.  more: KEPT_ROW, beside them.  newest: (chunks,) one more than the index of the row kept last.
    slots: a bit for each slot, set when its row is kept.
    """

    rows: Array
    more: Array
    newest: I32
    slots: npt.NDArray[np.uint8]


class Memory(NamedTuple):
    """All arrays that the kernels work on; a tuple, so that one argument carries them."""

    sensors: Array
    extra: Array
    """(capacity, 2) float32: fast and slow of a `smoke` sensor, dec and base of any other; rarely touched."""
    cold: Array
    devices: Array
    due: I64
    """For each device the tick at which it is to be looked at."""
    watches: Array
    timers: Array
    plans: Array
    rules: Array
    silence_plans: Array
    silence_rules: Array
    head: I64
    dirty: npt.NDArray[np.uint8]
    """For each chunk of sensors CHANGED, FROZEN, both or none."""
    kept: Kept
