"""Kills around a rung: none is lost, and what came twice stands in the ledger."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from alerting import ladder_rows
from alerting.channels.sms import Sms
from alerting.database import Connection
from alerting.routes import Routes
from schemas.alarms import Grade, State
from sensors_sim.carrier import Carrier, start
from tests import desk_process
from tests.alerting_world import START_US, FarEnd, HandClock, Story, event, make_desk
from tests.desks_world import P, served, shares
from tests.people_world import add_contact, settle, watch
from tests.waiting import until

RED = event(State.RAISED, Grade.RED)
_KILLED = """
import sys
from alerting.channels.sms import Sms
from alerting.routes import Routes
from tests.alerting_world import START_US, HandClock, make_desk
from tocsin.failpoints import from_setting
dsn, url, later_s, failpoint = sys.argv[1:]
clock = HandClock(START_US)
clock.forward(float(later_s))
sms = Sms("AC0", "token", "+15005550006", url=url)
desk = make_desk(dsn, Routes(()), clock, sms, failpoint=from_setting(failpoint))
while desk.serve_once():
    pass
assert desk.wait_for_ledger(30.0)
"""


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    running = start(tmp_path / "texts.jsonl")
    yield running
    running.stop()


@pytest.fixture
def shop(dsn: str) -> str:
    settle(dsn)
    for order in (1, 2, 3):
        add_contact(dsn, order)
    return dsn


def serve(dsn: str, url: str, later_s: float, failpoint: str = "") -> int:
    """One turn of a process, so many seconds after the beginning; its exit code."""
    command = [sys.executable, "-c", _KILLED, dsn, url, str(later_s), failpoint]
    return subprocess.run(command, timeout=60, check=False).returncode


def test_a_kill_between_the_send_of_a_rung_and_its_stamp_repeats_that_send_alone(shop: str, carrier: Carrier) -> None:
    """The carrier has no idempotency key: the ledger shows that the text may have gone twice."""
    Story(shop).tell(RED)
    assert serve(shop, carrier.url, 0) == 0
    assert serve(shop, carrier.url, 60, "after_send_before_stamp") == -9
    assert serve(shop, carrier.url, 61) == 0
    assert serve(shop, carrier.url, 120) == 0
    to = Counter(text.to[-2:] for text in carrier.texts())
    assert to == {"01": 1, "02": 2, "03": 1}
    with psycopg.connect(shop) as connection:
        ledger = connection.execute(
            "SELECT recipient, array_agg(outcome ORDER BY number) FROM notifications JOIN attempts ON notification = id"
            " GROUP BY recipient ORDER BY recipient"
        ).fetchall()
        rungs = connection.execute("SELECT number, told FROM rungs ORDER BY number").fetchall()
    assert [outcomes for _, outcomes in ledger] == [["accepted"], ["unknown", "accepted"], ["accepted"]]
    assert rungs == [(1, ["contact:shop-1:2"]), (2, ["contact:shop-1:3"])]


def test_a_kill_right_after_the_first_call_loses_no_rung(shop: str, carrier: Carrier) -> None:
    Story(shop).tell(RED)
    assert serve(shop, carrier.url, 0, "after_send_before_stamp") == -9
    assert serve(shop, carrier.url, 1) == 0
    assert serve(shop, carrier.url, 60) == 0
    assert Counter(text.to[-2:] for text in carrier.texts()) == {"01": 2, "02": 1}


def test_a_turn_that_dies_before_its_commit_has_not_been(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rung, message and the ladder's next time are one transaction."""

    def die(*_: object) -> int:
        raise MemoryError

    with watch(shop) as w:
        w.tell(RED)
        w.clock.forward(60)
        with monkeypatch.context() as broken, pytest.raises(MemoryError):
            record = ladder_rows.record_climbs

            def record_and_die(connection: Connection, *rest: object) -> int:
                record(connection, *rest)  # type: ignore[arg-type]
                return die()

            broken.setattr(ladder_rows, "record_climbs", record_and_die)
            w.desk.serve_once()
        assert w.rows("SELECT count(*) FROM rungs") == [(0,)]
        w.restart()
        w.turn()
        w.restart()
        w.turn()
        assert w.called() == ["1", "2"]


def test_two_desks_of_a_partition_climb_a_rung_once(shop: str, carrier: Carrier) -> None:
    """The lock and the rows decide, not the clock."""
    clock = HandClock(START_US)
    first = make_desk(shop, Routes(()), clock, Sms("AC0", "token", "+15005550006", url=carrier.url))
    Story(shop).tell(RED)
    try:
        while first.serve_once():
            pass
        assert first.wait_for_ledger(10.0)
        assert serve(shop, carrier.url, 60) != 0, "it is served elsewhere"
        clock.forward(60)
        while first.serve_once():
            pass
        assert first.wait_for_ledger(10.0)
    finally:
        first.stop()
        first.run()
    assert serve(shop, carrier.url, 61) == 0
    assert [text.to[-2:] for text in carrier.texts()] == ["01", "02"]


def test_another_process_climbs_on_when_one_is_killed(shop: str, carrier: Carrier) -> None:
    """Desks side by side: the ladder is of the partition, and whoever serves that next looks into the rows."""
    far_end = FarEnd()
    both = [desk_process.start(shop, far_end.url, P, "", carrier.url) for _ in range(2)]
    try:
        until(lambda: shares(shop) == [P // 2, P // 2], "both serve their share")
        Story(shop, partition=3).tell(event(State.RAISED, Grade.RED, event_us=desk_process.now_us()))
        taken = "SELECT count(*) FROM notifications WHERE channel = 'sms' AND status = 'accepted'"
        until(lambda: rows(shop, taken) == [(1,)], "the first contact is called")
        killed = next(process for process in both if served(shop)[3] == f"desk-{process.pid}")
        killed.kill()
        with psycopg.connect(shop) as connection:
            connection.execute("UPDATE ladders SET called_us = called_us - 60000000, due_us = due_us - 60000000")
        until(lambda: rows(shop, taken) == [(2,)], "the next contact is called by the other process")
        with psycopg.connect(shop) as connection:
            connection.execute("UPDATE alarms SET acked_step = step, acked_by = 'Li Wei'")
            connection.execute("UPDATE ladders SET called_us = called_us - 60000000, due_us = due_us - 60000000")
        until(lambda: rows(shop, "SELECT count(*) FROM ladders") == [(0,)], "it ends")
        assert [text.to[-2:] for text in carrier.texts()] == ["01", "02"]
    finally:
        for process in both:
            process.kill()
            process.communicate()
        far_end.close()


def rows(dsn: str, sql: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(sql).fetchall()
