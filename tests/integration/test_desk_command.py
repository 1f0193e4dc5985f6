"""`tocsin desk` twice over one PostgreSQL, as it is deployed: one is killed while messages are on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psycopg
import pytest

from schemas.kafka import log_topic
from schemas.notifications import decode_notification
from tests.alerting_world import FarEnd, answer_with
from tests.desks_world import P, Town, check, served, shares
from tests.waiting import until
from tocsin.local.cluster import Member

pytestmark = pytest.mark.integration
_READY_S = 300.0


class HoldingEnd(FarEnd):
    """Keeps its answers to itself from `hold` to `let_go`."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self._answers.set()
        super().__init__(self._reply)

    def hold(self) -> int:
        """Returns how many requests came before."""
        self._answers.clear()
        return len(self.requests)

    def let_go(self) -> None:
        self._answers.set()

    def partitions_since(self, before: int) -> set[int]:
        """Of the alarms of which it was told after so many requests; see `Town`."""
        told = (decode_notification(body).enterprise for _, body in self.requests[before:])
        return {int(enterprise.removeprefix("shop-")) % P for enterprise in told}

    def _reply(self, number: int, request: BaseHTTPRequestHandler) -> None:
        self._answers.wait()
        answer_with(200)(number, request)


@pytest.fixture
def far_end() -> Iterator[HoldingEnd]:
    end = HoldingEnd()
    yield end
    end.let_go()
    end.close()


@pytest.fixture
def environment(dsn: str, far_end: HoldingEnd) -> dict[str, str]:
    """Of a desk in a cluster with a log, told where a webhook goes. A desk has nothing to ask of Kafka."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE log_layout SET topic = %s, partitions = %s", [log_topic(P), P])
    return {
        "TOCSIN_DSN": dsn, "TOCSIN_KAFKA": "127.0.0.1:1", "TOCSIN_HTTP_PORT": "0",
        "TOCSIN_WEBHOOK_URL": far_end.url, "TOCSIN_WEBHOOK_SECRET": "a secret of enough length",
    }  # fmt: skip


def test_the_desk_that_is_left_takes_all_and_tells_everything(
    dsn: str, far_end: HoldingEnd, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`kill -9` in the midst of it: nothing is lost, and what comes twice stands in the ledger as sent twice."""
    with ExitStack() as stack:
        members = [Member(f"desk-{number}", tmp_path, environment) for number in (1, 2)]
        for member in members:
            stack.callback(member.stop)
            member.launch()
        for member in members:
            member.wait_until_ready(_READY_S)
        victim, left = members
        until(lambda: shares(dsn) == [4, 4], "they share")
        mine = {partition for partition, name in served(dsn).items() if name == victim.name}
        with Town(dsn) as town:
            town.until(40)
            before = far_end.hold()
            until(lambda: bool(far_end.partitions_since(before) & mine), "it has something in the air")
            killed_at = time.monotonic()
            victim.kill()
            far_end.let_go()
            until(lambda: set(served(dsn).values()) == {left.name} and len(served(dsn)) == P, "the other has all")
            took_s = time.monotonic() - killed_at
            town.until(town.told + 40)
        repeated = check(dsn, far_end, town.told)
        assert repeated >= 1, "whether what was in the air had arrived nobody knows, so it is told again"
        assert left.is_ready()
    with capsys.disabled():
        print(f"\n{len(mine)} partitions taken after {took_s:.2f} s; {town.told} alarms told, {repeated} of them twice")
    # A process that ends gives up what it has, and its own lines say which partition they speak of.
    assert '"partition"' in left.log.read_text()
