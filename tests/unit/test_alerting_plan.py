"""Whom an event tells: tables of cases, each headed by its rule."""

from __future__ import annotations

import pytest

from alerting.bundle import Gathered, said_of
from alerting.life import Alarm, Suppression, acknowledge, fold, refusal_of_acknowledgement
from alerting.plan import plan
from alerting.ports import Answer, Outcome
from alerting.retry import LONGEST_S, backoff_s, settle
from alerting.routes import Recipient, Routes
from schemas.alarms import AlarmEvent, Grade, State
from schemas.notifications import Part, Status
from tests.alerting_world import START_US, US, event

ALL = Recipient("all", "held")
HEAVY = Recipient("heavy", "held", least=Grade.ORANGE)
ELSEWHERE = Recipient("elsewhere", "held", enterprises=frozenset({"shop-2"}))
ROUTES = Routes((ALL, HEAVY, ELSEWHERE))

B, Y, O, R = Grade.BLUE, Grade.YELLOW, Grade.ORANGE, Grade.RED  # noqa: E741  the four colours
Step = tuple[State, Grade]


def life(*steps: Step, latched: bool = False) -> list[AlarmEvent]:
    previous, events = Grade.NONE, []
    for number, (state, grade) in enumerate(steps, 1):
        events.append(event(state, grade, step=number, previous=previous, latched=latched))
        previous = grade
    return events


def last_of(events: list[AlarmEvent], routes: Routes = ROUTES) -> tuple[str, bool | None, set[str]]:
    """(reason, whether it goes at once, names told) of the last event."""
    alarm: Alarm | None = None
    for e in events:
        planned = plan(alarm, e, routes, START_US)
        alarm = planned.alarm
    urgent = {telling.at_once for telling in planned.tellings}
    return planned.reason, urgent.pop() if urgent else None, {t.recipient.name for t in planned.tellings}


RAISED, REGRADED, CLEARED, RESET, WITHDRAWN = (
    State.RAISED, State.REGRADED, State.CLEARED, State.RESET, State.WITHDRAWN,
)  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "reason", "at_once", "told"),
    [
        # A first orange and a first red go at once.
        ([(RAISED, O)], "first orange", True, {"all", "heavy"}),
        ([(RAISED, R)], "first red", True, {"all", "heavy"}),
        ([(RAISED, Y), (REGRADED, O)], "first orange", True, {"all", "heavy"}),
        ([(RAISED, O), (REGRADED, R)], "first red", True, {"all", "heavy"}),
        # Every rise to red goes at once.
        ([(RAISED, R), (REGRADED, Y), (REGRADED, R)], "rise to red", True, {"all", "heavy"}),
        # The rest is bundled; a fall goes to those who were told of the peak.
        ([(RAISED, B)], "bundled", False, {"all"}),
        ([(RAISED, Y)], "bundled", False, {"all"}),
        ([(RAISED, B), (REGRADED, Y)], "bundled", False, {"all"}),
        ([(RAISED, R), (REGRADED, Y)], "bundled", False, {"all", "heavy"}),
        ([(RAISED, R), (REGRADED, O)], "bundled", False, {"all", "heavy"}),
        ([(RAISED, O), (REGRADED, Y), (REGRADED, O)], "bundled", False, {"all", "heavy"}),
        # The all-clear goes to exactly those who were told.
        ([(RAISED, Y), (CLEARED, Y)], "cleared: all-clear to those who were told", False, {"all"}),
        ([(RAISED, R), (CLEARED, R)], "cleared: all-clear to those who were told", False, {"all", "heavy"}),
        ([(RAISED, R), (WITHDRAWN, R)], "withdrawn: all-clear to those who were told", False, {"all", "heavy"}),
        # A reset is a person's own act; the all-clear went when it cleared.
        ([(RAISED, R), (CLEARED, R), (RESET, R)], "reset by a person", None, set()),
        # Raised again is announced afresh.
        ([(RAISED, R), (CLEARED, R), (RAISED, R)], "first red", True, {"all", "heavy"}),
        ([(RAISED, R), (CLEARED, R), (RAISED, O)], "first orange", True, {"all", "heavy"}),
    ],
)
def test_who_is_told_of_a_step(steps: list[Step], reason: str, at_once: bool | None, told: set[str]) -> None:
    assert last_of(life(*steps)) == (reason, at_once, told)


def test_a_grade_that_nobody_takes_tells_nobody() -> None:
    assert last_of(life((RAISED, Y)), Routes((HEAVY,))) == ("no recipient takes yellow", None, set())


def test_a_late_step_tells_nobody_but_a_late_end_ends_what_was_told() -> None:
    """History pages nobody; but who believes in an alarm must hear that it is over."""
    raised = plan(None, event(RAISED, R, late=True), ROUTES, START_US)
    assert (raised.reason, raised.tellings) == ("late: it is history", ())
    told = plan(None, event(RAISED, R), ROUTES, START_US).alarm
    over = plan(told, event(CLEARED, R, step=2, late=True), ROUTES, START_US)
    assert {t.recipient.name for t in over.tellings} == {"all", "heavy"}


def test_a_suppressed_alarm_is_kept_and_tells_nobody() -> None:
    planned = plan(None, event(RAISED, R), ROUTES, START_US, Suppression.OUT_OF_SERVICE)
    assert planned.tellings == () and planned.reason == "suppressed: out_of_service"
    assert planned.alarm.event.active and planned.alarm.name == "out_of_service"


def test_a_bundle_leaves_after_a_minute_and_the_rest_now() -> None:
    assert plan(None, event(RAISED, Y), ROUTES, START_US).tellings[0].due_us == START_US + 60 * US
    assert plan(None, event(RAISED, R), ROUTES, START_US).tellings[0].due_us == START_US


def test_a_known_step_tells_nobody() -> None:
    first = plan(None, event(RAISED, R), ROUTES, START_US)
    again = plan(first.alarm, event(RAISED, R), ROUTES, START_US)
    assert again.alarm is first.alarm and again.tellings == ()


@pytest.mark.parametrize(
    ("steps", "acknowledged_at", "name"),
    [
        # The names of ISA-18.2.
        ([(RAISED, R)], 0, "active_unacknowledged"),
        ([(RAISED, R)], 1, "active_acknowledged"),
        ([(RAISED, Y), (REGRADED, R)], 1, "active_acknowledged"),
        ([(RAISED, R), (CLEARED, R)], 0, "returned_unacknowledged"),
        ([(RAISED, R), (CLEARED, R)], 1, "normal"),
        # Raised again is unacknowledged again.
        ([(RAISED, R), (CLEARED, R), (RAISED, R)], 2, "active_unacknowledged"),
    ],
)
def test_an_alarm_is_called_by_its_three_facts(steps: list[Step], acknowledged_at: int, name: str) -> None:
    alarm: Alarm | None = None
    for e in life(*steps):
        alarm = fold(alarm, e)
        if e.step == acknowledged_at:
            alarm = acknowledge(alarm, e.step, "Li Wei")
    assert alarm is not None and alarm.name == name


def test_what_was_raised_again_since_cannot_be_acknowledged() -> None:
    """The person saw an older life of it: they must look again."""
    alarm = None
    for e in life((RAISED, R), (CLEARED, R), (RAISED, R)):
        alarm = fold(alarm, e)
    assert alarm is not None
    assert "raised again at step 3" in refusal_of_acknowledgement(alarm, 2)
    assert "no step 4 yet" in refusal_of_acknowledgement(alarm, 4)
    assert refusal_of_acknowledgement(alarm, 3) == ""


@pytest.mark.parametrize(
    ("active", "parts", "heard", "hearing", "line", "must_wait"),
    [
        # Still on: say so.
        (True, {Part.WARNING}, False, False, Part.WARNING, False),
        # Back while its all-clear waited: say nothing, they believe in it, rightly.
        (True, {Part.ALL_CLEAR}, True, False, None, False),
        # Over before its warning left: one line for both.
        (False, {Part.WARNING, Part.ALL_CLEAR}, False, False, Part.ALL_CLEAR, False),
        # Over, and they had heard of it.
        (False, {Part.ALL_CLEAR}, True, False, Part.ALL_CLEAR, False),
        # Over, while they are still to hear of it: wait.
        (False, {Part.ALL_CLEAR}, False, True, None, True),
        # Over, and they never heard of it: say nothing.
        (False, {Part.ALL_CLEAR}, False, False, None, False),
    ],
)
def test_what_a_bundle_says(
    active: bool, parts: set[Part], heard: bool, hearing: bool, line: Part | None, must_wait: bool
) -> None:
    alarm = fold(None, event(RAISED if active else CLEARED, Y))
    said = said_of([Gathered(alarm, frozenset(parts), heard, hearing)])
    assert [x.part for x in said.lines] == ([line] if line else [])
    assert said.must_wait == must_wait
    assert len(said.unsaid) == (0 if line or must_wait else 1)


@pytest.mark.parametrize(
    ("answer", "age_s", "status", "wait_s"),
    [
        (Answer(Outcome.ACCEPTED), 0.0, Status.ACCEPTED, 0.0),
        # The channel says when.
        (Answer(Outcome.AGAIN, retry_after_s=7.0), 0.0, Status.QUEUED, 7.0),
        (Answer(Outcome.UNKNOWN, retry_after_s=7.0), 0.0, Status.QUEUED, 7.0),
        # Refused for good, or of no use any more.
        (Answer(Outcome.REFUSED), 0.0, Status.FAILED, 0.0),
        (Answer(Outcome.AGAIN, retry_after_s=7.0), 3594.0, Status.FAILED, 0.0),
    ],
)
def test_what_becomes_of_a_message(answer: Answer, age_s: float, status: Status, wait_s: float) -> None:
    settlement = settle("id", answer, 1, age_s, 3600.0, START_US)
    assert (settlement.status, settlement.due_us) == (status, START_US + round(wait_s * US))


def test_the_pause_doubles_up_to_a_minute_and_differs_between_messages() -> None:
    assert 0.4 <= backoff_s("a", 1) <= 0.5 and 0.8 <= backoff_s("a", 2) <= 1.0
    assert 0.8 * LONGEST_S <= backoff_s("a", 1000) <= LONGEST_S
    assert len({backoff_s(str(n), 1) for n in range(20)}) > 10
