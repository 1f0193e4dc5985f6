"""What a desk's heartbeat knows of the processes that judge and store."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tocsin.standing import STORE_SILENT_S
from tocsin.standing import watch as watching
from tocsin.standing.elsewhere import STILL_S, judged_elsewhere, stored_elsewhere
from tocsin.standing.watch import Seen, Watch


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The monotonic clock, in seconds."""
    clock = {"s": 1000.0}
    monkeypatch.setattr(watching.time, "monotonic", lambda: clock["s"])
    return clock


def look(watch: Watch, clock: dict[str, float], seconds: float, **positions: int) -> None:
    """`seconds` later: consumer_partition=position."""
    clock["s"] += seconds
    parts = {(name.partition("_")[0], int(name.partition("_")[2])): n for name, n in positions.items()}
    watch.take(Seen(clock["s"], cast(Any, None), parts))


def test_a_partition_that_nobody_judges_is_named(at: dict[str, float]) -> None:
    """A position moves every second while a worker has the partition and a door ticks."""
    watch = Watch("")
    look(watch, at, 0, engine_0=5, engine_1=5)
    look(watch, at, STILL_S / 2, engine_0=6, engine_1=5)
    assert judged_elsewhere(watch, 2).trouble() == ""
    look(watch, at, STILL_S / 2 + 1, engine_0=7, engine_1=5)
    assert judged_elsewhere(watch, 2).trouble() == "not judged for more than 30 s: partition 1"
    look(watch, at, 1, engine_0=8, engine_1=6)
    assert judged_elsewhere(watch, 2).trouble() == ""


def test_a_partition_that_was_never_judged_is_named(at: dict[str, float]) -> None:
    watch = Watch("")
    look(watch, at, 0, engine_0=5)
    assert "partition 1" in judged_elsewhere(watch, 2).trouble()


def test_a_store_that_stands_still_is_told(at: dict[str, float]) -> None:
    watch = Watch("")
    look(watch, at, 0, store_0=5)
    look(watch, at, STORE_SILENT_S + 1, store_0=5)
    assert "not stored" in stored_elsewhere(watch, 1).trouble()


def test_a_database_that_does_not_answer_is_no_good_sign(at: dict[str, float]) -> None:
    """Whoever cannot look must not say that all is well."""
    watch = Watch("")
    assert judged_elsewhere(watch, 1).trouble() == "it cannot be asked"
    look(watch, at, 0, engine_0=5)
    at["s"] += STILL_S + 1
    assert judged_elsewhere(watch, 1).trouble() == "it cannot be asked"
