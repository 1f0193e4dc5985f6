"""Judges a run by the feeder's own file and the naive twin; Tocsin's tables are what is judged, never the measure.

Each function returns the list of what is wrong, in words, so that a run shows all of it at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from schemas.alarms import AlarmEvent, State, decode_event
from schemas.entries import Entry, Sensor, Sensors
from schemas.identity import SensorKey, id_of
from schemas.readings import ReadingBatch
from scoring.naive import NaiveEngine
from sensors_sim.webhook_sink import Arrival
from streams.packs import parse_pack
from streams.store.edge import session
from streams.store.queries import history, status
from tests.chaos.feeder import Message
from tests.chaos.stories import SILENT_AFTER_S, TAMPER_S, TIMED, UNTIMED, Expected

_END_US = 1 << 52
_STAMP_US = 100_000
"""By so much the house's time may differ from the feeder's clock."""
_TICK_US = 2_000_000
_BUNDLE_US = 62_000_000
"""A bundle gathers for a minute."""
DEVICE_FAMILIES = ("silence", "online")


@dataclass(frozen=True, slots=True)
class Step:
    """What must be equal of an alarm event."""

    key: str
    step: int
    state: str
    subject: str
    family: str
    grade: str
    onset_us: int
    event_us: int

    @classmethod
    def of(cls, e: AlarmEvent) -> Step:
        return cls(e.key, e.step, e.state.value, e.subject, e.family, e.grade.word, e.onset_us, e.event_us)


def events_said(connection: psycopg.Connection) -> list[AlarmEvent]:
    """Every alarm event, each partition's in the order of its engine."""
    rows = connection.execute("SELECT body::text FROM alarm_events ORDER BY partition, seq").fetchall()
    return [decode_event(body) for (body,) in rows]


def twin_events(messages: Iterable[Message], pack_text: str) -> list[AlarmEvent]:
    """What the naive twin says of the messages with `ts`, each sensor's in the order in which they were sent."""
    twin = NaiveEngine(parse_pack(pack_text, "chaos"))
    known: set[int] = set()
    events: list[AlarmEvent] = []
    for number, message in enumerate(messages, 1):
        keys = [SensorKey.parse(f"{message.enterprise}/{message.device}/{name}") for name in message.values]
        new = [Sensor(id_of(str(k)), k.enterprise, k.device, k.measure, k.channel) for k in keys]
        fresh = [sensor for sensor in new if sensor.id not in known]
        if fresh:
            known.update(sensor.id for sensor in fresh)
            twin.apply(Entry(number, Sensors(fresh)))
        assert message.ts_ms is not None
        ts, zeros = [message.ts_ms * 1000] * len(new), [0] * len(new)
        batch = ReadingBatch.of([s.id for s in new], ts, ts, list(message.values.values()), zeros, zeros)
        events += twin.apply(Entry(number, batch)).events
    return events


def judge_timed(said: Sequence[AlarmEvent], twin: Sequence[AlarmEvent]) -> list[str]:
    """Key by key, step by step the same."""
    ours = [Step.of(e) for e in said if e.enterprise.startswith(TIMED) and e.family not in DEVICE_FAMILIES]
    theirs = [Step.of(e) for e in twin]
    wrong = [f"said, but the twin does not: {step}" for step in set(ours) - set(theirs)]
    wrong += [f"never said: {step}" for step in set(theirs) - set(ours)]
    return wrong + [f"said twice: {step}" for step, count in Counter(ours).items() if count > 1]


def judge_untimed(said: Sequence[AlarmEvent], expected: Expected, blind_us: Sequence[tuple[int, int]]) -> list[str]:
    """The steps that were due, each once, with the onset between the send and the PUBACK of its message."""
    by_subject: dict[str, list[AlarmEvent]] = defaultdict(list)
    for event in said:
        if event.enterprise.startswith(UNTIMED) and event.family not in (*DEVICE_FAMILIES, "anomaly"):
            by_subject[event.subject].append(event)
    wrong = [f"nobody knows why: {subject}" for subject in by_subject.keys() - expected.raised_by.keys()]
    for subject, message in expected.raised_by.items():
        events = by_subject[subject]
        due = [State.RAISED] + [State.CLEARED] * (subject in expected.cleared_by)
        if [event.state for event in events] != due:
            wrong.append(f"{subject}: {[e.state.value for e in events]} instead of {[s.value for s in due]}")
            continue
        wrong += _outside(f"{subject}: onset", events[0].onset_us, message)
        if subject in expected.cleared_by:
            wrong += _outside(f"{subject}: cleared", events[1].event_us, expected.cleared_by[subject])
        if "/tamper" in subject:
            late = events[0].event_us - events[0].onset_us - int(TAMPER_S * 1e6)
            if not -_TICK_US < late < _TICK_US + _blind(blind_us, events[0].onset_us, events[0].event_us):
                wrong.append(f"{subject}: {late / 1e6:.1f} s late")
    return wrong


def judge_silence(
    said: Sequence[AlarmEvent],
    expected: Expected,
    blind_us: Sequence[tuple[int, int]],
    fed_until_us: int,
    messages: Sequence[Message] = (),
) -> list[str]:
    """Who fell silent long enough ago is told of, within 2 s; who speaks on is not, unless nothing came through.

    messages: as `judge_store` leaves them, which knows when they came.
    """
    told: dict[str, list[AlarmEvent]] = defaultdict(list)
    for event in said:
        if event.family == "silence" and event.state is State.RAISED and event.onset_us < fed_until_us - _TICK_US:
            told[event.subject].append(event)
    wrong = []
    for device, message in expected.last_heard.items():
        ends = [e for e in told[device] if e.onset_us >= message.sent_us - _STAMP_US]
        told[device] = [e for e in told[device] if e not in ends]
        blind = _blind(blind_us, message.acked_us, fed_until_us)
        if not ends:
            if message.acked_us + int(SILENT_AFTER_S * 1e6) + _TICK_US + blind < fed_until_us:
                wrong.append(f"{device} is silent and nobody says so")
            continue
        wrong += _outside(f"{device}: last heard", ends[0].onset_us, message)
        late = ends[0].event_us - ends[0].onset_us - int(SILENT_AFTER_S * 1e6)
        if not -_TICK_US < late < _TICK_US + _blind(blind_us, ends[0].onset_us, ends[0].event_us):
            wrong.append(f"{device}: its silence was told {late / 1e6:.1f} s late")
    spoken: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        spoken[f"{message.enterprise}/{message.device}"].append(message)
    for device, events in told.items():
        for e in events:
            through = [m for m in spoken[device] if m.acked_us > 0 and max(m.acked_us, m.came_us) < e.event_us]
            heard = [m for m in through if m.sent_us > e.onset_us]
            if heard or not messages:
                wrong.append(f"{device} speaks, and is called silent")
    return wrong


def _outside(what: str, at_us: int, message: Message) -> list[str]:
    if message.sent_us - _STAMP_US <= at_us <= message.acked_us + _STAMP_US:
        return []
    off_s = (at_us - message.sent_us) / 1e6, (at_us - message.acked_us) / 1e6
    return [f"{what} is not between send and PUBACK: {off_s[0]:+.3f} s, {off_s[1]:+.3f} s"]


def _blind(blind_us: Sequence[tuple[int, int]], start_us: int, end_us: int) -> int:
    """µs of [start, end] and of the time just after in which Tocsin was down."""
    return sum(max(0, min(end_us, b) + _TICK_US - max(start_us, a)) for a, b in blind_us if b > start_us and a < end_us)


@dataclass(frozen=True, slots=True)
class Stored:
    readings: int
    lost: int
    doubled: int
    """Of messages without `ts`, sent again because nobody knew: QoS 1 is at least once."""
    wrong: list[str]


def judge_store(dsn: str, messages: Sequence[Message], expected: Expected) -> Stored:
    """Every acknowledged reading with `ts` is stored once, and nothing else; every serial without one is stored."""
    due: dict[str, dict[int, Message]] = defaultdict(dict)
    for message in messages:
        if message.ts_ms is not None:
            for name in message.values:
                due[f"{message.enterprise}/{message.device}/{name}"][message.ts_ms * 1000] = message
    wrong: list[str] = []
    readings = lost = doubled = 0
    with session(dsn, "tocsin-chaos") as connection:
        for key, sent in due.items():
            found = history(connection, id_of(key), 0, _END_US)
            name = key.rpartition("/")[2]
            wanted = {at_us: message.values[name] for at_us, message in sent.items()}
            stored = dict(zip(found.event_time.tolist(), found.value.tolist(), strict=True))
            for at_us, came_us in zip(found.event_time.tolist(), found.arrival_time.tolist(), strict=True):
                if at_us in sent:
                    sent[at_us].came_us = came_us
            readings += len(found)
            lost += len(wanted.keys() - stored.keys())
            if stored != wanted or len(stored) != len(found):
                wrong.append(f"{key}: {len(wanted)} acknowledged, {len(found)} stored, not the same")
        for key, serials in expected.serials.items():
            found = history(connection, id_of(key), 0, _END_US)
            times = Counter(int(value) for value in found.value.tolist())
            readings += len(found)
            lost += len(serials.keys() - times.keys())
            again = {serial for serial, count in times.items() if count > 1}
            doubled += len(again)
            if times.keys() != serials.keys():
                wrong.append(f"{key}: serials {sorted(serials.keys() ^ times.keys())[:5]} lost or made up")
            wrong += [f"{key}: serial {s} is doubled, yet was sent once" for s in again if not serials[s].resends]
    return Stored(readings, lost, doubled, wrong)


def has_stored(dsn: str, ends: Mapping[int, int]) -> bool:
    """ends: partition → number of the last entry in the log."""
    with session(dsn, "tocsin-chaos") as connection:
        positions = status(connection).positions
    return all(positions.get(partition, 0) >= end for partition, end in ends.items())


@dataclass(frozen=True, slots=True)
class Told:
    notifications: int
    repeated: int
    """Sent more than once, and the ledger shows why."""
    wrong: list[str]


def events_count(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM alarm_events").fetchone()
    return row[0] if row else 0


def judge_ledger(connection: psycopg.Connection, arrivals: Sequence[Arrival], now_us: int) -> Told:
    """Every step has its decision; what was due arrived; what arrived twice has an attempt of unknown outcome."""
    wrong = [
        f"no decision about step {step} of {key}"
        for key, step in connection.execute(
            "SELECT key, step FROM alarm_events EXCEPT SELECT alarm, step FROM decisions"
        ).fetchall()
    ]
    came = Counter(arrival.notification().id for arrival in arrivals)
    rows = connection.execute(
        "SELECT id, status, due_us, (SELECT array_agg(coalesce(outcome, 'unknown') ORDER BY number) FROM attempts"
        " WHERE notification = id) FROM notifications WHERE channel = 'webhook'"
    ).fetchall()
    repeated = 0
    for identifier, state, due_us, attempts in rows:
        count, outcomes = came.pop(identifier, 0), attempts or []
        if state == "accepted" and not count:
            wrong.append(f"notification {identifier} is called accepted and never came")
        if count > 1:
            repeated += 1
            if len(outcomes) < count or "unknown" not in outcomes:
                wrong.append(f"notification {identifier} came {count} times; the ledger says {outcomes}")
        if state == "planned" and due_us > now_us + _BUNDLE_US:
            wrong.append(f"notification {identifier} gathers for another {(due_us - now_us) / 1e6:.0f} s")
        if state in ("failed", "queued", "sending"):
            wrong.append(f"notification {identifier} is left {state}: {outcomes}")
    wrong += [f"notification {identifier} came and is in no ledger" for identifier in came]
    return Told(len(rows), repeated, wrong)


@dataclass(frozen=True, slots=True)
class Moment:
    """What was going on at a kill."""

    timers: int
    on_their_way: int


def moments(
    kills_us: Sequence[int],
    said: Sequence[AlarmEvent],
    messages: Sequence[Message],
    arrivals: Sequence[Arrival],
    expected: Expected,
) -> list[Moment]:
    """At each kill: conditions that were counting, and alarms whose reading had left and whose message had not come."""
    left_at = {(f"{m.enterprise}/{m.device}", m.ts_ms): m.sent_us for m in messages if m.ts_ms is not None}
    told_at: dict[str, int] = {}
    for arrival in arrivals:
        for line in arrival.notification().lines:
            told_at.setdefault(line.key, arrival.at_us)
    spans = []
    for event in said:
        if event.state is State.RAISED:
            place = f"{event.enterprise}/{event.device}"
            begun = left_at.get((place, event.onset_us // 1000), event.onset_us)
            done = left_at.get((place, event.event_us // 1000), event.event_us)
            spans.append((begun, done, told_at.get(event.key, _END_US)))
    silent = [message.acked_us for message in expected.last_heard.values()]
    return [
        Moment(
            timers=sum(begun <= kill < done for begun, done, _ in spans)
            + sum(at <= kill < at + SILENT_AFTER_S * 1e6 for at in silent),
            on_their_way=sum(begun <= kill < told for begun, _, told in spans),
        )
        for kill in kills_us
    ]
