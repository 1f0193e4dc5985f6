"""The keeper of risk's process beside the one process: started again when it dies, fenced by another, ended with us."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from tocsin.risk_child import RiskChild, RiskSettings

from schemas.errors import Fenced
from streams.log.session import connect
from streams.risk_rows import take_over
from tests.waiting import until

_SHOP = "INSERT INTO enterprises (code, name, trade) VALUES (%s, %s, 'H6210')"


def _register(dsn: str, code: str) -> None:
    """Asks for its risk by a trigger."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_SHOP, [code, code])


@contextmanager
def _running(child: RiskChild) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=child.run)
    thread.start()
    try:
        yield thread
    finally:
        child.stop()
        thread.join(20)
        child.kill()


def test_a_keeper_that_is_killed_is_followed_by_another_whose_counts_go_on(dsn: str) -> None:
    """A rate over `/metrics` must not fall, and no risk stands still for longer than a start takes."""
    child = RiskChild(RiskSettings(dsn))
    with _running(child) as thread:
        _register(dsn, "shop-1")
        until(lambda: child.recomputed >= 1 and not child.trouble(), "a risk is kept and told of")
        counted, first = child.recomputed, child.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: child.pid not in (0, first), "another is started")
        assert child.recomputed >= counted
        _register(dsn, "shop-2")
        until(lambda: child.recomputed > counted and not child.trouble(), "the next one keeps on")
        last = child.pid
    assert not thread.is_alive()
    assert not Path(f"/proc/{last}").exists()


def test_a_keeper_that_another_has_fenced_ends_us(dsn: str) -> None:
    """Two that judge by turns would each undo the other's memory."""
    child = RiskChild(RiskSettings(dsn))
    raised: list[BaseException] = []

    def run() -> None:
        try:
            child.run()
        except Fenced as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: not child.trouble(), "it keeps the risks")
        with connect(dsn, "another") as connection:
            take_over(connection, 0)
        _register(dsn, "shop-1")
        until(lambda: not thread.is_alive(), "it has ended")
    finally:
        child.stop()
        thread.join(20)
        child.kill()
    assert [type(error) for error in raised] == [Fenced]
    assert child.pid == 0
