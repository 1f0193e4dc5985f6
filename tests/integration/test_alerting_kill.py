"""A kill between a send and its stamp: the message comes once more, under the same id, and the ledger shows why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from alerting.channels.webhook import Webhook
from alerting.routes import Routes, webhook_recipient
from schemas.alarms import Grade, State
from schemas.notifications import decode_notification
from tests.alerting_world import FarEnd, HandClock, Story, event, make_desk

SECRET = "a secret of enough length"
_KILLED = """
import sys
from alerting.channels.webhook import Webhook
from alerting.routes import Routes, webhook_recipient
from tests.alerting_world import HandClock, make_desk
from tocsin.failpoints import from_setting
dsn, url, secret, failpoint = sys.argv[1:]
clock = HandClock()
routes = Routes((webhook_recipient("ops", url, secret),))
desk = make_desk(dsn, routes, clock, Webhook(clock, concurrency=1), failpoint=from_setting(failpoint))
desk.serve_once()
assert desk.wait_for_ledger(30.0)
"""


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.close()


def test_a_kill_after_a_send_repeats_that_send_alone_and_the_ledger_shows_it(dsn: str, far_end: FarEnd) -> None:
    """Three alarms, one connection: the process dies after the second send and before its stamp."""
    Story(dsn).tell(*(event(State.RAISED, Grade.RED, enterprise=f"shop-{n}") for n in range(3)))
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, dsn, far_end.url, SECRET, "after_send_before_stamp:2"], timeout=60, check=False
    )
    assert killed.returncode == -9
    before = [decode_notification(body).id for _, body in far_end.wait_for(2)]

    clock = HandClock()
    desk = make_desk(dsn, Routes((webhook_recipient("ops", far_end.url, SECRET),)), clock, Webhook(clock))
    try:
        desk.serve_once()
        assert desk.wait_for_ledger(10.0)
    finally:
        desk.stop()
        desk.run()

    sent = [decode_notification(body) for _, body in far_end.requests]
    assert len({n.enterprise for n in sent}) == 3, "none is lost"
    with psycopg.connect(dsn) as connection:
        ledger = connection.execute(
            "SELECT n.id, array_agg(t.outcome ORDER BY t.number) FROM notifications n JOIN attempts t"
            " ON t.notification = n.id WHERE n.status = 'accepted' GROUP BY n.id"
        ).fetchall()
    assert len(ledger) == 3
    for id_, outcomes in ledger:
        came = sum(n.id == id_ for n in sent)
        # A send more than once stands in the ledger as an attempt whose answer never came.
        assert outcomes in (["accepted"], ["unknown", "accepted"])
        assert came <= len(outcomes)
        if id_ == before[1]:
            assert outcomes == ["unknown", "accepted"] and came == 2
    assert [n.attempt for n in sent if n.id == before[1]] == [1, 2]


def test_a_stop_leaves_nothing_in_the_air(dsn: str, far_end: FarEnd) -> None:
    """What was not begun goes back into the queue, so the next start sends it once."""
    Story(dsn).tell(*(event(State.RAISED, Grade.RED, enterprise=f"shop-{n}") for n in range(20)))
    clock = HandClock()
    routes = Routes((webhook_recipient("ops", far_end.url, SECRET),))
    for _ in range(2):
        desk = make_desk(dsn, routes, clock, Webhook(clock, concurrency=1))
        desk.serve_once()
        desk.stop()
        desk.run()
        clock.forward(60)
    desk = make_desk(dsn, routes, clock, Webhook(clock))
    desk.serve_once()
    assert desk.wait_for_ledger(10.0)
    desk.stop()
    desk.run()
    ids = [decode_notification(body).id for _, body in far_end.requests]
    assert len(ids) == len(set(ids)) == 20
