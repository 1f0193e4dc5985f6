"""Properties of who is told, over arbitrary lives of several alarms, without a database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alerting.life import Alarm, fold
from alerting.plan import message_id, plan
from alerting.routes import Recipient, Routes
from schemas.alarms import AlarmEvent, Grade, State
from schemas.notifications import Part
from tests.alerting_world import START_US, event

ROUTES = Routes(
    (
        Recipient("all", "held"),
        Recipient("yellow", "held", least=Grade.YELLOW),
        Recipient("red", "held", least=Grade.RED),
        Recipient("elsewhere", "held", enterprises=frozenset({"shop-2"})),
    )
)
GRADES = st.sampled_from([Grade.BLUE, Grade.YELLOW, Grade.ORANGE, Grade.RED])


@st.composite
def lives(draw: st.DrawFn) -> list[AlarmEvent]:
    """Steps that an engine can make: raised, regraded, cleared, and raised again while latched."""
    latched = draw(st.booleans())
    events: list[AlarmEvent] = []
    grade, active, peak = Grade.NONE, False, Grade.NONE
    for step in range(1, draw(st.integers(1, 12)) + 1):
        previous = grade
        if not active:
            if events and not latched:
                break
            state, grade, active = State.RAISED, draw(GRADES), True
            peak = grade
        elif draw(st.booleans()):
            state, active = State.CLEARED, False
            grade = peak
        else:
            state, grade = State.REGRADED, draw(GRADES.filter(lambda g, p=previous: g is not p))
            peak = max(peak, grade)
        events.append(event(state, grade, step=step, previous=previous, latched=latched))
    return events


@given(lives())
def test_no_first_red_waits(events: list[AlarmEvent]) -> None:
    """In each raising of an alarm, the step that first makes it red is sent at once, to all who care."""
    alarm: Alarm | None = None
    peak = Grade.NONE
    for e in events:
        peak = Grade.NONE if e.state is State.RAISED else peak
        planned = plan(alarm, e, ROUTES, START_US)
        alarm = planned.alarm
        if e.active and e.grade is Grade.RED and peak < Grade.RED:
            assert {t.recipient.name for t in planned.tellings if t.at_once} == {"all", "yellow", "red"}
        peak = max(peak, e.grade)


@given(lives())
def test_the_all_clear_set_is_the_told_set(events: list[AlarmEvent]) -> None:
    alarm: Alarm | None = None
    told: set[str] = set()
    for e in events:
        planned = plan(alarm, e, ROUTES, START_US)
        alarm = planned.alarm
        warned = {t.recipient.name for t in planned.tellings if t.part is Part.WARNING}
        cleared = {t.recipient.name for t in planned.tellings if t.part is Part.ALL_CLEAR}
        told |= warned
        assert not (warned and cleared)
        if e.state is State.CLEARED:
            assert cleared == told
    assert alarm is None or alarm.told == told


@given(lives())
def test_nobody_is_told_of_a_step_twice(events: list[AlarmEvent]) -> None:
    """Each step repeated at once and the whole life repeated at the end: no message has an id that was there."""
    alarm: Alarm | None = None
    ids: list[str] = []
    for e in [same for each in events for same in (each, each)] + events:
        planned = plan(alarm, e, ROUTES, START_US)
        alarm = planned.alarm
        ids += [message_id(e.key, e.step, t.recipient.name) for t in planned.tellings]
    assert len(ids) == len(set(ids))


@given(lives())
def test_folding_an_event_again_changes_nothing(events: list[AlarmEvent]) -> None:
    alarm: Alarm | None = None
    for e in events:
        alarm = fold(alarm, e)
    whole = alarm
    for e in events:
        alarm = fold(alarm, e)
    assert alarm is whole
