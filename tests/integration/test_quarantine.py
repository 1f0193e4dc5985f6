"""What admission refused, in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from ingest.intake import JsonIntake
from ingest.ports import Kept, Refused
from ingest.quarantine import Limits, Name, decode_kept, encode_kept, keep_records, mark_replayed, sweep, waiting
from ingest.quarantine import keep as insert
from schemas.errors import Reject
from tests.messages import ARRIVAL_US, Door

pytestmark = pytest.mark.integration

KITCHEN = "tocsin/v1/shop/kitchen/telemetry"
WRONG = (Reject("text", "smoke", "The value is text, not a number.", "Send the number without quotes."),)


def refusal(arrival_us: int, payload: bytes = b'{"smoke":"1"}', *, device: str = "kitchen", source: str = "") -> Kept:
    topic = f"tocsin/v1/shop/{device}/telemetry"
    return Kept(arrival_us, "shop", device, topic, "client-0", payload, WRONG, source)


def keep(connection: psycopg.Connection, kept: list[Kept]) -> None:
    """As the log's writer does: in pipeline mode, inside its transaction."""
    with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
        insert(cursor, kept)


def test_a_refused_message_is_kept_whole_and_reads_back(dsn: str) -> None:
    """It can be taken again after the mend, so nothing of it may be lost, whatever its bytes are."""
    door, intake = Door(), JsonIntake()
    payload = b'{"smoke":1,"\\u0000":1,"x\\ud800":2}\x00\xff'
    refused = intake.take(door.batch([(KITCHEN, payload), (KITCHEN, payload[:-2])])).refused
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [Kept.of(one, f"client-{one.message}", "") for one in refused])
        first, second = waiting(connection)
    assert (first.topic, first.payload, first.client, first.arrival_us) == (KITCHEN, payload, "client-0", ARRIVAL_US)
    assert second.rejects == refused[1].rejects
    assert [reject.code for reject in second.rejects] == ["unknown_measure", "unknown_measure"]


def test_a_topic_with_a_nul_does_not_poison_the_round(dsn: str) -> None:
    """PostgreSQL's text cannot hold it, and a failed row would fail the commit of everybody's readings for ever."""
    refused = Refused(0, "", "", "a\0b", b"\0", ARRIVAL_US, WRONG)
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [Kept.of(refused, "c\0", "")])
        assert [kept.payload for kept in waiting(connection)] == [b"\0"]


def test_the_same_rows_written_again_change_nothing(dsn: str) -> None:
    """A commit of unknown outcome may be made a second time."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(1)])
        keep(connection, [refusal(1), refusal(2)])
        assert [kept.arrival_us for kept in waiting(connection)] == [1, 2]


def test_two_writers_may_have_one_arrival(dsn: str) -> None:
    """Arrivals rise at each door by itself; neither may hide the other's message."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(1, b"a", source="door-1"), refusal(1, b"b", source="door-2")])
        first, second = waiting(connection)
        assert (first.payload, second.payload) == (b"a", b"b")
        assert waiting(connection, after=Name(1, "door-1")) == [second]
        mark_replayed(connection, [Name(1, "door-2")])
        assert waiting(connection) == [first]


def test_a_record_of_kafka_is_the_row_it_becomes(dsn: str) -> None:
    """Delivered twice it is one row, and what is no record is in nobody's way."""
    kept = [refusal(1, bytes(range(256)), source="door-1"), refusal(2)]
    bodies = [encode_kept(kept[0]), b"{", encode_kept(kept[1]), encode_kept(kept[1]).replace(b":1,", b":9,", 1)]
    assert decode_kept(bodies[0]) == kept[0]
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(2):
            unreadable = keep_records(connection, bodies)
            assert sorted(unreadable) == [1, 3]
            assert "version 9" in unreadable[3]
            assert waiting(connection) == kept


def test_a_record_that_postgresql_never_takes_is_in_nobodys_way(dsn: str) -> None:
    """One of a stranger's would end each worker that meets it, one after the other."""
    strange = [replace(refusal(2), enterprise="a\0b"), replace(refusal(3), arrival_us=1 << 63)]
    bodies = [encode_kept(one) for one in (refusal(1), *strange, refusal(4))]
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert sorted(keep_records(connection, bodies)) == [1, 2]
        assert [one.arrival_us for one in waiting(connection)] == [1, 4]


def test_replayed_messages_wait_no_longer(dsn: str) -> None:
    """The mark shares the commit of the readings, so a kill replays once more or not at all."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(1), refusal(2), refusal(3, device="panel")])
        mark_replayed(connection, [Name(1)])
        assert [kept.arrival_us for kept in waiting(connection)] == [2, 3]
        assert [kept.arrival_us for kept in waiting(connection, enterprise="shop", device="panel")] == [3]
        assert [kept.arrival_us for kept in waiting(connection, after=Name(2), limit=5)] == [3]


def test_the_oldest_go_first_and_what_was_never_replayed_is_counted(dsn: str) -> None:
    """Quarantine is bounded by size and by age."""
    second = 1_000_000
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(number * second, bytes(10_000)) for number in range(1, 11)])
        mark_replayed(connection, [Name(second)])
        by_age = sweep(connection, 13 * second, Limits(most_age=timedelta(seconds=10)))
        assert (by_age.rows, by_age.unreplayed) == (3, 2)
        by_size = sweep(connection, 13 * second, Limits(most_bytes=32_000))
        assert (by_size.rows, by_size.unreplayed) == (4, 4)
        assert [kept.arrival_us // second for kept in waiting(connection)] == [8, 9, 10]
        assert sweep(connection, 13 * second, Limits()).rows == 0
