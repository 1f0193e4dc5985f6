"""How a process of a cluster ends."""

from __future__ import annotations

import os

import pytest

from tocsin.data_directory import Running
from tocsin.running import run


class Parts:
    """A process whose parts end in time, or do not."""

    def __init__(self, late: list[str]) -> None:
        self.late = late
        self.stopped = False

    def obey_signals(self) -> None: ...

    def start(self) -> Running:
        return Running(pid=1, mqtt_port=0, http_port=8080)

    def wait(self) -> bool:
        return True

    def stop(self) -> None:
        self.stopped = True

    def raise_failure(self) -> None: ...


@pytest.mark.parametrize(("late", "codes"), [([], []), (["heads"], [0])])
def test_a_part_that_is_late_does_not_crash_the_interpreter_that_ends(
    monkeypatch: pytest.MonkeyPatch, late: list[str], codes: list[int]
) -> None:
    """Kafka's client waits in a thread of its own for a Kafka that is away; the exit code must still say: in order."""
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    parts = Parts(late)
    run("worker", parts, "127.0.0.1")
    assert parts.stopped and left == codes
