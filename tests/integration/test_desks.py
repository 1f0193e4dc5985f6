"""Desk processes side by side on a real PostgreSQL: shares, hand-over, kills, and the ledger's word for each repeat."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests import desk_process
from tests.alerting_world import FarEnd
from tests.desks_world import P, Town, check, seats, served, shares
from tests.waiting import until
from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres


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


def test_a_killed_process_is_replaced_and_no_message_is_lost(dsn: str, far_end: FarEnd) -> None:
    """Its locks go with its sessions; what it had in the air is sent again, and the ledger says so."""
    with Town(dsn) as town, desks(dsn, far_end, 1):
        for _ in range(3):
            with desks(dsn, far_end, 1) as (victim,):
                until(lambda: shares(dsn) == [4, 4], "they share")
                town.until(town.told + 30)
                victim.kill()
                victim.wait()
                until(lambda: shares(dsn) == [8], "one serves all")
        town.until(town.told + 20)
        town.stop()
        check(dsn, far_end, town.told)


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
