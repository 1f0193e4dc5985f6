"""The table "A rule's life" of docs/reference/detection.md, one case a row."""

from __future__ import annotations

import pytest

from tests.engine_room import Room, a_rule, steps, us

UP = [("raised", "red")]
DOWN = [("cleared", "red")]
S = 1_000_000


def told(room: Room, readings: list[tuple[float, float]]) -> list[tuple[float, str]]:
    """(second, state) of every step that the readings (second, value) give."""
    return [(t, event.state.value) for t, value in readings for event in room.read(t, value)]


@pytest.mark.parametrize(
    ("changes", "readings", "want"),
    [
        ({}, [(0, 20), (1, 50)], [(1, "raised")]),
        ({}, [(0, 20), (1, 49.999)], []),
        ({"high": float("inf"), "low": 5.0}, [(0, 20), (1, 5)], [(1, "raised")]),
        ({"readings": 2}, [(0, 60), (1, 20), (2, 60), (3, 60)], [(3, "raised")]),
        ({"delay_us": 3 * S}, [(0, 60), (2, 60), (3, 60)], [(3, "raised")]),
        ({"delay_us": 3 * S}, [(0, 60), (2, 45), (3, 60), (5, 60), (6, 60)], [(6, "raised")]),
        ({"delay_us": 3 * S, "band": True}, [(0, 60), (2, 60), (3, 45), (4, 60), (5, 60)], [(5, "raised")]),
        ({"delay_us": 3 * S, "band": True}, [(0, 60), (2, 60), (3, 40), (4, 60), (5, 60)], []),
        ({}, [(0, 60), (1, 41), (2, 40)], [(0, "raised"), (2, "cleared")]),
        ({"clear_delay_us": 2 * S}, [(0, 60), (1, 30), (2, 30), (3, 30)], [(0, "raised"), (3, "cleared")]),
        (
            {"clear_delay_us": 2 * S},
            [(0, 60), (1, 30), (2, 45), (3, 30), (4, 30), (5, 30)],
            [(0, "raised"), (5, "cleared")],
        ),
        ({"clear_readings": 2}, [(0, 60), (1, 30), (2, 60), (3, 30), (4, 30)], [(0, "raised"), (4, "cleared")]),
        ({"clear_low": 10.0}, [(0, 60), (1, 5), (2, 30)], [(0, "raised"), (2, "cleared")]),
    ],
    ids=[
        "idle: at the bound it holds",
        "idle: below the bound it does not",
        "idle: a low bound",
        "pending: counts readings, and falls back",
        "pending: for an unbroken time",
        "pending: broken, the time starts anew",
        "pending, band: between counts nothing and breaks nothing",
        "pending, band: a safe reading ends it",
        "active: clears only where it is safe",
        "clearing: for an unbroken time",
        "clearing: not safe is active again",
        "clearing: counts readings, and falls back",
        "clearing: safe has two ends",
    ],
)
def test_a_row_of_the_life_table(
    changes: dict[str, float], readings: list[tuple[float, float]], want: list[tuple[float, str]]
) -> None:
    """Each case is the row of the page that its id names."""
    assert told(Room(a_rule(**changes)), readings) == want


def test_a_hole_in_the_data_freezes_a_timer() -> None:
    """Nobody saw what was between, so only `max_gap` of it counts."""
    room = Room(a_rule(delay_us=10 * S, max_gap_us=4 * S))
    assert room.read(0, 60) == []
    assert room.read(1000, 60) == []
    assert room.read(1004, 60) == []
    assert steps(room.read(1008, 60)) == UP


def test_a_slow_sensor_still_alarms() -> None:
    """2.5 declared periods are the gap of a sensor that speaks every five minutes."""
    room = Room(a_rule(delay_us=600 * S, max_gap_us=60 * S))
    room.facts(period_s=300.0)
    assert room.read(0, 60) == room.read(300, 60) == []
    assert steps(room.read(600, 60)) == UP


def test_onset_is_the_start_of_the_familys_first_condition_and_never_moves() -> None:
    """A pre-alarm that was running when the alarm was raised tells when it began."""
    room = Room(
        a_rule("pre", high=40.0, clear_high=35.0, delay_us=100 * S),
        a_rule("fire", high=60.0, delay_us=2 * S, latched=True),
    )
    room.read(1, 45)
    room.read(5, 70)
    (raised,) = room.read(7, 70)
    assert (raised.onset_us, raised.event_us, raised.evidence.rule) == (us(1), us(7), "fire")


def test_an_on_change_value_holds_until_a_tick_completes_it() -> None:
    """A battery that says 10 % once is low for as long as it says nothing else."""
    low = a_rule(measures="battery", high=float("inf"), low=20.0, clear_low=30.0, clear_high=200.0, delay_us=10 * S)
    room = Room(low, measures="battery")
    room.tick(0)
    assert room.read(0.5, 10, lag=2.0) == []
    assert room.tick(6) == room.tick(12) == []
    (raised,) = room.tick(12.5)
    assert (raised.event_us, raised.evidence.held_s, raised.evidence.value) == (us(12.5), 10.0, 10.0)


def test_a_tick_completes_no_timer_of_a_periodic_sensor() -> None:
    """What a thermometer would have said meanwhile is not known."""
    room = Room(a_rule(delay_us=5 * S))
    room.tick(0)
    room.read(0.5, 60)
    assert [event for t in range(1, 11) for event in room.tick(t)] == []
