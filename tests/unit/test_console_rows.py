"""What a browser is given of the open alarms: all once, then what changed; and the reds that ring."""

from __future__ import annotations

from typing import Any

import msgspec

from alerting.views import Heard, WatchedAlarm
from console.rows import Rows, rows_of, unit_word, unseen_reds
from console.words import words_of
from schemas.alarms import Kind, State

AT_US = 1_790_000_000_000_000


def alarm(key: str, **more: Any) -> WatchedAlarm:
    told: dict[str, Any] = {
        "key": key, "step": 1, "state": State.RAISED, "standing": "active_unacknowledged", "enterprise": "shop-1",
        "device": "kitchen", "subject": "shop-1/kitchen/temperature", "measure": "temperature", "family": "heat",
        "kind": Kind.FIRE, "grade": "red", "open": True, "active": True, "latched": True, "acknowledged": False,
        "acknowledged_by": "", "suppression": "none", "raised_step": 1, "onset_us": AT_US, "raised_us": AT_US,
        "event_us": AT_US, "rule": "heat.heavy", "value": 95.0, "limit": 90.0, "unit": "Cel", "late": False,
        "told": [], "enterprise_name": "乐味面馆", "enterprise_name_en": "Lewei Noodles", "zone_name": "厨房",
        "zone_name_en": "Kitchen",
    }  # fmt: skip
    return WatchedAlarm(**(told | more))


def seen(*alarms: WatchedAlarm, before: Rows | None = None, at_us: int = AT_US) -> Rows:
    return rows_of(alarms, total=len(alarms), grades={"red": len(alarms)}, as_of_us=at_us, before=before)


def test_only_what_changed_is_sent_again() -> None:
    """A hundred rows on two hundred desks must cost little."""
    first = seen(alarm("a"), alarm("b"))
    second = seen(alarm("a", acknowledged=True, step=2), alarm("c"), before=first)
    change = second.change_from(first)
    assert [row["key"] for row in change["rows"]] == ["a", "c"]
    assert change["gone"] == ["b"]
    assert (first.number, change["number"], change["total"], change["whole"]) == (1, 2, 2, False)
    assert second.change_from(second)["rows"] == []


def test_a_row_is_plain_data_with_its_unit_in_words() -> None:
    """It goes to the browser as JSON."""
    heard = [Heard("contact:shop-1:1", "sms", "accepted", AT_US)]
    row = seen(alarm("a", heard=heard)).whole()["rows"][0]
    msgspec.json.encode(row)
    assert (row["unit_word"], row["heard"][0]["recipient"]) == (" °C", "contact:shop-1:1")
    assert (unit_word("ppm"), unit_word("flag"), unit_word("")) == (" ppm", "", "")


def test_quiet_begins_when_the_last_alarm_goes_and_goes_on() -> None:
    """`Nothing open for …` counts from there."""
    busy = seen(alarm("a"))
    quiet = seen(before=busy, at_us=AT_US + 5)
    later = seen(before=quiet, at_us=AT_US + 9)
    assert (busy.quiet_since_us, quiet.quiet_since_us, later.quiet_since_us) == (None, AT_US + 5, AT_US + 5)
    assert later.whole()["quiet_since"] == (AT_US + 5) / 1000


def test_reds_ring_until_somebody_takes_notice_and_again_when_raised_again() -> None:
    """What is suppressed, acknowledged or less than red is silent."""
    rows = seen(
        alarm("a"), alarm("b", acknowledged=True), alarm("c", grade="orange"), alarm("d", suppression="shelved"),
        alarm("e", raised_step=3),
    )  # fmt: skip
    reds = unseen_reds(rows, words_of("en"))
    assert [red["id"] for red in reds] == ["a/1", "e/3"]
    assert reds[0]["what"] == "Fire · Lewei Noodles · Kitchen"
    assert unseen_reds(rows, words_of("zh"))[0]["what"] == "火灾 · 乐味面馆 · 厨房"
