"""The log on PostgreSQL when things go wrong: second writers, dead backends, lost connections."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path
from random import Random

import psycopg
import pytest

from schemas.entries import Tick
from schemas.errors import CorruptState, Fenced, OutcomeUnknown, ServiceAway
from streams.log import segments
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from tests.cut_link import CutLink, Fate
from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration


def ticks(dsn: str) -> list[int]:
    reader = PostgresLogReader(dsn)
    try:
        return [e.payload.now_us for e in reader.read(0, 100_000)]  # type: ignore[union-attr]
    finally:
        reader.close()


_END_WRITERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'tocsin-log-writer' AND datname = current_database()
"""


def test_the_newer_writer_fences_the_older_for_good(dsn: str) -> None:
    """Two processes on one database: the one that was started last writes, the other stops and never tries again."""
    with PostgresLogWriter(dsn) as old:
        old.append([Tick(1)])
        with PostgresLogWriter(dsn) as new:
            assert new.append([Tick(2)]) == 2
            for _ in range(2):
                with pytest.raises(Fenced):
                    old.append([Tick(3)])
            assert new.append([Tick(4)]) == 3
    assert ticks(dsn) == [1, 2, 4]


def test_of_many_writers_that_start_at_once_one_is_left(dsn: str) -> None:
    """Whoever raised the epoch last, and nobody else, may write."""
    writers: list[PostgresLogWriter] = []

    def start() -> None:
        try:
            writers.append(PostgresLogWriter(dsn))
        except (Fenced, ServiceAway):
            return

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = 0
    for writer in writers:
        try:
            append_surely(writer, 1)
            good += 1
        except Fenced:
            continue
        finally:
            writer.close()
    assert good == 1
    assert ticks(dsn) == [1, -1]


def test_a_row_that_is_not_ours_stops_the_writer(dsn: str) -> None:
    """Whoever writes past the epoch is still found by the key."""
    with PostgresLogWriter(dsn) as writer, psycopg.connect(dsn) as other:
        other.execute("INSERT INTO log_entries (partition, number, epoch, kind, body) VALUES (0, 1, 77, 4, '')")
        other.commit()
        with pytest.raises(Fenced):
            writer.append([Tick(1)])


def test_a_dead_backend_costs_one_refusal_and_nothing_else(dsn: str) -> None:
    """What was not committed is said so, and may be tried again at once."""
    with PostgresLogWriter(dsn) as writer:
        writer.append([Tick(1)])
        with psycopg.connect(dsn) as other:
            other.execute(_END_WRITERS)
        with pytest.raises(ServiceAway):
            writer.append([Tick(2)])
        assert writer.append([Tick(2)]) == 2
    assert ticks(dsn) == [1, 2]


def test_rows_alongside_share_the_commit(dsn: str) -> None:
    """A quarantine row and the entry of its message are both there or neither is."""
    def fact(cursor: psycopg.Cursor[tuple[int]], last: int) -> None:
        cursor.execute("INSERT INTO control_outbox (body) VALUES ('x')")

    def broken(cursor: psycopg.Cursor[tuple[int]], last: int) -> None:
        fact(cursor, last)
        cursor.execute("INSERT INTO no_such_table VALUES (1)")

    def raising(cursor: psycopg.Cursor[tuple[int]], last: int) -> None:
        fact(cursor, last)
        raise RuntimeError("ours")

    with PostgresLogWriter(dsn) as writer, psycopg.connect(dsn, autocommit=True) as other:
        assert writer.append([Tick(1)], fact) == 1
        with pytest.raises(psycopg.errors.UndefinedTable):
            writer.append([Tick(2)], broken)
        with pytest.raises(RuntimeError, match="ours"):
            writer.append([Tick(2)], raising)
        assert writer.append([], fact) == 1, "rows alone are committed, too"
        assert writer.append([Tick(3)]) == 2
        assert writer.settled == 0
        assert other.execute("SELECT count(*) FROM control_outbox").fetchone() == (2,)
    assert ticks(dsn) == [1, 3]


def test_many_entries_of_one_call_are_one_commit_also_where_their_numbers_grow_wider(dsn: str) -> None:
    """PostgreSQL is handed the numbers as an array, of the narrowest kind that they fit."""
    with PostgresLogWriter(dsn) as writer:
        for first in range(1, 40_001, 8_000):
            assert writer.append([Tick(us) for us in range(first, first + 8_000)]) == first + 7_999
        assert writer.settled == 0
    assert ticks(dsn) == list(range(1, 40_001))


def test_alongside_may_read_what_it_needs(dsn: str) -> None:
    """A fetch inside the pipeline must not commit half of it."""
    def look(cursor: psycopg.Cursor[tuple[int]], last: int) -> None:
        assert cursor.execute("SELECT count(*) FROM log_entries").fetchone() == (1,)
        raise RuntimeError("after the fetch")

    with PostgresLogWriter(dsn) as writer:
        with pytest.raises(RuntimeError, match="after the fetch"):
            writer.append([Tick(1)], look)
        assert writer.append([Tick(2)]) == 1
    assert ticks(dsn) == [2]


def append_surely(writer: PostgresLogWriter, tick: int) -> int:
    """As the door does: what was refused is tried again, what was accepted is not."""
    while True:
        try:
            return writer.append([Tick(tick), Tick(-tick)])
        except ServiceAway:
            continue


@pytest.mark.parametrize("fate", [Fate.SWALLOW, Fate.ANSWER_LOST, Fate.LATE])
def test_a_commit_of_unknown_outcome_is_settled_by_reading_back(dsn: str, fate: Fate) -> None:
    """What arrived is not written twice, what did not is said to be missing, what comes late is refused."""
    with CutLink(dsn) as link, PostgresLogWriter(link.dsn) as writer:
        writer.append([Tick(1)])
        link.decide = lambda packet: fate if b"log_entries" in packet or b"_pg3_" in packet else Fate.PASS
        outcome: list[int | str] = []
        settled = threading.Thread(target=lambda: outcome.append(_outcome(writer)))
        settled.start()
        link.until_cut()
        link.decide = lambda packet: Fate.PASS
        settled.join(30.0)
        link.deliver_late()
        assert outcome == [2 if fate is Fate.ANSWER_LOST else "away"]
        assert writer.settled == 1
        if fate is not Fate.ANSWER_LOST:
            assert writer.append([Tick(2)]) == 2
        assert writer.append([Tick(3)]) == 3
        # A reading that counted twice for those who follow in memory could complete "two readings" alone.
        reader = PostgresLogReader(dsn, tail=writer.tail)
        assert writer.tail.last == 3
        assert [(e.number, e.payload) for e in [*reader.read(0, 1), *reader.read(1)]] == [
            (number, Tick(number)) for number in (1, 2, 3)
        ]
        reader.close()
    assert ticks(dsn) == [1, 2, 3]


def _outcome(writer: PostgresLogWriter) -> int | str:
    try:
        return writer.append([Tick(2)])
    except ServiceAway:
        return "away"


def test_an_outcome_that_cannot_be_settled_blocks_until_it_is_closed(dsn: str) -> None:
    """Nothing may be acknowledged or tried again on a guess; a stop must still be possible."""
    with CutLink(dsn) as link:
        writer = PostgresLogWriter(link.dsn)
        writer.append([Tick(1)])
        cut = threading.Event()

        def decide(packet: bytes) -> Fate:
            cut.set()
            return Fate.SWALLOW

        link.decide = decide
        errors: list[BaseException] = []

        def run() -> None:
            try:
                writer.append([Tick(2)])
            except OutcomeUnknown as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert cut.wait(20.0)
        assert thread.is_alive()
        writer.close()
        thread.join(20.0)
        assert len(errors) == 1
    assert ticks(dsn) == [1]


def test_packets_lost_at_random_lose_and_double_nothing(dsn: str) -> None:
    """Every 25th packet of the writer meets one of three fates."""
    rng = Random(11)

    def decide(packet: bytes) -> Fate:
        return rng.choice([Fate.SWALLOW, Fate.ANSWER_LOST, Fate.LATE]) if rng.random() < 0.04 else Fate.PASS

    with CutLink(dsn) as link, PostgresLogWriter(link.dsn) as writer:
        link.decide = decide
        for n in range(1, 121):
            assert append_surely(writer, n) == 2 * n
            link.deliver_late()
        assert writer.settled > 5
    assert ticks(dsn) == [sign * n for n in range(1, 121) for sign in (1, -1)]


def test_backends_ended_in_the_middle_of_commits_lose_and_double_nothing(dsn: str) -> None:
    """By another session, each somewhere within the commit after the one that has just come back."""
    committed = threading.Semaphore(0)
    kills = 0

    def killer() -> None:
        nonlocal kills
        with psycopg.connect(dsn, autocommit=True) as connection:
            while committed.acquire(timeout=10.0) and kills < 60:
                kills += len(connection.execute(_END_WRITERS).fetchall())

    with PostgresLogWriter(dsn) as writer:
        thread = threading.Thread(target=killer)
        thread.start()
        n = 0
        while thread.is_alive() and n < 5000:
            n += 1
            append_surely(writer, n)
            committed.release()
        thread.join()
        assert writer.settled > 20
    assert kills >= 60
    assert ticks(dsn) == [sign * i for i in range(1, n + 1) for sign in (1, -1)]


def test_a_killed_server_is_started_again_and_nothing_is_lost() -> None:
    """`kill -9` of PostgreSQL while entries are written, three times; what was accepted is there."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings={"shared_buffers": "32MB"}) as server,
    ):
        migrate(server.dsn())
        with PostgresLogWriter(server.dsn()) as writer:
            n = 0
            for _ in range(3):
                os.kill(server.pid, signal.SIGKILL)
                settled = writer.settled
                while writer.settled == settled:
                    n += 1
                    append_surely(writer, n)
        assert ticks(server.dsn()) == [sign * i for i in range(1, n + 1) for sign in (1, -1)]
        assert server.restarts == 3


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(segments, "SEGMENT", 10)
    return 10


@pytest.mark.usefixtures("short_segments")
def test_segments_are_made_ahead_and_dropped_when_nobody_needs_them(dsn: str) -> None:
    """Each of age, positions and checkpoints alone holds a segment."""
    def drop(retention_s: float = -1.0) -> list[int]:
        return segments.drop_old_segments(
            dsn, retention_s=retention_s, consumers=("engine", "store"), checkpointed=("engine",)
        )

    with PostgresLogWriter(dsn) as writer, psycopg.connect(dsn, autocommit=True) as other:
        for n in range(1, 36):
            writer.append([Tick(n)])
        assert drop() == [], "nobody has begun"
        other.execute("INSERT INTO positions (consumer, position) VALUES ('engine', 30), ('store', 8)")
        assert drop() == [], "no checkpoint yet"
        other.execute("INSERT INTO checkpoints VALUES ('engine', 0, 1, 19, '', 0), ('engine', 0, 2, 29, '', 0)")
        assert drop() == [], "the store stands in the first"
        other.execute("UPDATE positions SET position = 35 WHERE consumer = 'store'")
        assert drop(retention_s=3600.0) == [], "not old enough"
        assert drop() == [0, 1], "the older checkpoint needs what follows 19"
        assert drop() == []
        assert writer.append([Tick(36)]) == 36
        reader = PostgresLogReader(dsn)
        assert [entry.number for entry in reader.read(19)] == list(range(20, 37))
        with pytest.raises(CorruptState):
            reader.read(18)
        reader.close()


@pytest.mark.usefixtures("short_segments")
def test_a_long_reader_delays_a_drop_and_never_the_writer(dsn: str) -> None:
    """A backup may read for an hour."""
    with PostgresLogWriter(dsn) as writer, psycopg.connect(dsn) as backup:
        for n in range(1, 22):
            writer.append([Tick(n)])
        backup.execute("INSERT INTO positions (consumer, position) VALUES ('engine', 21)")
        backup.execute("INSERT INTO checkpoints VALUES ('engine', 0, 1, 21, '', 0)")
        backup.commit()
        backup.execute("SELECT count(*) FROM log_entries").fetchone()
        gone = segments.drop_old_segments(dsn, retention_s=-1, consumers=("engine",), checkpointed=("engine",))
        assert gone == []
        for n in range(22, 60):
            writer.append([Tick(n)])
        backup.commit()
        gone = segments.drop_old_segments(dsn, retention_s=-1, consumers=("engine",), checkpointed=("engine",))
        assert gone == [0, 1]
