"""The chaos judge is worth its verdict: a run that is a little wrong does not pass."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from schemas.alarms import AlarmEvent, Grade, State
from tests.chaos import judge
from tests.chaos.feeder import Message
from tests.chaos.stories import Expected, chaos_pack

START_MS = 1_790_000_000_000


def hot_device() -> list[Message]:
    """A device with `ts` that is hot, burns and cools down."""
    levels = [48.0] * 15 + [95.0] * 5 + [30.0] * 5
    return [
        Message("ts-000", "a", {"temperature": value, "gas": 1.0}, START_MS + 2000 * i, sent_us=1, acked_us=2)
        for i, value in enumerate(levels)
    ]


def pressed(at_us: int = 1_000_000) -> Expected:
    message = Message("nt-000", "a", {"call_point.c1": 1}, None, sent_us=at_us, acked_us=at_us + 50_000)
    return Expected(raised_by={"nt-000/a/call_point.c1": message})


def event(**changes: object) -> AlarmEvent:
    twin = judge.twin_events(hot_device(), chaos_pack())
    return msgspec.structs.replace(twin[0], **changes)


def test_what_the_twin_says_passes() -> None:
    twin = judge.twin_events(hot_device(), chaos_pack())
    assert [e.state for e in twin] == [State.RAISED, State.REGRADED]
    assert judge.judge_timed(twin, twin) == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda said: said[:-1], "never said"),
        (lambda said: [*said, said[0]], "said twice"),
        (
            lambda said: [msgspec.structs.replace(said[0], onset_us=said[0].onset_us + 1), *said[1:]],
            "the twin does not",
        ),
        (lambda said: [msgspec.structs.replace(said[0], grade=Grade.ORANGE), *said[1:]], "the twin does not"),
        (lambda said: [msgspec.structs.replace(said[0], step=2), *said[1:]], "the twin does not"),
    ],
)
def test_a_lost_doubled_or_changed_step_is_found(
    spoil: Callable[[list[AlarmEvent]], list[AlarmEvent]], says: str
) -> None:
    twin = judge.twin_events(hot_device(), chaos_pack())
    assert any(says in wrong for wrong in judge.judge_timed(spoil(twin), twin))


def test_an_onset_outside_send_and_puback_is_found() -> None:
    call = event(enterprise="nt-000", subject="nt-000/a/call_point.c1", family="call_point", step=1)
    inside = msgspec.structs.replace(call, state=State.RAISED, onset_us=1_020_000)
    outside = msgspec.structs.replace(inside, onset_us=1_200_000)
    assert judge.judge_untimed([inside], pressed(), []) == []
    assert "not between send and PUBACK" in judge.judge_untimed([outside], pressed(), [])[0]
    assert "instead of ['raised']" in judge.judge_untimed([], pressed(), [])[0]
    assert "instead of ['raised']" in judge.judge_untimed([inside, inside], pressed(), [])[0]
    assert "nobody knows why" in judge.judge_untimed([inside], Expected(), [])[0]


def test_a_silence_that_is_late_missing_or_made_up_is_found() -> None:
    message = Message("nt-000", "s", {"humidity": 40.0}, None, sent_us=1_000_000, acked_us=1_050_000)
    expected = Expected(last_heard={"nt-000/s": message})
    silent = event(enterprise="nt-000", subject="nt-000/s", family="silence", onset_us=1_020_000, event_us=22_000_000)
    late = msgspec.structs.replace(silent, event_us=25_000_000)
    end_us = 60_000_000
    assert judge.judge_silence([silent], expected, [], end_us) == []
    assert "late" in judge.judge_silence([late], expected, [], end_us)[0]
    assert judge.judge_silence([late], expected, [(10_000_000, 14_000_000)], end_us) == []
    assert "nobody says so" in judge.judge_silence([], expected, [], end_us)[0]
    assert "is called silent" in judge.judge_silence([silent], Expected(), [], end_us)[0]


def test_a_device_that_could_not_come_through_may_be_called_silent_and_one_that_was_heard_may_not() -> None:
    """Nothing else is known of a device whose messages wait in it while the door is away."""
    waiting = Message("nt-000", "a", {"humidity": 40.0}, None, sent_us=2_000_000, acked_us=30_000_000)
    heard = Message("nt-000", "a", {"humidity": 40.0}, None, sent_us=9_000_000, acked_us=9_050_000)
    silent = event(
        enterprise="nt-000", subject="nt-000/a", family="silence", state=State.RAISED, onset_us=1_020_000,
        event_us=22_000_000,
    )  # fmt: skip
    assert judge.judge_silence([silent], Expected(), [], 60_000_000, [waiting]) == []
    assert "is called silent" in judge.judge_silence([silent], Expected(), [], 60_000_000, [heard, waiting])[0]
    heard.came_us = 25_000_000
    assert judge.judge_silence([silent], Expected(), [], 60_000_000, [heard]) == [], "it lay in a broker until then"
