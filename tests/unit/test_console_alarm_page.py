"""The page of one alarm: its story in one order, its chart without a lost peak."""

from __future__ import annotations

from typing import Any

from alerting.views import Acknowledgement, AlarmDetail, Comment, Decision, Heard, Message, Stamped
from console.pages.alarm_chart import axis, baseline, limits, options, thinned
from console.pages.alarm_story import names_of, quantity, reason, span, story, who
from console.words import words_of
from schemas.alarms import Grade, State
from schemas.enterprises import Contact
from tests.alerting_world import START_US, US, event
from tests.unit.test_console_rows import alarm

EN, ZH = words_of("en"), words_of("zh")


def detail(**more: Any) -> AlarmDetail:
    told: dict[str, Any] = {
        "alarm": alarm("a", onset_us=START_US, raised_us=START_US),
        "events": [
            event(State.RAISED, Grade.RED, latched=True),
            event(State.CLEARED, Grade.RED, step=2, active=False, latched=True, event_us=START_US + 60 * US),
        ],
        "decisions": [Decision(1, START_US, ["journal"], "first red")],
        "acknowledgements": [Acknowledgement(1, 1, "officer", "on my way", START_US + 20 * US)],
        "commands": [],
        "notifications": [
            Message(
                "m1", "contact:shop-1:2", "sms", True, "accepted", "", False, "", [],
                [Stamped("accepted", START_US + US), Stamped("delivered", START_US + 3 * US)],
            )
        ],
        "comments": [Comment(1, "officer", "<b>smoke</b> seen", START_US + 30 * US)],
        "readings": [(START_US - n * US, 20.0) for n in range(10, 0, -1)] + [(START_US, 95.0)],
    }  # fmt: skip
    return AlarmDetail(**(told | more))


def test_a_story_is_told_newest_first_with_every_act_and_the_furthest_hop() -> None:
    """`Sent` and `accepted` of a message that has arrived are noise."""
    told = [moment.title for moment in story(detail(), EN, {"contact:shop-1:2": "Wang, owner"})]
    assert told == [
        "Over; it waits for a reset",
        "officer",
        "Acknowledged by officer",
        "Message has reached Wang, owner (SMS)",
        "Raised as Red",
    ]
    assert story(detail(), EN, {})[3].title == "Message has reached a former contact (SMS)"
    assert story(detail(), EN, {})[1].text == "<b>smoke</b> seen"


def test_a_raise_says_what_was_measured_and_by_which_rule() -> None:
    """The officer asks why before anything else."""
    raised = story(detail(), ZH, {})[-1]
    assert raised.title == "产生红色报警"
    assert raised.text == "95 °C，限值 56 °C · 持续 10 秒 · 规则 heat.fire"


def test_who_was_told_is_a_name_or_a_place_in_the_order() -> None:
    """Only who may see contacts is given their names; the place is the one that the contact has now, not its id."""
    heard = [Heard("contact:shop-1:7", "sms", "accepted", START_US, place=2), Heard("journal", "journal", "sent", 1)]
    told = detail(alarm=alarm("a", heard=heard))
    li = Contact(enterprise="shop-1", order=2, id=7, name="Li", duty="guard")
    assert who("contact:shop-1:7", names_of(told, [li], EN), EN) == "Li guard"
    assert who("contact:shop-1:7", names_of(told, [], ZH), ZH) == "联系人 2"
    assert who("contact:shop-1:3", names_of(told, [li], ZH), ZH) == "原联系人"
    assert who("journal", names_of(told, [], EN), EN) == "journal"


def test_a_contact_who_answered_by_the_link_is_named_as_of_then() -> None:
    """The line said the recipient's name for the program in place of what the person had written."""
    answered = [Acknowledgement(1, 1, "Wang Li", "", START_US + 20 * US, "contact:shop-1:7")]
    (said,) = [one for one in story(detail(acknowledgements=answered), EN, {"contact:shop-1:7": "contact 2"})
               if one.icon == "done"]  # fmt: skip
    assert (said.title, said.text) == ("Acknowledged by Wang Li", "by the link of the message to contact 2")


def test_reasons_are_words_and_unknown_ones_stay_as_they_are() -> None:
    """Nothing the desk says is swallowed."""
    assert reason("no recipient takes blue", EN) == "no recipient takes this grade"
    assert reason("something new", ZH) == "something new"


def test_quantities_and_spans_are_as_people_write_them() -> None:
    """A load is a multiple, a flag is nothing."""
    assert quantity(2.6, "", "load", EN) == "2.6 × rated"
    assert quantity(1.0, "flag", "smoke", EN) == ""
    assert quantity(None, "Cel", "heat", EN) == ""
    assert quantity(12345.6, "mA", "residual", EN) == "12346 mA"
    assert (span(9, EN), span(252, EN), span(7500, ZH)) == ("9 s", "4 min 12 s", "2 小时 05 分")


def test_thinning_keeps_order_and_every_peak() -> None:
    """A single reading at 300 °C among ten thousand is the evidence."""
    readings = [(n, 20.0 + n % 7) for n in range(10_000)]
    readings[4711] = (4711, 300.0)
    kept = thinned(readings, 1000)
    assert len(kept) <= 1000
    assert (4711, 300.0) in kept
    assert kept == sorted(kept)
    assert thinned(readings[:50], 1000) == readings[:50]


def test_an_axis_holds_everything_between_round_numbers() -> None:
    """A person reads it at a glance."""
    for values in ([20.0, 95.0, 56.0], [0.0], [5.0, 5.0], [-40.0, -3.0], [0.001, 0.0042], [1e5, 9e5]):
        least, most, step = axis(values)
        assert least <= min(values) <= max(values) <= most
        assert 0 < step <= most - least
        assert abs((most - least) / step - round((most - least) / step)) < 1e-6


def test_a_baseline_is_said_only_with_enough_before_the_onset() -> None:
    """`Not yet able to say` is never written as normal."""
    assert baseline([(n, 20.0) for n in range(20)], 20) == 20.0
    assert baseline([(n, 20.0) for n in range(3)], 20) is None


def test_a_chart_has_its_limit_its_onset_and_its_unit() -> None:
    """What a line means stands on it."""
    assert limits(detail()) == [(56.0, "red")]
    drawn = options(detail(), EN)
    lines = drawn["series"][0]["markLine"]["data"]
    assert [line.get("yAxis") for line in lines if "yAxis" in line] == [56.0, 20.0]
    assert lines[-1]["xAxis"] == START_US / 1000
    assert drawn["yAxis"]["name"] == "°C"
