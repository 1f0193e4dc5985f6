"""Desk processes side by side: who serves what, a town of alarms to be told, and whether all of it was."""

from __future__ import annotations

import threading
from collections import Counter

import psycopg

from schemas.alarms import Grade, State
from schemas.notifications import decode_notification
from tests.alerting_world import FarEnd, Story, event
from tests.waiting import until

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
    """Every alarm was told by webhook, and what came twice stands in the ledger.

    Returns how many came more than once.
    """
    with psycopg.connect(dsn) as connection:

        def settled() -> bool:
            row = connection.execute(
                "SELECT count(*) FROM notifications WHERE at_once AND status = 'accepted' AND channel = 'webhook'"
            ).fetchone()
            connection.rollback()
            return row is not None and row[0] >= told

        until(settled, f"{told} messages are taken")
        ledger: dict[str, list[str]] = dict(
            connection.execute(
                "SELECT notification, array_agg(coalesce(outcome, 'none') ORDER BY number)"
                " FROM attempts JOIN notifications ON id = notification WHERE channel = 'webhook' GROUP BY notification"
            ).fetchall()
        )
    came = Counter(decode_notification(body).id for _, body in far_end.requests)
    assert set(came) == set(ledger), "told is what the ledger says"
    assert len({decode_notification(body).enterprise for _, body in far_end.requests}) == told
    for id_, times in came.items():
        assert times <= len([outcome for outcome in ledger[id_] if outcome in ("accepted", "unknown")]), ledger[id_]
    return sum(times > 1 for times in came.values())
