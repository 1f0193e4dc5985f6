"""Threads of one process live and end together."""

from __future__ import annotations

import threading

from tocsin.crew import Crew


def test_the_part_that_was_started_last_ends_first() -> None:
    """The door must have ended before the log's writer closes, or a round would find it gone."""
    crew = Crew()
    stopped: list[str] = []
    for name in ("log", "door"):
        until = threading.Event()

        def stop(name: str = name, until: threading.Event = until) -> None:
            stopped.append(name)
            until.set()

        crew.start(name, lambda until=until: until.wait() and None, stop)
    assert crew.stop(5.0) == []
    assert stopped == ["door", "log"]


def test_a_failing_part_is_told_at_once() -> None:
    """A process that has lost a part must not look healthy."""
    crew = Crew()

    def run() -> None:
        raise RuntimeError("gone")

    crew.start("judge", run, lambda: None)
    assert crew.failed.wait(5.0)
    assert crew.failed_part == "judge"
    assert str(crew.failure) == "gone"


def test_a_part_that_does_not_end_is_named() -> None:
    """Ctrl-C must not hang, and must not hide who did."""
    crew = Crew()
    forever = threading.Event()
    crew.start("stubborn", lambda: forever.wait() and None, lambda: None)
    assert crew.stop(0.05) == ["stubborn"]
    forever.set()
