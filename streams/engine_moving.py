"""The memories of a log's engines, dealt out anew by enterprise: for a log that moves to another number of partitions.

What an engine knows hangs on devices: their sensors, names and plans, running timers, open back-fills, alarms. Each
goes where its enterprise belongs; time, holes and the pack are what all engines had. An enterprise's alarms go on under
their keys as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import structs

from schemas.errors import CorruptState
from schemas.identity import partition_of
from schemas.readings import I64
from scoring import slots
from scoring.layout import CHANGED, CHUNK_BITS, COUNTERS, DEVICES, JUDGED, NONE, SENSORS, TIMER_CLASS, Array
from scoring.watches import put_watches
from streams.alarm_book import Alarm
from streams.engine import Engine
from streams.plans import Plans


def deal_out(sources: Sequence[Engine], targets: Sequence[Engine]) -> None:
    """Give the memory of `sources` to `targets`, fresh engines, one for each partition of the new number.

    Every source must have judged its partition to the end. The sources share what they held with the targets, so they
    may not be used any more. Raises CorruptState when the sources judge by different packs.
    """
    packs = {(source.roster.plans.version, source.roster.plans.toml) for source in sources}
    if len(packs) > 1:
        raise CorruptState(
            f"the partitions are judged by different packs: {', '.join(sorted(version for version, _ in packs))}.",
            mend="Activate one pack, wait until every partition has it, and move then.",
        )
    version, toml = packs.pop()
    holes = _joined(hole for source in sources for hole in source.holes)
    onsets = [source.clock_onset for source in sources if source.clock_onset is not None]
    for target in targets:
        target.roster.plans = Plans(target.read_pack(toml, version) if version else None)
        target.now = target.book.now = max(source.now for source in sources)
        target.book.seq = max(source.book.seq for source in sources)
        target.holes = list(holes)
        target.clock_onset = max(onsets, default=None)
    for source in sources:
        home = _partition_of_device(source, len(targets))
        for partition, target in enumerate(targets):
            _take(target, source, np.flatnonzero(home == partition))
    # Counts of readings are the log's, and no enterprise's.
    counts = [source.roster.memory.head[JUDGED:COUNTERS] for source in sources]
    targets[0].roster.memory.head[JUDGED:COUNTERS] = np.sum(counts, axis=0)
    for target in targets:
        _mark_all(target)
        target.look_at_devices(judge=False)


def _joined(holes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union, in order: all engines saw the same holes, but for a tick that one of them missed."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(holes):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _partition_of_device(source: Engine, partitions: int) -> I64:
    """(devices,) where each device of `source` belongs."""
    found: dict[str, int] = {}
    home: I64 = np.empty(source.roster.devices, np.int64)
    for device in range(source.roster.devices):
        enterprise = source.roster.describe(-1 - device).enterprise
        partition = found.get(enterprise)
        if partition is None:
            partition = found[enterprise] = partition_of(enterprise, partitions)
        home[device] = partition
    return home


def _take(target: Engine, source: Engine, devices: I64) -> None:
    """Add `devices` of `source` (rising numbers), and all that hangs from them, to `target`."""
    theirs, ours = source.roster, target.roster
    device_to: I64 = np.full(theirs.devices, NONE, np.int64)
    device_to[devices] = ours.devices + np.arange(len(devices))
    cold = theirs.memory.cold[: theirs.sensors]
    sensors = np.flatnonzero(device_to[cold["device"]] != NONE)
    slot_to: I64 = np.full(theirs.sensors + 1, NONE, np.int64)  # the last place, so that NONE stays NONE
    slot_to[sensors] = ours.sensors + np.arange(len(sensors))
    _take_devices(target, source, devices, slot_to)
    _take_sensors(target, source, sensors, device_to, slot_to)
    # Plans first: a watch has a timer for each rule of its sensor.
    ours.select_all([ours.plans.facts_of(number) for number in range(ours.plans.selections)])
    _take_watches(target, source, slot_to)

    def moved(subject: int) -> int | None:
        to = slot_to[subject] if subject >= 0 else device_to[-1 - subject]
        return None if to == NONE else int(to) if subject >= 0 else -1 - int(to)

    target.book.load(_moved_alarms(source.book.alarms(), moved))
    for device, state in source.silence.silent.items():
        if device_to[device] != NONE:
            target.silence.silent[int(device_to[device])] = state


def _take_devices(target: Engine, source: Engine, devices: I64, slot_to: I64) -> None:
    theirs, ours = source.roster, target.roster
    rows: Array = theirs.memory.devices[devices].copy()
    first = ours.devices
    ids = theirs.device_table.ids[devices].copy()
    if slots.add(ours.device_table, ids, first) < len(ids):
        raise CorruptState(f"there is no room for {len(ids)} more devices")
    sizes = rows["name_size"].astype(np.int64)
    ends = np.cumsum(sizes)
    places = np.repeat(rows["name_at"].astype(np.int64) - (ends - sizes), sizes) + np.arange(int(sizes.sum()))
    ours.arena[ours.arena_used : ours.arena_used + len(places)] = theirs.arena[places]
    rows["name_at"] = ours.arena_used + ends - sizes
    ours.arena_used += len(places)
    rows["head"] = slot_to[rows["head"]]
    for held in np.unique(rows["selector"]).tolist():
        # Overrides of single enterprises and devices are found again by `select_all`.
        selector = ours.plans.select(theirs.plans.facts_of(held), "", "")
        rows["selector"][theirs.memory.devices["selector"][devices] == held] = selector
    ours.memory.devices[first : first + len(rows)] = rows
    ours.memory.head[DEVICES] = first + len(rows)


def _take_sensors(target: Engine, source: Engine, sensors: I64, device_to: I64, slot_to: I64) -> None:
    theirs, ours = source.roster, target.roster
    first = ours.sensors
    span = slice(first, first + len(sensors))
    ids = theirs.sensor_table.ids[sensors].copy()
    if slots.add(ours.sensor_table, ids, first) < len(ids):
        raise CorruptState(f"there is no room for {len(ids)} more sensors")
    ours.memory.sensors[span] = theirs.memory.sensors[sensors]
    ours.memory.sensors["watch"][span] = NONE
    if theirs.mixed:
        ours.memory.extra[span] = theirs.memory.extra[sensors]
        ours.mixed = True
    cold: Array = theirs.memory.cold[sensors].copy()
    cold["device"] = device_to[cold["device"]]
    cold["next"] = slot_to[cold["next"]]
    ours.load_names(theirs.names)
    name_to = np.array([ours.names.index(name) for name in theirs.names], np.int32)
    if len(cold):
        cold["name"] = name_to[cold["name"]]
    ours.memory.cold[span] = cold
    ours.memory.head[SENSORS] = first + len(sensors)


def _take_watches(target: Engine, source: Engine, slot_to: I64) -> None:
    m = source.roster.memory
    numbers = m.sensors["watch"][: source.roster.sensors]
    mine = np.flatnonzero((numbers != NONE) & (slot_to[:-1] != NONE))
    used: Array = m.watches[numbers[mine]].copy()
    sizes = used["size"].astype(np.int64) * TIMER_CLASS
    starts = np.repeat(used["timers"].astype(np.int64) - (np.cumsum(sizes) - sizes), sizes)
    blocks = m.timers[starts + np.arange(len(starts))]
    used["slot"] = slot_to[mine]
    put_watches(target.roster.memory, used, blocks)


def _moved_alarms(alarms: Iterable[Alarm], moved: Callable[[int], int | None]) -> Iterable[Alarm]:
    for alarm in alarms:
        subject = moved(alarm.subject)
        if subject is not None:
            holding = {_moved_name(name, moved): grade for name, grade in alarm.holding.items()}
            yield structs.replace(alarm, subject=subject, holding=holding)


def _moved_name(name: str, moved: Callable[[int], int | None]) -> str:
    """A rule that holds an alarm, `slot:rule`; -1 stands for the device itself."""
    of, _, rule = name.partition(":")
    return name if int(of) == NONE else f"{moved(int(of))}:{rule}"


def _mark_all(target: Engine) -> None:
    """The next snapshot holds everything."""
    roster = target.roster
    for dirty, count in (
        (roster.memory.dirty, roster.sensors),
        (roster.cold_dirty, roster.sensors),
        (roster.device_dirty, roster.devices),
    ):
        dirty[: -(-count >> CHUNK_BITS)] |= CHANGED
