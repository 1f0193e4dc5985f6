"""One dead gateway is one alarm: what is hidden behind its silence, and what never is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from alerting.effects import Behind, Silences
from alerting.life import Alarm, Suppression, fold
from alerting.plan import plan
from alerting.routes import Routes
from schemas.alarms import AlarmEvent, Evidence, Grade, Kind, State
from schemas.identity import alarm_key
from tests.alerting_world import START_US, US

MIN_US = 60 * US
BEHIND = {("shop-1", "kitchen"): Behind("gateway", 30.0), ("shop-1", "cellar"): Behind("gateway", 600.0)}


def silent(
    device: str, grade: Grade = Grade.YELLOW, family: str = "silence", *, state: State = State.RAISED, at_us: int = 0
) -> AlarmEvent:
    subject = f"shop-1/{device}" + ("/online" if family == "online" else "")
    at_us += START_US
    return AlarmEvent(
        alarm_key(subject, family, START_US), 1 if state is State.RAISED else 2, 0, 0, state, subject, "shop-1", device,
        "online" if family == "online" else "", family, Kind.SILENCE, grade, Grade.NONE, state is State.RAISED, False,
        START_US, at_us, at_us, at_us, 7, Evidence("gw.down", "ab12"),
    )  # fmt: skip


def standing(*alarms: Alarm) -> Silences:
    silences = Silences(BEHIND)
    for alarm in alarms:
        silences.put(alarm)
    return silences


DEAD = fold(None, silent("gateway", family="online"))
BACK = fold(DEAD, silent("gateway", family="online", state=State.CLEARED, at_us=10 * MIN_US))


@pytest.mark.parametrize(
    ("cause", "effect", "at_us", "hidden"),
    [
        (DEAD, silent("kitchen"), 0, True),
        (DEAD, silent("kitchen", Grade.BLUE), 0, True),
        (DEAD, silent("kitchen", Grade.ORANGE), 0, False),  # worse than its cause
        (DEAD, silent("gateway"), 0, True),  # its own connection is lost
        (DEAD, silent("office"), 0, False),  # not behind it
        (DEAD, structs.replace(silent("kitchen"), kind=Kind.FIRE), 0, False),
        (DEAD, structs.replace(silent("kitchen"), enterprise="shop-2"), 0, False),
        (replace(DEAD, suppression=Suppression.OUT_OF_SERVICE), silent("kitchen"), 0, False),  # nobody is told of it
        (replace(DEAD, suppression=Suppression.BY_DESIGN), silent("kitchen"), 0, True),
        (BACK, silent("kitchen"), 14 * MIN_US, True),  # has not had time to be heard
        (BACK, silent("kitchen"), 15 * MIN_US, False),
        (BACK, silent("cellar"), 39 * MIN_US, True),  # three of its own periods
        (BACK, silent("cellar"), 40 * MIN_US, False),
    ],
)
def test_what_is_hidden_behind_a_silence(cause: Alarm, effect: AlarmEvent, at_us: int, hidden: bool) -> None:
    """Effects of the cause, as bad as it at most, and until they have had time to be heard again."""
    assert bool(standing(cause).cause_of(effect, START_US + at_us)) is hidden


def test_an_alarm_hides_not_itself() -> None:
    assert standing(DEAD).cause_of(DEAD.event, START_US) == ""


def test_the_decision_names_the_cause() -> None:
    cause = standing(DEAD).cause_of(silent("kitchen"), START_US)
    planned = plan(None, silent("kitchen"), Routes(), START_US, Suppression.BY_DESIGN, behind=cause)
    assert planned.reason == "suppressed: suppressed_by_design behind shop-1/gateway/online"
    assert not planned.tellings


def test_devices_behind_a_gateway_are_counted() -> None:
    silences = standing(DEAD)
    assert (silences.count_behind(DEAD.event), silences.count_behind(silent("kitchen"))) == (2, 0)
