"""The naive twin of the engine: `docs/reference/detection.md` once more, in dicts and floats, slow and obvious.

It judges what the compiled engine judged: property tests, the chaos judge and `tocsin replay --naive` compare them. It
keeps no checkpoints. Its parts: `naive_sensor` (filters, signals, the life of a rule), `naive_plan` (which rules hold
for whom), `naive_alarms` (steps), and here the order in which things happen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from schemas.alarms import AlarmEvent, Answer, Evidence, Grade, Kind, State
from schemas.entries import (
    ClockStepped,
    DeviceFacts,
    Entry,
    PackActivated,
    ResetAsked,
    Sensor,
    Sensors,
    Tick,
)
from schemas.measures import BY_NAME
from schemas.readings import Origin, Quality, ReadingBatch
from schemas.rules import Rule, RulePack, Signal
from scoring.naive_alarms import Alarm, Moment, Step
from scoring.naive_plan import DeviceState, concerns, is_of_device, known, replanned, rules_for, unit_of, what_counts
from scoring.naive_sensor import LATE_US, Phase, RuleState, SensorState, Transition

HOLE_US = 10_000_000
BACKFILL_QUIET_US = 5_000_000


@dataclass(frozen=True, slots=True)
class NaiveVerdict:
    """What applying one entry gave; `scores` one number a reading of a batch, NaN while not able to say."""

    events: Sequence[AlarmEvent]
    answers: Sequence[Answer]
    scores: Sequence[float] = ()


class NaiveEngine:
    """The engine as a person would write it down; a function of the entries it is given.

    read_pack: makes a pack of an activated TOML text and its version; needed only where packs are activated.
    """

    def __init__(
        self, pack: RulePack, *, partition: int = 0, read_pack: Callable[[str, str], RulePack] | None = None
    ) -> None:
        self.pack = pack
        self.partition = partition
        self.now = 0
        self.counts = dict.fromkeys(
            ("unknown", "malformed", "duplicate", "conflicting", "late", "backfill", "live", "clock"), 0
        )
        self._read_pack = read_pack
        self._sensors: dict[int, SensorState] = {}
        self._devices: dict[str, DeviceState] = {}
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._holes: list[tuple[int, int]] = []
        self._ticked = False
        self._stepped: int | None = None
        self._seq = 0
        self._entry = 0
        self._events: list[AlarmEvent] = []

    def apply(self, entry: Entry) -> NaiveVerdict:
        self._entry, self._events = entry.number, []
        answers: list[Answer] = []
        scores: list[float] = []
        match entry.payload:
            case ReadingBatch() as batch:
                columns = (column.tolist() for column in batch.columns())
                scores = [self._reading(*row) for row in zip(*columns, strict=True)]
            case Sensors(sensors):
                for sensor in sensors:
                    self._declare(sensor)
            case Tick(now_us):
                self._tick(now_us)
            case PackActivated() as activated:
                self._activate(activated)
            case DeviceFacts() as facts:
                self._learn_facts(facts)
            case ResetAsked() as asked:
                answers.append(self._reset(asked))
            case ClockStepped() as stepped:
                self._clock_stepped(stepped)
        return NaiveVerdict(self._events, answers, scores)

    # --- who there is ---

    def _device(self, enterprise: str, device: str) -> DeviceState:
        key = f"{enterprise}/{device}"
        if key not in self._devices:
            self._devices[key] = DeviceState(enterprise, device, DeviceFacts(enterprise, device))
            self._plan_device(self._devices[key])
        return self._devices[key]

    def _declare(self, sensor: Sensor) -> None:
        if sensor.id in self._sensors or sensor.measure not in BY_NAME:
            return
        state = SensorState(sensor, BY_NAME[sensor.measure])
        device = self._device(sensor.enterprise, sensor.device)
        device.sensors.append(state)
        self._sensors[sensor.id] = state
        self._plan_sensor(state, device)

    def _plan_sensor(self, sensor: SensorState, device: DeviceState) -> None:
        wanted = [r for r in rules_for(self.pack, device.facts) if concerns(r, sensor)]
        sensor.rules = replanned(sensor.rules, wanted)

    def _plan_device(self, device: DeviceState) -> None:
        wanted = [r for r in rules_for(self.pack, device.facts) if r.signal is Signal.SILENCE]
        device.rules = replanned(device.rules, wanted)

    # --- a reading ---

    def _reading(self, sensor_id: int, t: int, arrival: int, v: float, quality: int, origin: int) -> float:
        """Judge one reading; returns the score that people see."""
        sensor = self._sensors.get(sensor_id)
        if sensor is None or not math.isfinite(v):
            self.counts["unknown" if sensor is None else "malformed"] += 1
            return math.nan
        device = self._device(sensor.sensor.enterprise, sensor.sensor.device)
        self._heard(device, arrival)
        lowest, highest = sensor.measure.instrument
        x = max(lowest, min(highest, v))
        score = self._sort(sensor, device, t, arrival, x, quality, origin)
        if origin == Origin.REPLAY_END:
            self._end_backfill(sensor)
        return score

    def _sort(
        self, sensor: SensorState, device: DeviceState, t: int, arrival: int, x: float, quality: int, origin: int
    ) -> float:
        """Duplicate, wrong clock, history, back-fill or live."""
        lag = arrival - t
        if t == sensor.newest:
            self.counts["duplicate"] += 1
            self.counts["conflicting"] += not sensor.is_last(x)
            return math.nan
        wrong_clock = sensor.clock_is_wrong(t, arrival, origin == Origin.LIVE)
        if wrong_clock:
            t = arrival
        elif sensor.newest is not None and t < sensor.newest:
            self.counts["late"] += 1
            return math.nan
        if not wrong_clock and lag > LATE_US:
            self.counts["backfill"] += 1
            sensor.backfill_open, sensor.backfill_now = True, self.now
        else:
            self.counts["live"] += 1
            self._end_backfill(sensor)
        clock_fault = wrong_clock or quality == Quality.CLOCK
        self.counts["clock"] += clock_fault
        return self._judge(sensor, device, t, arrival, x, wrong_clock, clock_fault, quality == Quality.OUT_OF_RANGE)

    def _judge(
        self,
        sensor: SensorState,
        device: DeviceState,
        t: int,
        arrival: int,
        x: float,
        by_arrival: bool,
        clock_fault: bool,
        out_of_range: bool,
    ) -> float:
        rebased = sensor.newest is not None and by_arrival != sensor.by_arrival
        dt = 0 if sensor.newest is None or rebased else max(0, t - sensor.newest)
        sensor.newest = t if sensor.newest is None or rebased else max(sensor.newest, t)
        sensor.by_arrival, sensor.arrival = by_arrival, arrival
        period = sensor.expected_period(device.declared_period)
        gs = max(60.0, 2.5 * period)
        sensor.age_us += dt
        sensor.filter(x, dt, gs, restart=rebased)
        sensor.count_faults(x, t, out_of_range, clock_fault, restart=rebased)
        z = sensor.z(x)
        moved: list[Transition] = []
        rated = known(device.facts.rated_current_a)
        for state in sensor.rules.values():
            s = sensor.signal(state.rule.signal, x, t, z, rated)
            if s is None:
                continue
            longest = sensor.longest_gap_us(state.rule, period)
            reached = sensor.reserve_used(x, rated) if state.rule.signal is Signal.Z else x
            transition = state.read(s, reached, t, dt if longest is None else min(dt, longest))
            if transition is not None:
                moved.append(transition)
        for transition in moved:
            if transition.up:
                transition.state.lifted = transition.state.rule.kind is Kind.ANOMALY and sensor.tier0_holds
        self._step_alarms(sensor, device, moved, Moment(t, arrival), z)
        sensor.learn(x, dt, gs, frozen=sensor.tier0_holds)
        if dt and not sensor.on_change:
            sensor.learn_period(dt)
        return math.nan if z is None else z * z / (z * z + 36)

    # --- a tick ---

    def _tick(self, now_us: int) -> None:
        if now_us <= self.now:
            return
        before, self.now = self.now, now_us
        if self._ticked and now_us - before > HOLE_US:
            self._holes.append((before, now_us))
            length_s = (now_us - before) / 1e6
            self._own_alarm("blind", before, now_us, length_s, length_s)
        self._ticked = True
        for sensor in self._sensors.values():
            if sensor.on_change and sensor.newest is not None:
                self._hold(sensor)
        for sensor in self._sensors.values():
            if sensor.backfill_open and now_us - sensor.backfill_now >= BACKFILL_QUIET_US:
                self._end_backfill(sensor)
        for device in self._devices.values():
            self._watch(device)

    def _hold(self, sensor: SensorState) -> None:
        """The last value of an on_change sensor holds, so its timers run on."""
        device = self._device(sensor.sensor.enterprise, sensor.sensor.device)
        moved = []
        for state in sensor.rules.values():
            s = state.last_s
            if state.rule.signal in (Signal.VALUE, Signal.RATED):
                held = sensor.signal(state.rule.signal, sensor.last, 0, None, known(device.facts.rated_current_a))
                s = s if held is None else held
            transition = state.wait(self.now - sensor.arrival, s)
            if transition is not None:
                transition.state.lifted = state.rule.kind is Kind.ANOMALY and sensor.tier0_holds
                moved.append(transition)
        self._step_alarms(sensor, device, moved, Moment(self.now, self.now), None)

    def _watch(self, device: DeviceState) -> None:
        """Silence of one device."""
        period = device.expected_period
        if period is None or device.last_heard is None:
            return
        heard = device.last_heard
        blind = sum(max(0, b - max(a, heard)) for a, b in self._holes)
        silent_s = (self.now - heard - blind) / 1e6
        may_begin = not self._holes or (self.now - self._holes[-1][1]) / 1e6 >= period
        moved = []
        for state in device.rules.values():
            limit = max(state.rule.high, state.rule.periods * period)
            if silent_s < limit:
                continue
            if state.phase is Phase.CLEARING:
                state.phase = Phase.ACTIVE
            elif state.phase is Phase.IDLE and may_begin and state.rule.watch is device.watch(period):
                state.phase, state.since = Phase.ACTIVE, heard
                moved.append(Transition(state, True, silent_s, limit, silent_s))
        self._step_alarms(None, device, moved, Moment(self.now, self.now), None)

    def _heard(self, device: DeviceState, arrival: int) -> None:
        """A reading came; a later arrival counts towards the clearing of silence rules."""
        if device.last_heard is not None and arrival <= device.last_heard:
            return
        device.last_heard = arrival
        moved = []
        for state in device.rules.values():
            if not state.holds_alarm:
                continue
            state.count = state.count + 1 if state.phase is Phase.CLEARING else 1
            state.phase = Phase.CLEARING
            if state.count >= state.rule.clear_readings:
                state.phase = Phase.IDLE
                moved.append(Transition(state, False, None, None, 0.0))
        self._step_alarms(None, device, moved, Moment(arrival, arrival), None)

    # --- control ---

    def _activate(self, activated: PackActivated) -> None:
        if self._read_pack is None:
            raise ValueError("a pack was activated, but this twin was given no read_pack")
        if (activated.version, activated.toml) == (self.pack.version, self.pack.toml):
            return
        for sensor in self._sensors.values():
            self._end_backfill(sensor)
        self.pack = replace(self._read_pack(activated.toml, activated.version), toml=activated.toml)
        self._replan(self._devices.values(), "pack")

    def _learn_facts(self, facts: DeviceFacts) -> None:
        device = self._device(facts.enterprise, facts.device)
        if what_counts(facts) == what_counts(device.facts):
            return
        for sensor in device.sensors:
            self._end_backfill(sensor)
        device.facts = facts
        self._replan([device], "facts")

    def _replan(self, devices: Iterable[DeviceState], reason: str) -> None:
        """Give every sensor, then every device, its rules anew; alarms whose rules are gone step accordingly."""
        now = Moment(self.now, self.now)
        keys = {device.key for device in devices}
        for sensor in self._sensors.values():
            device = self._device(sensor.sensor.enterprise, sensor.sensor.device)
            if device.key in keys:
                self._plan_sensor(sensor, device)
                for alarm in self._alarms_of(sensor.sensor.key):
                    states = [s for s in sensor.rules.values() if s.rule.family == alarm.family]
                    self._tell(alarm, sensor, device, alarm.planned(states, now, reason))
        for key, device in self._devices.items():
            if key in keys:
                self._plan_device(device)
                for alarm in self._alarms_of(key):
                    states = self._device_states(device, alarm.family)
                    self._tell(alarm, None, device, alarm.planned(states, now, reason))

    def _reset(self, asked: ResetAsked) -> Answer:
        found = next((a for a in self._alarms.values() if a.key == asked.alarm), None)
        if found is None:
            return Answer(asked.command, False, "unknown")
        sensor = next((s for s in self._sensors.values() if s.sensor.key == found.subject), None)
        if sensor is not None:
            self._end_backfill(sensor)
        reason = found.refusal(asked.seen_step)
        if reason:
            return Answer(asked.command, False, reason)
        enterprise, device = found.subject.split("/")[:2]
        step = found.over(State.RESET, Moment(self.now, self.now), asked.by)
        self._tell(found, sensor, self._device(enterprise, device), step)
        return Answer(asked.command, True)

    def _clock_stepped(self, stepped: ClockStepped) -> None:
        onset = stepped.now_us if self._stepped is None else max(stepped.now_us, self._stepped + 1)
        self._stepped = onset
        self._own_alarm("clock_step", onset, onset, stepped.by_us / 1e6, 0.0)

    # --- alarms ---

    def _alarms_of(self, subject: str) -> list[Alarm]:
        """The subject's alarms, families in the order of the pack, those it no longer names last."""
        order = {family: i for i, family in reversed(list(enumerate(r.family for r in self.pack.rules)))}
        mine = [a for (of, _), a in self._alarms.items() if of == subject]
        return sorted(mine, key=lambda a: order.get(a.family, len(order)))

    def _device_states(self, device: DeviceState, family: str) -> list[RuleState]:
        of_sensors = [state for sensor in device.sensors for state in sensor.rules.values()]
        mine = [s for s in of_sensors if is_of_device(s.rule)] + list(device.rules.values())
        return [s for s in mine if s.rule.family == family]

    def _step_alarms(
        self, sensor: SensorState | None, device: DeviceState, moved: list[Transition], moment: Moment, z: float | None
    ) -> None:
        """The transitions of one reading, or of one subject of a tick, taken together by family."""
        if not moved:
            return
        for family in dict.fromkeys(r.family for r in self.pack.rules):
            by = [t for t in moved if t.state.rule.family == family]
            if not by:
                continue
            if sensor is None or is_of_device(by[0].state.rule):
                subject, states, keeper = device.key, self._device_states(device, family), None
            else:
                subject, keeper = sensor.sensor.key, sensor
                states = [s for s in sensor.rules.values() if s.rule.family == family]
            alarm = self._alarms.setdefault((subject, family), Alarm(subject, family))
            keep = keeper is not None and keeper.backfill_open and (not alarm.active or bool(alarm.kept))
            order = {rule.id: i for i, rule in enumerate(self.pack.rules)}
            first = min(by, key=lambda t: (-t.state.grade, order[t.state.rule.id]))
            rule = first.state.rule
            evidence = Evidence(
                rule.id, self.pack.version, first.value, first.limit, unit_of(rule, sensor), first.held_s, z
            )
            step = alarm.moved(states, by, moment, rule.kind, evidence)
            if keep and step is not None:
                alarm.kept.append(step)
            else:
                self._tell(alarm, keeper, device, step)

    def _end_backfill(self, sensor: SensorState) -> None:
        if not sensor.backfill_open:
            return
        sensor.backfill_open = False
        device = self._device(sensor.sensor.enterprise, sensor.sensor.device)
        for alarm in self._alarms_of(sensor.sensor.key):
            for step in alarm.release(self.now):
                self._tell(alarm, sensor, device, step)

    def _tell(self, alarm: Alarm, sensor: SensorState | None, device: DeviceState, step: Step | None) -> None:
        if step is None:
            return
        self._emit(alarm, step, device.enterprise, device.device, sensor.measure.name if sensor is not None else "")

    def _emit(self, alarm: Alarm, step: Step, enterprise: str, device: str, measure: str) -> None:
        self._seq += 1
        self._events.append(
            AlarmEvent(
                key=step.key,
                step=alarm.number(step),
                partition=self.partition,
                seq=self._seq,
                state=step.state,
                subject=alarm.subject,
                enterprise=enterprise,
                device=device,
                measure=measure,
                family=alarm.family,
                kind=step.kind,
                grade=step.grade,
                previous=step.previous,
                active=step.active,
                latched=step.latched,
                onset_us=step.onset,
                event_us=step.moment.event_us,
                received_us=step.moment.received_us,
                now_us=self.now,
                entry=self._entry,
                evidence=step.evidence,
                late=step.late,
                age_s=step.age_s,
                reason=step.reason,
            )
        )

    def _own_alarm(self, family: str, onset: int, event_us: int, value: float, held_s: float) -> None:
        """An alarm of our own, raised and at once cleared."""
        alarm = Alarm(f"tocsin/engine-{self.partition}", family)
        rule = Rule(f"engine.{family}", (), family, Kind.OPERATION, Grade.YELLOW)
        state = RuleState(rule, Phase.ACTIVE, since=onset)
        evidence = Evidence(rule.id, self.pack.version, value, HOLE_US / 1e6, "s", held_s)
        moment = Moment(event_us, event_us)
        for _ in ("raised", "cleared"):
            step = alarm.moved([state], [], moment, Kind.OPERATION, evidence)
            if step is not None:
                self._emit(alarm, step, "tocsin", f"engine-{self.partition}", "")
            state.phase = Phase.IDLE
