"""The compiled engine and its naive twin say the same of every log."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.entries import DeviceFacts, Entry, PackActivated, Payload, ResetAsked
from schemas.readings import ReadingBatch
from scoring.naive import NaiveEngine
from streams.engine import Engine
from streams.ports import Chunk, Snapshot
from tests.engine_logs import TIGHT, logs, numbered, pointed, read_pack

CAPACITY = 4096
LOGS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking a log takes minutes and says little
)


def engine() -> Engine:
    return Engine(TIGHT, partition=3, read_pack=read_pack, capacity=CAPACITY)


def run(judge: Any, entries: list[Entry]) -> tuple[list[Any], list[Any]]:
    events: list[Any] = []
    answers: list[Any] = []
    for entry in entries:
        verdict = judge.apply(pointed(entry, events))
        events += verdict.events
        answers += verdict.answers
    return events, answers


@given(logs())
@settings(LOGS, max_examples=250)
def test_engine_and_twin_tell_the_same_steps_and_answers(payloads: list[Payload]) -> None:
    """Two implementations of one page: where they differ, one is wrong."""
    entries = numbered(payloads)
    ours, theirs = engine(), NaiveEngine(TIGHT, partition=3, read_pack=read_pack)
    events: list[Any] = []
    for entry in entries:
        asked = pointed(entry, events)
        scores = np.zeros(len(asked.payload)) if isinstance(asked.payload, ReadingBatch) else None
        got, want = ours.apply(asked, scores), theirs.apply(asked)
        assert list(got.events) == list(want.events)
        assert list(got.answers) == list(want.answers)
        if scores is not None:
            assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(scores, want.scores, strict=True))
        events += got.events
    counted = ours.counters()
    for name in ("unknown", "malformed", "duplicate", "conflicting", "late", "backfill", "clock"):
        assert counted[name] == theirs.counts[name], name


@given(logs(), st.data())
@settings(LOGS, max_examples=60)
def test_a_restored_engine_has_exactly_the_same_future(payloads: list[Payload], data: st.DataObject) -> None:
    """A kill at any point changes no alarm: the last checkpoint and the entries after it are enough."""
    entries = numbered(payloads)
    whole = engine()
    events: list[Any] = []
    said: list[list[Any]] = []
    for entry in entries:
        verdict = whole.apply(pointed(entry, events))
        said.append([*verdict.events, *verdict.answers])
        events += verdict.events
    cuts = sorted(data.draw(st.sets(st.integers(0, len(entries)), min_size=1, max_size=3)))
    kept: dict[tuple[str, int], Chunk] = {}
    half, at, told = engine(), 0, []
    for cut in cuts:
        for entry, want in zip(entries[at:cut], said[at:cut], strict=True):
            verdict = half.apply(pointed(entry, told))
            assert [*verdict.events, *verdict.answers] == want
            told += verdict.events
        at = cut
        kept |= {(chunk.name, chunk.index): chunk for chunk in half.snapshot(cut).chunks}
        half = engine()
        half.restore(Snapshot(cut, list(kept.values())))
    for entry, want in zip(entries[at:], said[at:], strict=True):
        verdict = half.apply(pointed(entry, told))
        assert [*verdict.events, *verdict.answers] == want
        told += verdict.events
    assert half.counters() == whole.counters()


@given(logs(), st.data())
@settings(LOGS, max_examples=60)
def test_what_people_ask_for_may_stand_in_the_log_twice(payloads: list[Payload], data: st.DataObject) -> None:
    """A log in Kafka repeats it when its writer was killed at the wrong moment; nobody may be told of that.

    A pack or facts come again before anything newer of their kind does, a reset before anything else does.
    """
    once = [Entry(2 * number, payload) for number, payload in enumerate(payloads, 1)]
    twice = list(once)
    for place in reversed(range(len(once))):
        payload = once[place].payload
        if isinstance(payload, PackActivated | DeviceFacts | ResetAsked) and data.draw(st.booleans()):
            latest = _latest_repeat(once, place)
            again = data.draw(st.integers(place, latest))
            twice.insert(1 + next(i for i, e in enumerate(twice) if e is once[again]), Entry(0, payload))
    for make in (engine, lambda: NaiveEngine(TIGHT, partition=3, read_pack=read_pack)):
        events, answers = run(make(), once)
        repeated, answered = run(make(), [replace(e, number=e.number or 1) for e in twice])
        assert repeated == events
        # The first answer of a command is the one that is kept.
        assert [a for a in answered if a.accepted] == [a for a in answers if a.accepted]


def _latest_repeat(entries: list[Entry], place: int) -> int:
    """The place behind which a repeat of the entry at `place` may stand at the latest."""
    payload = entries[place].payload
    if isinstance(payload, ResetAsked):
        return place
    for later in range(place + 1, len(entries)):
        other = entries[later].payload
        if type(other) is not type(payload):
            continue
        if isinstance(payload, PackActivated) or (
            isinstance(other, DeviceFacts)
            and isinstance(payload, DeviceFacts)
            and (other.enterprise, other.device) == (payload.enterprise, payload.device)
        ):
            return later - 1
    return len(entries) - 1


@given(logs(), st.integers(1, 7))
@settings(LOGS, max_examples=60)
def test_how_batches_are_cut_never_matters(payloads: list[Payload], size: int) -> None:
    """The log's writer cuts batches by chance, so the answer must not hang on it."""
    once, apart = engine(), engine()
    events: list[Any] = []
    others: list[Any] = []
    for entry in numbered(payloads):
        asked, again = pointed(entry, events), pointed(entry, others)
        events += once.apply(asked).events
        if isinstance(again.payload, ReadingBatch):
            for at in range(0, len(again.payload), size):
                others += apart.apply(Entry(again.number, again.payload.take(slice(at, at + size)))).events
        else:
            others += apart.apply(again).events
    assert events == others
