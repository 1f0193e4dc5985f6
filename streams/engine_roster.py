"""Who is judged: sensors and devices as numbers, their names, and the plan of each. The engine's arrays live here.

A sensor is a slot, a device a number, both in the order of their declaration. Names of devices lie in one arena of
bytes, because a million Python strings would cost more than all the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from schemas.entries import DeviceFacts, Sensors
from schemas.errors import TocsinError
from schemas.identity import id_of
from schemas.measures import BY_CODE, BY_NAME, Measure
from schemas.rules import Rule, RulePack
from scoring import slots
from scoring.declarations import CHANNEL, MEASURE, declarations
from scoring.declaring import DONE, NEW_NAME, NEW_PLAN, NO_ROOM, Choices, Tables, declare, no_names, with_name
from scoring.keeping import keep_row, lay_over, let_go, new_kept
from scoring.layout import (
    ACTIVE,
    CHANGED,
    CHUNK_BITS,
    COLD,
    DEVICE,
    DEVICE_SILENT,
    DEVICES,
    FREE_BLOCKS,
    FROZEN,
    HEAD_SIZE,
    IS_SILENT,
    KEPT,
    NONE,
    SENSOR,
    SENSORS,
    TIMER,
    TIMER_CLASS,
    WATCH,
    WATCH_FREE,
    Array,
    Memory,
)
from scoring.memory import reserve
from scoring.watches import put_watches
from streams.alarm_book import Standing, Subject
from streams.plans import Facts, Plans

CAPACITY = 1 << 25
"""Sensors that an engine has address space for, where its owner does not say."""
FIRE_MEASURES = frozenset({"smoke", "smoke_alarm", "temperature", "gas", "co"})
_FIRE = np.zeros(1 + max(BY_CODE), np.uint8)
_FIRE[[BY_NAME[name].code for name in FIRE_MEASURES]] = 1
_ARENA_MOST = (1 << 32) - 1
_LONGEST_NAME = 129
_TIMERS_A_SENSOR = 16
"""Room for timers in the mean; a sensor of the default pack has 4 to 13 rules."""
_ENTERPRISE_BITS = (1 << 32) - 1
_NO_FACTS = Facts()


class Roster:
    """Sensors, devices, names, plans. One thread at a time.

    capacity: the most sensors (address space, not memory).  pack: the rules, None for none yet.
    """

    def __init__(self, pack: RulePack | None, capacity: int) -> None:
        self.capacity = capacity
        self.plans = Plans(pack)
        self.sensor_table = slots.new_table(capacity)
        self.device_table = slots.new_table(capacity)
        chunks = (capacity >> CHUNK_BITS) + 1
        head = np.zeros(HEAD_SIZE, np.int64)
        head[WATCH_FREE] = NONE
        head[FREE_BLOCKS:KEPT] = NONE
        self.memory = Memory(
            sensors=reserve(SENSOR, capacity, huge=True),
            extra=reserve(np.float32, 2 * capacity).reshape(capacity, 2),
            cold=reserve(COLD, capacity),
            devices=reserve(DEVICE, capacity),
            due=reserve(np.int64, capacity),
            watches=reserve(WATCH, capacity),
            timers=reserve(TIMER, capacity * _TIMERS_A_SENSOR + TIMER_CLASS),
            plans=self.plans.plans,
            rules=self.plans.rules,
            silence_plans=self.plans.silence_plans,
            silence_rules=self.plans.silence_rules,
            head=head,
            dirty=np.zeros(chunks, np.uint8),
            kept=new_kept(capacity),
        )
        self.kept_devices: dict[int, Array] = {}
        """Frozen chunks of devices that changed since, as they were, by their number."""
        self.cold_dirty = np.zeros(chunks, np.uint8)
        self.device_dirty = np.zeros(chunks, np.uint8)
        self.arena: Array = reserve(np.uint8, min(_ARENA_MOST, capacity * _LONGEST_NAME))
        self._arena_used = np.zeros(1, np.int64)
        self.arena_saved = 0
        self.mixed = False
        """Some sensor has or had both kinds of filter, so `extra` is in use."""
        self.names: list[tuple[int, str]] = []
        """(measure code, channel) by number."""
        self._name_numbers: dict[tuple[int, str], int] = {}
        self._texts = no_names()

    @property
    def arena_used(self) -> int:
        return int(self._arena_used[0])

    @arena_used.setter
    def arena_used(self, used: int) -> None:
        self._arena_used[0] = used

    @property
    def sensors(self) -> int:
        return int(self.memory.head[SENSORS])

    @property
    def devices(self) -> int:
        return int(self.memory.head[DEVICES])

    # --- declaring ---

    def declare(self, sensors: Sensors) -> None:
        """Take sensors that are not yet known; others, and those of measures we do not know, are left.

        Raises TocsinError when the reserved room is used up.
        """
        told = declarations(sensors)
        done = 0
        while done < len(told.ids):
            done, why = declare(self.memory, self._tables(), self._texts, self._choices(), *told, done)
            if why == NO_ROOM:
                raise _no_room(self.capacity)
            if why != DONE:
                self._prepare(Sensors(sensors.sensors[done : done + 1]), why)

    def _prepare(self, met: Sensors, why: int) -> None:
        """Make what the compiled pass lacks for one sensor."""
        told, (sensor,) = declarations(met), met
        measure = BY_NAME.get(sensor.measure)
        if why == NEW_NAME:
            number = NONE if measure is None else self._name(measure.code, sensor.channel)
            text = told.body[told.starts[0, MEASURE] : told.ends[0, CHANNEL]].tobytes()
            self._texts = with_name(self._texts, text, number, measure.code if measure else 0)
            return
        device = self.device_number(sensor.enterprise, sensor.device)
        self._keep_device(device)
        if why == NEW_PLAN:
            assert measure is not None
            self.plans.sensor_plan(int(self.memory.devices["selector"][device]), measure.code)
        self._renew()

    def _tables(self) -> Tables:
        return Tables(
            self.sensor_table, self.device_table, self.arena, self._arena_used, self.cold_dirty, self.device_dirty
        )

    def _choices(self) -> Choices:
        plans = self.plans
        selector = plans.plain
        silence_plan = NONE if selector == NONE else plans.silence_plan(selector)
        return Choices(plans.plan_of, _FIRE, plans.enterprise_ids, plans.device_ids, selector, silence_plan)

    def device_number(self, enterprise: str, device: str) -> int:
        """The number of a device; one not met before is made."""
        key = f"{enterprise}/{device}"
        one = np.array([id_of(key)], np.int64)
        number = int(slots.slots_of(self.device_table, one)[0])
        if number == NONE:
            number = self.devices
            if slots.add(self.device_table, one, number) == 0:
                raise _no_room(self.capacity)
            self._make_device(number, enterprise, key)
            self.memory.head[DEVICES] = number + 1
            self._renew()
        return number

    def _make_device(self, number: int, enterprise: str, key: str) -> None:
        self._keep_device(number)
        name = key.encode()
        at = self.arena_used
        self.arena[at : at + len(name)] = np.frombuffer(name, np.uint8)
        self.arena_used = at + len(name)
        selector = self.plans.select(_NO_FACTS, enterprise, key)
        self.memory.devices[number] = (
            id_of(enterprise) & _ENTERPRISE_BITS, at, NONE, selector, self.plans.silence_plan(selector),
            len(name), len(enterprise.encode()), 0,
        )  # fmt: skip
        self.memory.due[number] = 0
        self.device_dirty[number >> CHUNK_BITS] |= CHANGED

    def _name(self, code: int, channel: str) -> int:
        number = self._name_numbers.get((code, channel))
        if number is None:
            number = self._name_numbers[code, channel] = len(self.names)
            self.names.append((code, channel))
        return number

    def load_names(self, names: Iterable[tuple[int, str]]) -> None:
        """Take the names of a checkpoint; for an empty roster."""
        for code, channel in names:
            self._name(code, channel)

    def _renew(self) -> None:
        """Let the kernels see the plans' tables, which may have been replaced by larger ones."""
        self.mixed = self.mixed or self.plans.mixed
        self.memory = self.memory._replace(
            plans=self.plans.plans,
            rules=self.plans.rules,
            silence_plans=self.plans.silence_plans,
            silence_rules=self.plans.silence_rules,
        )

    # --- asking ---

    def measure_of(self, slot: int) -> Measure:
        return BY_CODE[self.names[int(self.memory.cold["name"][slot])][0]]

    def device_of(self, slot: int) -> int:
        return int(self.memory.cold["device"][slot])

    def sensors_of(self, device: int) -> Iterator[int]:
        """Slots of a device's sensors, the last declared first."""
        slot = int(self.memory.devices["head"][device])
        while slot != NONE:
            yield slot
            slot = int(self.memory.cold["next"][slot])

    def describe(self, subject: int) -> Subject:
        """Names of a sensor (its slot) or of a device (-1 - its number)."""
        device = self.device_of(subject) if subject >= 0 else -1 - subject
        row = self.memory.devices[device]
        at = int(row["name_at"])
        key = self.arena[at : at + int(row["name_size"])].tobytes().decode()
        split = int(row["enterprise_size"])
        enterprise, name = key[:split], key[split + 1 :]
        if subject < 0:
            return Subject(key, enterprise, name, "")
        code, channel = self.names[int(self.memory.cold["name"][subject])]
        measure = BY_CODE[code].name
        return Subject(f"{key}/{measure}.{channel}" if channel else f"{key}/{measure}", enterprise, name, measure)

    def rules_of(self, slot: int) -> tuple[Rule, ...]:
        return self.plans.of_plan[int(self.memory.sensors["plan"][slot])]

    def facts_of(self, device: int) -> Facts:
        return self.plans.facts_of(int(self.memory.devices["selector"][device]))

    def silence_rules_of(self, device: int) -> tuple[Rule, ...]:
        return self.plans.of_silence_plan[int(self.memory.devices["plan"][device])]

    def standing(self, slot: int, rule: str) -> Standing | None:
        """What the pack says of a rule that is active or clearing on a sensor; None when it is not."""
        number = int(self.memory.sensors["watch"][slot])
        if number != NONE:
            at = int(self.memory.watches["timers"][number])
            for j, candidate in enumerate(self.rules_of(slot)):
                if candidate.id == rule and self.memory.timers["phase"][at + j] >= ACTIVE:
                    return Standing(candidate.grade, candidate.latched, candidate.kind)
        return None

    def mark_silent(self, device: int, silent: bool) -> None:
        """Have the arrivals of a device's sensors told, or no longer."""
        m = self.memory
        self._keep_device(device)
        bits, ages = m.devices["bits"], m.sensors["age"]
        bits[device] = bits[device] | IS_SILENT if silent else bits[device] & ~np.uint16(IS_SILENT)
        self.device_dirty[device >> CHUNK_BITS] |= CHANGED
        for slot in self.sensors_of(device):
            if m.dirty[slot >> CHUNK_BITS] & FROZEN:
                keep_row(m, slot)
            ages[slot] = ages[slot] | np.uint32(DEVICE_SILENT) if silent else ages[slot] & ~np.uint32(DEVICE_SILENT)
            m.dirty[slot >> CHUNK_BITS] |= CHANGED

    # --- what a snapshot is of ---

    def freeze(self) -> tuple[list[int], list[int]]:
        """The chunks of sensors and of devices that changed since the last time, to be had as now until thawed."""
        self.thaw()
        frozen: list[list[int]] = []
        for dirty in (self.memory.dirty, self.device_dirty):
            changed = np.flatnonzero(dirty)
            dirty[changed] = FROZEN
            frozen.append(changed.tolist())
        return frozen[0], frozen[1]

    def thaw(self) -> None:
        """Forget how the frozen chunks were."""
        for dirty in (self.memory.dirty, self.device_dirty):
            np.bitwise_and(dirty, CHANGED, out=dirty)
        self.kept_devices.clear()
        let_go(self.memory)

    def sensors_as_frozen(self, index: int, count: int, *, mixed: bool) -> tuple[Array, Array]:
        """The first `count` rows of a frozen chunk, and of `extra` if `mixed`; copies."""
        begin = index << CHUNK_BITS
        rows = self.memory.sensors[begin : begin + count].copy()
        extra = self.memory.extra[begin : begin + (count if mixed else 0)].copy()
        lay_over(self.memory, index, rows, extra)
        return rows, extra

    def devices_as_frozen(self, index: int, count: int) -> Array:
        """The first `count` rows of a frozen chunk; a copy."""
        rows = self.kept_devices.get(index)
        begin = index << CHUNK_BITS
        return self.memory.devices[begin : begin + count].copy() if rows is None else rows[:count]

    def _keep_device(self, device: int) -> None:
        """Before a device is written to."""
        index = device >> CHUNK_BITS
        if self.device_dirty[index] & FROZEN:
            self.kept_devices[index] = self.memory.devices[index << CHUNK_BITS : (index + 1) << CHUNK_BITS].copy()
            self.device_dirty[index] &= ~np.uint8(FROZEN)

    # --- planning ---

    def set_facts(self, device: int, facts: DeviceFacts) -> None:
        """Plan a device and its sensors anew."""
        key = f"{facts.enterprise}/{facts.device}"
        selector = self.plans.select(Facts.of(facts), facts.enterprise, key)
        m = self.memory
        self._keep_device(device)
        m.devices["selector"][device] = selector
        m.devices["plan"][device] = self.plans.silence_plan(selector)
        m.due[device] = 0
        self.device_dirty[device >> CHUNK_BITS] |= CHANGED
        for slot in self.sensors_of(device):
            old = self.rules_of(slot)
            plan = self.plans.sensor_plan(selector, self.measure_of(slot).code)
            self._renew()
            self._replan(slot, old, plan)
        self._renew()

    def set_pack(self, pack: RulePack) -> None:
        """Plan everything anew by another pack; timers go on under their rule's id."""
        old = self.plans
        m = self.memory
        watched = np.flatnonzero(m.sensors["watch"][: self.sensors] != NONE).tolist()
        before = [(slot, self.rules_of(slot)) for slot in watched]
        self.plans = Plans(pack)
        self.select_all([old.facts_of(number) for number in range(old.selections)])
        plans = m.sensors["plan"]
        for slot, rules in before:
            self._replan(slot, rules, int(plans[slot]))

    def select_all(self, facts: Sequence[Facts]) -> None:
        """Give every device its selection and every sensor its plan; facts: by the numbers that devices hold now."""
        m = self.memory
        for index in np.flatnonzero(self.device_dirty & FROZEN).tolist():
            self._keep_device(index << CHUNK_BITS)
        devices = m.devices[: self.devices]
        mapped = np.array([self.plans.select(f, "", "") for f in facts], np.int32)
        held = devices["selector"].copy()
        if len(mapped):
            devices["selector"] = mapped[held]
        named: list[Array] = [
            np.flatnonzero(devices["enterprise"] == id_of(name) & _ENTERPRISE_BITS) for name in self.plans.enterprises
        ]
        keys = np.array([id_of(key) for key in self.plans.devices], np.int64)
        named.append(slots.slots_of(self.device_table, keys))
        for device in np.concatenate(named).tolist():
            if device != NONE:
                who = self.describe(-1 - device)
                devices["selector"][device] = self.plans.select(facts[held[device]], who.enterprise, who.key)
        count = self.plans.selections
        silence = np.zeros(max(count, 1), np.int32)
        for number in np.flatnonzero(np.bincount(devices["selector"], minlength=1)).tolist():
            silence[number] = self.plans.silence_plan(number)
        devices["plan"] = silence[devices["selector"]]
        m.due[: self.devices] = 0
        self.device_dirty[: -(-self.devices >> CHUNK_BITS)] |= CHANGED
        cold = m.cold[: self.sensors]
        codes = np.array([code for code, _ in self.names], np.int64)
        wide = 1 + max(BY_CODE)
        if len(codes):
            pairs = devices["selector"][cold["device"]].astype(np.int64) * wide + codes[cold["name"]]
            plan = np.zeros(count * wide, np.int32)
            for pair in np.flatnonzero(np.bincount(pairs, minlength=1)).tolist():
                plan[pair] = self.plans.sensor_plan(pair // wide, pair % wide)
            m.sensors["plan"][: self.sensors] = plan[pairs]
        self._renew()

    def _replan(self, slot: int, old: Sequence[Rule], plan: int) -> None:
        """Give a sensor another plan; the timers of rules that are still the same go on."""
        m = self.memory
        m.sensors["plan"][slot] = plan
        m.dirty[slot >> CHUNK_BITS] |= CHANGED
        number = int(m.sensors["watch"][slot])
        if number == NONE:
            return
        at = int(m.watches["timers"][number])
        rules = self.plans.of_plan[plan]
        row = m.watches[number : number + 1].copy()
        row["size"] = -(-len(rules) // TIMER_CLASS)
        timers = np.zeros(int(row["size"][0]) * TIMER_CLASS, TIMER)
        places = {rule.id: i for i, rule in enumerate(old)}
        for j, rule in enumerate(rules):
            i = places.get(rule.id)
            if i is not None and (old[i].signal, old[i].family) == (rule.signal, rule.family):
                timers[j] = m.timers[at + i]
        put_watches(m, row, timers)


def _no_room(capacity: int) -> TocsinError:
    return TocsinError(
        f"an engine has room for {capacity} sensors and devices, and they are used up.",
        mend="Start it with a larger capacity.",
    )
