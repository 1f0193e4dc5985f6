"""The desk and its outbox on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event

import psycopg
import pytest

from alerting import due_rows, ledger
from alerting.database import Connection
from alerting.desk import Desk
from alerting.ledger import Settled
from alerting.life import Suppression
from alerting.ports import Answer, Outcome
from alerting.routes import Recipient, Routes
from schemas.alarms import Grade, State
from schemas.errors import Fenced, ServiceAway
from schemas.notifications import Notification, Part
from tests.alerting_world import START_US, US, HandClock, HeldChannel, Story, event, make_desk
from tests.waiting import until

OPS = Recipient("ops", "held")
OWNER = Recipient("owner", "held", least=Grade.ORANGE, language="zh", timezone="Asia/Shanghai")


@contextmanager
def stopped(desk: Desk) -> Iterator[Desk]:
    try:
        yield desk
    finally:
        desk.stop()
        desk.run()


def rows(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[arg-type]


def test_a_first_red_is_sent_in_the_turn_that_takes_it(dsn: str) -> None:
    """Seconds count: nothing but one commit stands between the event and the send."""
    channel = HeldChannel("held")
    with stopped(make_desk(dsn, Routes((OPS, OWNER)), HandClock(), channel)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        sent = channel.wait_for(2)
    assert {n.recipient for n in sent} == {"ops", "owner"}
    assert all(n.at_once and n.grade is Grade.RED and n.attempt == 1 for n in sent)
    ledger = rows(dsn, "SELECT recipient, status, attempts FROM notifications ORDER BY recipient")
    assert ledger == [("ops", "accepted", 1), ("owner", "accepted", 1)]
    stamps = rows(dsn, "SELECT stamp, count(*) FROM receipts GROUP BY stamp ORDER BY stamp")
    assert stamps == [("accepted", 2), ("sent", 2)]


def test_an_outbox_that_hangs_while_it_keeps_the_ledger_holds_no_message(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another desk needs the rows, and a session without a desk's lock is ended by nobody."""
    written, let_go, put_settled = Event(), Event(), ledger.put_settled

    def put_and_hang(connection: Connection, settled: Sequence[Settled]) -> None:
        put_settled(connection, settled)
        written.set()
        assert let_go.wait(60)

    monkeypatch.setattr(ledger, "put_settled", put_and_hang)
    channel = HeldChannel("held")
    with stopped(make_desk(dsn, Routes((OPS,)), HandClock(), channel)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        try:
            assert written.wait(60)
            assert rows(dsn, "SELECT status FROM notifications FOR UPDATE NOWAIT") == [("accepted",)]
        finally:
            let_go.set()


def test_the_rest_is_bundled_for_sixty_seconds(dsn: str) -> None:
    """A storm of small things is one message."""
    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        story = Story(dsn)
        story.tell(event(State.RAISED, Grade.YELLOW, device="a"))
        desk.serve_once()
        clock.forward(30)
        story.tell(event(State.RAISED, Grade.BLUE, device="b"))
        desk.serve_once()
        clock.forward(29.9)
        desk.serve_once()
        assert channel.sent == []
        clock.forward(0.1)
        desk.serve_once()
        (sent,) = channel.wait_for(1)
    assert {line.device for line in sent.lines} == {"a", "b"}
    assert not sent.at_once and sent.part is Part.WARNING
    assert sent.text.startswith("[YELLOW] shop-1: 2 alarms")


@pytest.mark.parametrize("turns", [1, 2])
def test_what_went_at_once_is_not_bundled_too(dsn: str, turns: int) -> None:
    """A yellow that became red is told once, whether the desk took both steps in one turn or in two."""
    channel, clock = HeldChannel("held"), HandClock()
    rising = [event(State.RAISED, Grade.YELLOW), event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW)]
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        story = Story(dsn)
        for together in [rising] if turns == 1 else [[e] for e in rising]:
            story.tell(*together)
            desk.serve_once()
        clock.forward(60)
        desk.serve_once()
        channel.wait_for(1)
        assert desk.wait_for_ledger(10.0)
    assert [(n.at_once, [line.step for line in n.lines]) for n in channel.sent] == [(True, [2])]


def test_a_fall_after_a_rise_in_one_turn_is_still_bundled(dsn: str) -> None:
    """Only what was bundled before the rise is told by the rise."""
    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        Story(dsn).tell(
            event(State.RAISED, Grade.YELLOW),
            event(State.REGRADED, Grade.RED, step=2, previous=Grade.YELLOW),
            event(State.REGRADED, Grade.ORANGE, step=3, previous=Grade.RED),
        )
        desk.serve_once()
        clock.forward(60)
        desk.serve_once()
        sent = channel.wait_for(2)
    assert [(n.at_once, [line.step for line in n.lines]) for n in sent] == [(True, [2]), (False, [3])]


def test_the_all_clear_goes_to_exactly_those_who_were_told(dsn: str) -> None:
    """The owner hears of orange and above only, so nothing of a yellow and nothing of its end."""
    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS, OWNER)), clock, channel)) as desk:
        story = Story(dsn)
        story.tell(event(State.RAISED, Grade.RED, device="a"), event(State.RAISED, Grade.YELLOW, device="b"))
        desk.serve_once()
        clock.forward(60)
        desk.serve_once()
        channel.wait_for(3)
        assert desk.wait_for_ledger(10.0)
        story.tell(
            event(State.CLEARED, Grade.RED, step=2, device="a"), event(State.CLEARED, Grade.YELLOW, step=2, device="b")
        )
        desk.serve_once()
        clock.forward(60)
        desk.serve_once()
        sent = channel.wait_for(5)[3:]
    said = {(n.recipient, line.device) for n in sent for line in n.lines}
    assert said == {("ops", "a"), ("ops", "b"), ("owner", "a")}
    assert all(n.part is Part.ALL_CLEAR for n in sent)
    assert rows(dsn, "SELECT told FROM alarms WHERE told <> '{}'") == []


def test_an_alarm_that_ends_before_its_bundle_leaves_is_told_once(dsn: str) -> None:
    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        story = Story(dsn)
        story.tell(event(State.RAISED, Grade.YELLOW))
        desk.serve_once()
        clock.forward(20)
        story.tell(event(State.CLEARED, Grade.YELLOW, step=2))
        desk.serve_once()
        clock.forward(40)
        desk.serve_once()
        (sent,) = channel.wait_for(1)
        clock.forward(600)
        desk.serve_once()
        assert len(channel.sent) == 1
    assert [line.part for line in sent.lines] == [Part.ALL_CLEAR]


def test_no_all_clear_leaves_while_the_alarm_is_back(dsn: str) -> None:
    """A latched alarm that returns within the minute is announced afresh, and its pending all-clear is not said."""
    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        story = Story(dsn)
        story.tell(event(State.RAISED, Grade.RED, latched=True))
        desk.serve_once()
        story.tell(event(State.CLEARED, Grade.RED, step=2, latched=True))
        desk.serve_once()
        clock.forward(20)
        story.tell(event(State.RAISED, Grade.RED, step=3, latched=True))
        desk.serve_once()
        clock.forward(100)
        desk.serve_once()
        sent = channel.wait_for(2)
    assert [(n.part, n.lines[0].step) for n in sent] == [(Part.WARNING, 1), (Part.WARNING, 3)]
    assert rows(dsn, "SELECT status FROM notifications WHERE NOT at_once") == [("dropped",)]


def test_a_refused_send_is_tried_again_when_the_channel_says(dsn: str) -> None:
    channel, clock = HeldChannel("held", Answer(Outcome.AGAIN, "HTTP 503", 7.0)), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        channel.wait_for(1)
        desk.wait_for_ledger(10.0)
        clock.forward(6.9)
        desk.serve_once()
        assert len(channel.sent) == 1
        clock.forward(0.1)
        desk.serve_once()
        first, second = channel.wait_for(2)
    assert first.id == second.id and (first.attempt, second.attempt) == (1, 2)
    attempts = rows(dsn, "SELECT number, outcome, detail FROM attempts ORDER BY number")
    assert attempts == [(1, "again", "HTTP 503"), (2, "accepted", "")]


def test_no_all_clear_for_one_whose_warning_was_refused_for_good(dsn: str) -> None:
    """Who was never told of the fire is not told that it is over."""
    channel, clock = HeldChannel("held", Answer(Outcome.REFUSED, "HTTP 404")), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        story = Story(dsn)
        story.tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        channel.wait_for(1)
        desk.wait_for_ledger(10.0)
        story.tell(event(State.CLEARED, Grade.RED, step=2))
        desk.serve_once()
        clock.forward(60)
        desk.serve_once()
    assert len(channel.sent) == 1
    assert rows(dsn, "SELECT status FROM notifications ORDER BY at_once") == [("dropped",), ("failed",)]


def test_an_all_clear_waits_for_its_warning(dsn: str) -> None:
    """While the warning is still being tried, the all-clear must not overtake it."""
    channel, clock = HeldChannel("held", Answer(Outcome.AGAIN, "HTTP 503", 100.0)), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        story = Story(dsn)
        story.tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        channel.wait_for(1)
        desk.wait_for_ledger(10.0)
        story.tell(event(State.CLEARED, Grade.RED, step=2))
        desk.serve_once()
        clock.forward(60)
        desk.serve_once()
        assert len(channel.sent) == 1
        clock.forward(40)
        desk.serve_once()
        channel.wait_for(2)
        desk.wait_for_ledger(10.0)
        clock.forward(2)
        desk.serve_once()
        sent = channel.wait_for(3)
    assert [n.part for n in sent] == [Part.WARNING, Part.WARNING, Part.ALL_CLEAR]


def test_a_channel_that_ends_its_thread_is_answered_for(dsn: str) -> None:
    """SystemExit passes every `except Exception`; the lane and the message must outlive it."""

    class Ending(HeldChannel):
        def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
            answers = super().send(recipient, messages)
            if len(self.sent) == 1:
                raise SystemExit(1)
            return answers

    channel, clock = Ending("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        channel.wait_for(1)
        assert desk.wait_for_ledger(10.0)
        clock.forward(60)
        desk.serve_once()
        channel.wait_for(2)
        assert desk.wait_for_ledger(10.0)
    assert rows(dsn, "SELECT outcome FROM attempts ORDER BY number") == [("unknown",), ("accepted",)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sender_that_ended_is_named(dsn: str) -> None:
    """A lane without its thread keeps messages for ever; whoever asks how we are must hear of it."""

    def defect(name: str) -> None:
        raise RuntimeError("a defect of ours")

    channel = HeldChannel("held")
    with stopped(make_desk(dsn, Routes((OPS,)), HandClock(), channel, failpoint=defect)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        until(lambda: "the sender to ops" in desk.trouble(), "the lost sender is named")


def test_late_events_page_nobody(dsn: str) -> None:
    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED, late=True), event(State.CLEARED, Grade.RED, step=2, late=True))
        desk.serve_once()
        clock.forward(60)
        desk.serve_once()
    assert channel.sent == []
    reasons = rows(dsn, "SELECT reason FROM decisions ORDER BY step")
    assert reasons == [("late: it is history",), ("cleared: nobody was told",)]


def test_what_still_stands_when_its_device_returns_to_service_is_announced(dsn: str) -> None:
    """A fire that began during repairs must not burn unannounced because nobody was to hear of it then."""
    channel, clock = HeldChannel("held"), HandClock()
    away = {"a", "b", "c", "d"}

    def suppression_of(enterprise: str, device: str) -> Suppression:
        return Suppression.OUT_OF_SERVICE if device in away else Suppression.NONE

    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel, suppression_of=suppression_of)) as desk:
        story = Story(dsn)
        story.tell(
            event(State.RAISED, Grade.RED, device="a"),
            event(State.RAISED, Grade.YELLOW, device="b"),
            event(State.RAISED, Grade.RED, device="c"),
            event(State.RAISED, Grade.RED, device="d"),
            event(State.CLEARED, Grade.RED, step=2, device="d", latched=True),
        )
        desk.serve_once()
        clock.forward(5)
        desk.serve_once()
        assert channel.sent == []
        away -= {"a", "b", "d"}
        clock.forward(5)
        desk.serve_once()
        channel.wait_for(1)
        assert desk.wait_for_ledger(10.0)
        clock.forward(60)
        desk.serve_once()
        channel.wait_for(2)
        clock.forward(600)
        desk.serve_once()
        assert desk.wait_for_ledger(10.0)
    assert [(n.at_once, [line.device for line in n.lines]) for n in channel.sent] == [(True, ["a"]), (False, ["b"])]
    stored = rows(dsn, "SELECT device, suppression, told FROM alarms ORDER BY device")
    assert stored == [
        ("a", "none", ["ops"]), ("b", "none", ["ops"]), ("c", "out_of_service", []), ("d", "none", []),
    ]  # fmt: skip
    reasons = rows(dsn, "SELECT d.reason FROM decisions d JOIN alarms a ON a.key = d.alarm ORDER BY a.device, d.step")
    assert [reason for (reason,) in reasons] == [
        "no longer out_of_service: first red", "no longer out_of_service: bundled", "suppressed: out_of_service",
        "suppressed: out_of_service", "cleared: nobody was told",
    ]  # fmt: skip


def test_a_moved_position_fences_the_return_to_service(dsn: str) -> None:
    """Another desk may have announced it already."""
    away = {"kitchen"}

    def suppression_of(enterprise: str, device: str) -> Suppression:
        return Suppression.OUT_OF_SERVICE if device in away else Suppression.NONE

    channel, clock = HeldChannel("held"), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel, suppression_of=suppression_of)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        away.clear()
        clock.forward(5)
        with psycopg.connect(dsn) as connection:
            connection.execute("UPDATE positions SET position = 5 WHERE consumer = 'desk'")
        with pytest.raises(Fenced):
            desk._take_returned()
    assert channel.sent == []


def test_a_message_that_misses_its_limit_is_counted_and_written_down(dsn: str) -> None:
    channel, clock = HeldChannel("held", Answer(Outcome.AGAIN, "HTTP 503", 100.0)), HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, channel)) as desk:
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        desk.serve_once()
        channel.wait_for(1)
        clock.forward(10)
        desk.serve_once()
        clock.forward(10)
        desk.serve_once()
    assert rows(dsn, "SELECT overdue FROM notifications") == [(True,)]
    assert rows(dsn, "SELECT count(*) FROM journal WHERE notification LIKE 'overdue.%'") == [(1,)]


def test_a_moved_position_fences_the_desk(dsn: str) -> None:
    """Somebody else took our events: to go on would tell people twice."""
    desk = make_desk(dsn, Routes((OPS,)), HandClock(), HeldChannel("held"))
    desk.serve_once()
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE positions SET position = 5 WHERE consumer = 'desk'")
    with pytest.raises(Fenced):
        desk.run()
    assert "another desk" in desk.trouble()


def test_a_second_desk_waits_for_the_first(dsn: str) -> None:
    with stopped(make_desk(dsn, Routes((OPS,)), HandClock(), HeldChannel("held"))) as first:
        first.serve_once()
        with (
            stopped(make_desk(dsn, Routes((OPS,)), HandClock(), HeldChannel("held"))) as second,
            pytest.raises(ServiceAway),
        ):
            second.serve_once()


def test_times_in_the_story_are_whole_microseconds() -> None:
    """The tests' own clock must not round: the minute's edge is exact."""
    clock = HandClock()
    clock.forward(29.9)
    clock.forward(0.1)
    assert clock() == START_US + 30 * US


def test_what_comes_back_into_the_queue_while_the_desk_looks_is_not_forgotten(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger commits beside it: the retry of an alarm's last message would wait for the next alarm."""
    clock = HandClock()
    with stopped(make_desk(dsn, Routes((OPS,)), clock, HeldChannel("held"))) as desk:
        next_due = due_rows.next_due

        def look(connection: Connection, partition: int) -> int | None:
            found = next_due(connection, partition)
            desk._queued(clock() + US)
            return found

        monkeypatch.setattr(due_rows, "next_due", look)
        desk.serve_once()
        assert desk._due_us == clock() + US
