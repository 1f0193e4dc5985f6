"""Desk processes side by side on a real PostgreSQL: shares, hand-over, kills, and the ledger's word for each repeat."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from schemas.alarms import Grade, State
from schemas.notifications import decode_notification
from tests import desk_process
from tests.alerting_world import FarEnd, Story, event
from tests.waiting import until
from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres

P = 8
_SERVED = """
    SELECT l.objid::integer, split_part(a.application_name, ' of ', 2)
      FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.classid = hashtext('tocsin.desk')::oid AND l.objsubid = 2 AND l.granted
       AND a.datname = current_database()
"""
_SEATS = """
    SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.classid = hashtext('tocsin.desks')::oid AND a.datname = current_database()
"""


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.close()


@contextmanager
def desks(dsn: str, far_end: FarEnd, count: int, failpoint: str = "") -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            process = desk_process.start(dsn, far_end.url, P, failpoint)
            stack.callback(desk_process.end, process)
            stack.callback(process.send_signal, signal.SIGCONT)
            started.append(process)
        yield started


def served(dsn: str) -> dict[int, str]:
    """partition → the process that serves it."""
    try:
        with psycopg.connect(dsn) as connection:
            return dict(connection.execute(_SERVED).fetchall())
    except psycopg.OperationalError:
        return {}


def shares(dsn: str) -> list[int]:
    """How many partitions each process serves, fewest first."""
    return sorted(Counter(served(dsn).values()).values())


def seats(dsn: str) -> int:
    """Living desk processes."""
    with psycopg.connect(dsn) as connection:
        return len(connection.execute(_SEATS).fetchall())


class Town:
    """Red alarms of all partitions, each in an enterprise of its own, told one after the other while the block runs."""

    def __init__(self, dsn: str, every_s: float = 0.02) -> None:
        self._dsn = dsn
        self._every_s = every_s
        self._stories = [Story(dsn, partition=partition) for partition in range(P)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.told = 0

    def __enter__(self) -> Town:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def until(self, told: int) -> None:
        until(lambda: self.told >= told, f"{told} alarms are told")

    def _run(self) -> None:
        connection = psycopg.connect(self._dsn, autocommit=True)
        while not self._stop.wait(self._every_s):
            story = self._stories[self.told % P]
            try:
                story.tell_by(connection, event(State.RAISED, Grade.RED, enterprise=f"shop-{self.told}"))
            except psycopg.OperationalError:
                connection.close()
                story.seq = self._seq(story)
                connection = psycopg.connect(self._dsn, autocommit=True)
                continue
            self.told += 1
        connection.close()

    def _seq(self, story: Story) -> int:
        """How far the story stands in the database, once that answers again."""
        while True:
            try:
                with psycopg.connect(self._dsn) as connection:
                    row = connection.execute(
                        "SELECT coalesce(max(seq), 0) FROM alarm_events WHERE partition = %s", [story.partition]
                    ).fetchone()
                    assert row is not None
                    return int(row[0])
            except psycopg.OperationalError:
                self._stop.wait(0.05)


def check(dsn: str, far_end: FarEnd, told: int) -> int:
    """Every alarm was told; what came twice stands in the ledger. Returns how many came more than once."""
    with psycopg.connect(dsn) as connection:

        def settled() -> bool:
            row = connection.execute(
                "SELECT count(*) FROM notifications WHERE at_once AND status = 'accepted'"
            ).fetchone()
            connection.rollback()
            return row is not None and row[0] >= told

        until(settled, f"{told} messages are taken")
        ledger: dict[str, list[str]] = dict(
            connection.execute(
                "SELECT notification, array_agg(coalesce(outcome, 'none') ORDER BY number) FROM attempts"
                " GROUP BY notification"
            ).fetchall()
        )
    came = Counter(decode_notification(body).id for _, body in far_end.requests)
    assert set(came) == set(ledger), "told is what the ledger says"
    assert len({decode_notification(body).enterprise for _, body in far_end.requests}) == told
    for id_, times in came.items():
        assert times <= len([outcome for outcome in ledger[id_] if outcome in ("accepted", "unknown")]), ledger[id_]
    return sum(times > 1 for times in came.values())


def test_two_processes_share_the_partitions_and_a_third_gets_its_part(dsn: str, far_end: FarEnd) -> None:
    """A hand-over is clean: nobody is told twice, and each partition has one desk at any time."""
    with Town(dsn) as town, desks(dsn, far_end, 2):
        until(lambda: shares(dsn) == [4, 4], "two have four each")
        town.until(20)
        with desks(dsn, far_end, 1):
            until(lambda: shares(dsn) == [2, 3, 3], "three share")
            town.until(town.told + 40)
        until(lambda: shares(dsn) == [4, 4], "the third's part is taken over")
        town.until(town.told + 20)
        town.stop()
        assert check(dsn, far_end, town.told) == 0


def test_a_killed_process_is_replaced_within_two_seconds_and_no_message_is_lost(dsn: str, far_end: FarEnd) -> None:
    """Its locks go with its sessions; what it had in the air is sent again, and the ledger says so."""
    took_s = []
    with Town(dsn) as town, desks(dsn, far_end, 1):
        for _ in range(3):
            with desks(dsn, far_end, 1) as (victim,):
                until(lambda: shares(dsn) == [4, 4], "they share")
                town.until(town.told + 30)
                victim.kill()
                killed_at = time.monotonic()
                victim.wait()
                until(lambda: shares(dsn) == [8], "one serves all")
                took_s.append(time.monotonic() - killed_at)
        town.until(town.told + 20)
        town.stop()
        check(dsn, far_end, town.told)
    assert max(took_s) < 2.0, took_s


def test_a_kill_between_send_and_stamp_is_a_repeat_with_its_word(dsn: str, far_end: FarEnd) -> None:
    """The one moment at which a message must come twice."""
    with desks(dsn, far_end, 1, "after_send_before_stamp:5") as (victim,), Town(dsn) as town:
        until(lambda: victim.poll() is not None, "it has died")
        with desks(dsn, far_end, 1):
            town.until(town.told + 10)
            town.stop()
            assert check(dsn, far_end, town.told) >= 1


def test_a_process_that_hangs_loses_its_partitions_and_gives_way_when_it_is_back(dsn: str, far_end: FarEnd) -> None:
    """A lock that outlives who can serve would silence a partition; the server ends sessions that say nothing."""
    with Town(dsn) as town, desks(dsn, far_end, 2) as (hung, _):
        until(lambda: shares(dsn) == [4, 4], "they share")
        hung.send_signal(signal.SIGSTOP)
        until(lambda: seats(dsn) == 1 and len(served(dsn)) == P, "the other serves all")
        town.until(town.told + 10)
        hung.send_signal(signal.SIGCONT)
        until(lambda: shares(dsn) == [4, 4], "they share again")
        town.stop()
        check(dsn, far_end, town.told)


def test_a_restart_of_postgresql_and_ended_sessions_lose_nothing(far_end: FarEnd, tmp_path: Path) -> None:
    """All locks are gone at once; whoever comes first takes what is free, and the shares settle."""
    tmp_path.chmod(0o711)
    with EmbeddedPostgres(tmp_path / "pg", settings={"shared_buffers": "32MB"}) as server:
        dsn = server.dsn()
        migrate(dsn)
        with Town(dsn) as town, desks(dsn, far_end, 2):
            until(lambda: shares(dsn) == [4, 4], "they share")
            town.until(20)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'tocsin desk%' OR application_name LIKE 'tocsin outbox%'"
                )
            town.until(town.told + 20)
            server.stop()
            server.start()
            until(lambda: shares(dsn) == [4, 4], "they share again")
            town.until(town.told + 20)
            town.stop()
            check(dsn, far_end, town.told)
