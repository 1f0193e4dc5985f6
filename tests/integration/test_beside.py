"""Parts of the one process that have processes of their own: started again when they die, fenced by another, ended
with their parent, and heard of meanwhile.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from schemas.alarms import Grade, State
from schemas.errors import Fenced
from streams.log.session import connect
from streams.risk_rows import take_over
from tests.alerting_world import Story, event
from tests.integration.test_risk import put_enterprise
from tests.waiting import until
from tocsin.beside.part import PartBeside
from tocsin.beside.told import Told
from tocsin.settings import Settings


class Running:
    """A part, and the thread that keeps it."""

    def __init__(self, name: str, dsn: str, data: Path, **settings: object) -> None:
        self.lines: list[str] = []
        self.turns = 0
        self.fenced: Fenced | None = None
        told = Told.of(Settings.told(data=data, **settings), dsn, 0, quiet=True)
        self.part = PartBeside(name, on_turn=self._turned, on_line=self.lines.append)
        self.part.tell(told)
        self.registry = CollectorRegistry()
        self.part.show(self.registry)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def is_well(self) -> bool:
        return not self.part.trouble()

    def number(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def _turned(self) -> None:
        self.turns += 1

    def _run(self) -> None:
        try:
            self.part.run()
        except Fenced as error:
            self.fenced = error


@contextmanager
def running(name: str, dsn: str, data: Path, **settings: object) -> Iterator[Running]:
    one = Running(name, dsn, data, **settings)
    try:
        yield one
    finally:
        one.part.stop()
        one.thread.join(20)
        one.part.kill()


def test_a_part_that_is_killed_is_followed_by_another_and_ends_with_its_parent(dsn: str, tmp_path: Path) -> None:
    """Whoever asks meanwhile hears that it is away, not how it stood before."""
    with running("risk", dsn, tmp_path) as risk:
        put_enterprise(dsn, "shop-1")
        until(lambda: risk.number("tocsin_risk_recomputed_total", partition="0") >= 1, "a risk is kept and told of")
        first = risk.part.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: not risk.is_well(), "it is away")
        until(lambda: risk.part.pid not in (0, first) and risk.is_well(), "another is there")
        assert risk.part.restarts == 1
        put_enterprise(dsn, "shop-2")
        until(lambda: risk.number("tocsin_risk_recomputed_total", partition="0") >= 1, "the next one keeps on")
        last = risk.part.pid
    assert not risk.thread.is_alive()
    assert not Path(f"/proc/{last}").exists()


def test_a_part_that_another_has_fenced_ends_us(dsn: str, tmp_path: Path) -> None:
    """Two that keep the same risks would each undo the other's memory."""
    with running("risk", dsn, tmp_path) as risk:
        until(risk.is_well, "it keeps the risks")
        with connect(dsn, "another") as connection:
            take_over(connection, 0)
        put_enterprise(dsn, "shop-1")
        until(lambda: not risk.thread.is_alive(), "it has ended")
        assert risk.fenced is not None


def test_a_desk_is_woken_by_a_poke_and_says_what_it_did(dsn: str, tmp_path: Path) -> None:
    """The journal's lines reach the parent's terminal, and alarms on MQTT wait for its word, not for a clock."""
    with running("desk", dsn, tmp_path) as desk:
        until(desk.is_well, "it serves")
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.part.poke()
        until(lambda: bool(desk.lines) and desk.turns > 0, "the alarm is in the journal and the turn is told")
        until(lambda: desk.number("tocsin_alerting_events_total", kind="fire") == 1, "its metrics are ours")
    assert (tmp_path / "journal.jsonl").read_text().count("\n") == 1


def test_a_poke_before_anything_is_there_harms_nothing(dsn: str, tmp_path: Path) -> None:
    """Alarms come while a desk starts; one that no longer heard its parent would outlive it and keep the lock."""
    with running("desk", dsn, tmp_path) as desk:
        until(lambda: desk.part.pid != 0, "its process is there")
        while not desk.is_well():
            desk.part.poke()
        desk.part.poke()
    assert not desk.thread.is_alive()
    assert desk.part.restarts == 0
