"""The compiled engine and its naive twin say the same of every log."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.entries import Entry, Payload
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
