"""What is asked for becomes one entry each, whatever is cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg
import pytest

from schemas.entries import DeviceFacts, PackActivated, Payload, ResetAsked, Tick, encode
from schemas.errors import OutcomeUnknown, ServiceAway
from schemas.rules import RulePack
from streams.commands import ControlDispatcher, active_pack_version, ensure_pack
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from tests.cut_link import CutLink, Fate

pytestmark = pytest.mark.integration

FACTS = DeviceFacts("shop", "kitchen", rated_current_a=16.0)
PACK = PackActivated("abc123", "name = 'test'")


@pytest.fixture
def log(dsn: str) -> Iterator[PostgresLogWriter]:
    with PostgresLogWriter(dsn) as writer:
        yield writer


def entries(dsn: str) -> list[Payload]:
    reader = PostgresLogReader(dsn)
    try:
        return [entry.payload for entry in reader.read(0, 10_000)]
    finally:
        reader.close()


def ask(dsn: str, *keys: str) -> None:
    with psycopg.connect(dsn) as connection:
        for key in keys:
            connection.execute(
                "INSERT INTO commands (key, action, alarm_key, seen_step, asked_by)"
                " VALUES (%s, 'reset', 'k', 3, 'ann')",
                (key,),
            )


def offer(dsn: str, *bodies: bytes) -> None:
    with psycopg.connect(dsn) as connection:
        for body in bodies:
            connection.execute("INSERT INTO control_outbox (body) VALUES (%s)", (body,))


def rows(dsn: str, query: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_each_row_becomes_one_entry_and_knows_its_number(dsn: str, log: PostgresLogWriter) -> None:
    """The engine answers by the entry; whoever asked can see that it was asked."""
    log.append([Tick(1)])
    ask(dsn, "c1", "c2")
    offer(dsn, encode(FACTS), encode(PACK))
    dispatcher = ControlDispatcher(dsn, log)
    assert dispatcher.dispatch() == 4
    assert dispatcher.dispatch() == 0
    dispatcher.close()
    assert entries(dsn) == [Tick(1), FACTS, PACK, ResetAsked("c1", "k", 3, "ann"), ResetAsked("c2", "k", 3, "ann")]
    assert rows(dsn, "SELECT logged_number FROM control_outbox ORDER BY id") == [(2,), (3,)]
    assert rows(dsn, "SELECT key, logged_number FROM commands ORDER BY key") == [("c1", 4), ("c2", 5)]
    assert rows(dsn, "SELECT number, version FROM rule_pack_activations") == [(3, "abc123")]
    assert active_pack_version(dsn) == "abc123"


def test_a_row_that_is_no_control_entry_is_set_aside_and_holds_up_nothing(dsn: str, log: PostgresLogWriter) -> None:
    """With its reason, for whoever wrote it."""
    offer(dsn, b"\xff\xff", encode(FACTS), encode(Tick(1)))
    dispatcher = ControlDispatcher(dsn, log)
    assert dispatcher.dispatch() == 1
    dispatcher.close()
    assert entries(dsn) == [FACTS]
    assert [bool(row[0]) for row in rows(dsn, "SELECT refused FROM control_outbox ORDER BY id")] == [True, False, True]


def test_two_dispatchers_log_a_row_once(dsn: str, log: PostgresLogWriter) -> None:
    """One that read the rows before the other marked them comes too late."""
    ask(dsn, "c1")
    second = ControlDispatcher(dsn, log)

    class Overtaken:
        """A writer before which another dispatcher gets through."""

        def append(self, payloads: Any, alongside: Any = None) -> int:
            assert second.dispatch() == 1
            return log.append(payloads, alongside)

    late = ControlDispatcher(dsn, Overtaken())
    assert late.dispatch() == 0
    for one in (second, late):
        one.close()
    assert entries(dsn) == [ResetAsked("c1", "k", 3, "ann")]


def test_the_running_dispatcher_is_woken_by_a_row(dsn: str, log: PostgresLogWriter) -> None:
    """A person who resets an alarm is watching the screen."""
    stop = threading.Event()
    dispatcher = ControlDispatcher(dsn, log)
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    ask(dsn, "c1")
    assert log.tail.wait(0, 20.0)
    stop.set()
    thread.join(20.0)
    assert entries(dsn) == [ResetAsked("c1", "k", 3, "ann")]


def test_what_an_import_asks_for_enters_by_and_by_on_one_call_and_a_stop_ends_it_between(
    dsn: str, log: PostgresLogWriter
) -> None:
    """Nobody rings again for the second handful; and a stop does not wait for the last of a hundred thousand."""
    facts = [DeviceFacts("shop-1", f"d{number:03}") for number in range(300)]
    stop, half = threading.Event(), threading.Event()

    class Watched:
        def append(self, payloads: Any, alongside: Any = None) -> int:
            last = log.append(payloads, alongside)
            if last >= 150 and not half.is_set():
                half.set()
                stop.set()
            return last

    offer(dsn, *(encode(one) for one in facts))
    for until_end in (half, threading.Event()):
        thread = threading.Thread(target=ControlDispatcher(dsn, Watched()).run, args=(stop,))
        thread.start()
        if until_end is not half:
            while log.head < len(facts):
                assert log.tail.wait(log.head, 20.0)
            stop.set()
        thread.join(20.0)
        assert not thread.is_alive()
        if until_end is half:
            assert 150 <= log.head < 300
        stop.clear()
    assert entries(dsn) == facts


def test_lost_packets_lose_and_double_no_row(dsn: str) -> None:
    """Row and entry are marked in one commit."""
    rng = Random(5)

    def decide(packet: bytes) -> Fate:
        return rng.choice([Fate.SWALLOW, Fate.ANSWER_LOST]) if rng.random() < 0.04 else Fate.PASS

    keys = [f"c{n:03}" for n in range(25)]
    with CutLink(dsn) as link, PostgresLogWriter(link.dsn) as writer:
        dispatcher = ControlDispatcher(link.dsn, writer)
        link.decide = decide
        for key in keys:
            ask(dsn, key)
            while rows(dsn, "SELECT 1 FROM commands WHERE logged_number IS NULL"):
                try:
                    dispatcher.dispatch()
                except (ServiceAway, OutcomeUnknown, psycopg.OperationalError):
                    dispatcher.close()
        dispatcher.close()
    assert entries(dsn) == [ResetAsked(key, "k", 3, "ann") for key in keys]
    numbers = rows(dsn, "SELECT logged_number FROM commands ORDER BY key")
    assert numbers == [(n,) for n in range(1, 26)]


def test_a_pack_is_activated_once_and_again_when_another_was(dsn: str, log: PostgresLogWriter) -> None:
    """A start with the same rules changes nothing; every pack is kept."""
    one, two = (RulePack(name, f"hash-{name}", (), toml=f"name = '{name}'") for name in ("one", "two"))
    assert ensure_pack(log, dsn, one)
    assert not ensure_pack(log, dsn, one)
    assert ensure_pack(log, dsn, two)
    assert ensure_pack(log, dsn, one)
    assert [p.version for p in entries(dsn) if isinstance(p, PackActivated)] == ["hash-one", "hash-two", "hash-one"]
    assert rows(dsn, "SELECT version FROM rule_packs ORDER BY 1") == [("hash-one",), ("hash-two",)]
