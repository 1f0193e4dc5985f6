"""What admission refused, in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from ingest.intake import JsonIntake
from ingest.ports import Refused
from ingest.quarantine import Limits, alongside, mark_replayed, sweep, waiting
from schemas.errors import Reject
from tests.messages import ARRIVAL_US, Door

pytestmark = pytest.mark.integration

KITCHEN = "tocsin/v1/shop/kitchen/telemetry"
WRONG = (Reject("text", "smoke", "The value is text, not a number.", "Send the number without quotes."),)


def refusal(
    arrival_us: int, payload: bytes = b'{"smoke":"1"}', *, device: str = "kitchen", kept: bool = True
) -> Refused:
    return Refused(0, "shop", device, f"tocsin/v1/shop/{device}/telemetry", payload, arrival_us, WRONG, kept)


def keep(connection: psycopg.Connection, refused: list[Refused]) -> None:
    """As the log's writer does: in pipeline mode, inside its transaction."""
    write = alongside(refused, lambda one: f"client-{one.message}")
    assert write is not None
    with connection.pipeline(), connection.transaction(), connection.cursor() as cursor:
        write(cursor)


def test_a_refused_message_is_kept_whole_and_reads_back(dsn: str) -> None:
    """It can be taken again after the mend, so nothing of it may be lost, whatever its bytes are."""
    door, intake = Door(), JsonIntake()
    payload = b'{"smoke":1,"\\u0000":1,"x\\ud800":2}\x00\xff'
    refused = intake.take(door.batch([(KITCHEN, payload), (KITCHEN, payload[:-2])])).refused
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, list(refused))
        first, second = waiting(connection)
    assert (first.topic, first.payload, first.client, first.arrival_us) == (KITCHEN, payload, "client-0", ARRIVAL_US)
    assert second.rejects == refused[1].rejects
    assert [reject.code for reject in second.rejects] == ["unknown_measure", "unknown_measure"]


def test_a_topic_with_a_nul_does_not_poison_the_round(dsn: str) -> None:
    """PostgreSQL's text cannot hold it, and a failed row would fail the commit of everybody's readings for ever."""
    refused = Refused(0, "", "", "a\0b", b"\0", ARRIVAL_US, WRONG)
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refused])
        assert [kept.payload for kept in waiting(connection)] == [b"\0"]


def test_the_same_rows_written_again_change_nothing(dsn: str) -> None:
    """A commit of unknown outcome may be made a second time."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(1)])
        keep(connection, [refusal(1), refusal(2)])
        assert [kept.arrival_us for kept in waiting(connection)] == [1, 2]


def test_an_answer_that_refuses_nothing_is_not_kept() -> None:
    """Every reading of such a message is in the log."""
    assert alongside([refusal(1, kept=False)]) is None
    assert alongside([]) is None


def test_replayed_messages_wait_no_longer(dsn: str) -> None:
    """The mark shares the commit of the readings, so a kill replays once more or not at all."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(1), refusal(2), refusal(3, device="panel")])
        mark_replayed(connection, [1])
        assert [kept.arrival_us for kept in waiting(connection)] == [2, 3]
        assert [kept.arrival_us for kept in waiting(connection, enterprise="shop", device="panel")] == [3]
        assert [kept.arrival_us for kept in waiting(connection, after_us=2, limit=5)] == [3]


def test_the_oldest_go_first_and_what_was_never_replayed_is_counted(dsn: str) -> None:
    """Quarantine is bounded by size and by age."""
    second = 1_000_000
    with psycopg.connect(dsn, autocommit=True) as connection:
        keep(connection, [refusal(number * second, bytes(10_000)) for number in range(1, 11)])
        mark_replayed(connection, [second])
        by_age = sweep(connection, 13 * second, Limits(most_age=timedelta(seconds=10)))
        assert (by_age.rows, by_age.unreplayed) == (3, 2)
        by_size = sweep(connection, 13 * second, Limits(most_bytes=32_000))
        assert (by_size.rows, by_size.unreplayed) == (4, 4)
        assert [kept.arrival_us // second for kept in waiting(connection)] == [8, 9, 10]
        assert sweep(connection, 13 * second, Limits()).rows == 0
