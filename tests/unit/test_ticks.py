"""The house's time, with every clock in hand."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from schemas.entries import ClockStepped, Entry, Payload, Tick
from schemas.errors import ServiceAway
from schemas.readings import ReadingBatch
from streams.log.memory import MemoryLog
from streams.ports import Alongside
from streams.ticking import last_logged_us, run_ticks
from streams.ticks import DOUBT_US, SECOND_US, HouseTime, Ticker

NOW = 1_790_000_000 * SECOND_US
HOUR = 3600 * SECOND_US


class HandClock:
    """A wall and a monotonic clock that move only when told."""

    def __init__(self) -> None:
        self.wall = NOW
        self.monotonic = 5_000

    def wall_us(self) -> int:
        return self.wall

    def monotonic_us(self) -> int:
        return self.monotonic

    def wait_s(self, us: int) -> float:
        self.pass_us(us)
        return 0.0

    def pass_us(self, us: int) -> None:
        self.wall += us
        self.monotonic += us


def seconds(clock: HandClock, ticker: Ticker, count: int) -> list[tuple[Tick | None, ClockStepped | None]]:
    made = []
    for _ in range(count):
        made.append(ticker.tick(clock.wall, clock.monotonic))
        clock.pass_us(SECOND_US)
    return made


def test_a_tick_comes_once_a_second_and_not_before() -> None:
    """Timers count ticks' times, so there must be one a second whatever the load is."""
    clock = HandClock()
    ticker = Ticker(HouseTime(0, clock.wall, clock.monotonic), clock.monotonic)
    assert ticker.tick(clock.wall, clock.monotonic) == (Tick(NOW), None)
    assert ticker.tick(clock.wall, clock.monotonic) == (None, None)
    assert ticker.due_in_us(clock.monotonic) == SECOND_US
    clock.pass_us(SECOND_US)
    assert ticker.tick(clock.wall, clock.monotonic) == (Tick(NOW + SECOND_US), None)


def test_missed_ticks_are_a_hole_and_are_not_made_up_for() -> None:
    """We were blind meanwhile: silence timers must be able to see that."""
    clock = HandClock()
    ticker = Ticker(HouseTime(0, clock.wall, clock.monotonic), clock.monotonic)
    ticker.tick(clock.wall, clock.monotonic)
    clock.pass_us(30 * SECOND_US + 400_000)
    assert ticker.tick(clock.wall, clock.monotonic) == (Tick(NOW + 30 * SECOND_US + 400_000), None)
    assert ticker.due_in_us(clock.monotonic) == 600_000, "the beat stays where it was"


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_step_of_the_wall_clock_is_told_once_and_moves_no_timer(by: int) -> None:
    """Whoever sets the clock must not set off, or hold back, an alarm."""
    clock = HandClock()
    ticker = Ticker(HouseTime(0, clock.wall, clock.monotonic), clock.monotonic)
    seconds(clock, ticker, 5)
    clock.wall += by
    made = seconds(clock, ticker, 60)
    assert [step for _, step in made if step] == [ClockStepped(by, NOW + 5 * SECOND_US)]
    assert [tick.now_us - NOW for tick, _ in made if tick] == [n * SECOND_US for n in range(5, 65)]


def test_a_step_that_is_undone_leaves_no_trace() -> None:
    """A wrong clock that is mended within ten minutes cost nothing but two lines in the log."""
    clock = HandClock()
    ticker = Ticker(HouseTime(0, clock.wall, clock.monotonic), clock.monotonic)
    seconds(clock, ticker, 1)
    clock.wall += HOUR
    seconds(clock, ticker, 100)
    clock.wall -= HOUR
    made = seconds(clock, ticker, 2000)
    assert [step.by_us for _, step in made if step] == [-HOUR]
    assert made[-1][0] == Tick(NOW + 2100 * SECOND_US)


def test_a_step_forward_that_stands_is_followed_at_once() -> None:
    """A machine without a clock of its own, or one that was paused: the new time is the right one."""
    clock = HandClock()
    ticker = Ticker(HouseTime(0, clock.wall, clock.monotonic), clock.monotonic)
    clock.wall += HOUR
    made = [tick.now_us for tick, _ in seconds(clock, ticker, DOUBT_US // SECOND_US + 2) if tick]
    assert made[-1] == clock.wall - SECOND_US
    assert max(b - a for a, b in pairwise(made)) == HOUR + SECOND_US


def test_a_step_back_that_stands_is_followed_without_ever_going_back_or_standing_still() -> None:
    """A house that stood still for an hour would complete no on-delay for an hour."""
    clock = HandClock()
    house = HouseTime(0, clock.wall, clock.monotonic)
    ticker = Ticker(house, clock.monotonic)
    clock.wall -= HOUR
    made = [tick.now_us for tick, _ in seconds(clock, ticker, 40_000) if tick]
    gaps = [b - a for a, b in pairwise(made)]
    assert min(gaps) == 900_000
    assert abs(made[-1] - (clock.wall - SECOND_US)) < 10 * SECOND_US


def test_small_differences_are_made_up_slowly() -> None:
    """Half a minute of a second's error is no reason to move a timer by a second."""
    clock = HandClock()
    ticker = Ticker(HouseTime(0, clock.wall, clock.monotonic), clock.monotonic)
    seconds(clock, ticker, 1)
    clock.wall += 2 * SECOND_US
    made = seconds(clock, ticker, 1000)
    gaps = [b.now_us - a.now_us for (a, _), (b, _) in pairwise(made) if a and b]
    assert max(gaps) <= 1_005_000
    assert all(step is None for _, step in made)
    last = made[-1][0]
    assert last is not None
    assert abs(last.now_us - (clock.wall - SECOND_US)) < 10_000


def test_the_house_goes_on_after_the_log_when_the_wall_clock_is_behind_it() -> None:
    """Over a restart with a clock set back, now still never goes back."""
    clock = HandClock()
    house = HouseTime(NOW + HOUR, clock.wall, clock.monotonic)
    ticker = Ticker(house, clock.monotonic)
    made = [tick.now_us for tick, _ in seconds(clock, ticker, 20) if tick]
    assert made[0] == NOW + HOUR + 1
    assert all(900_000 <= b - a <= 1_000_000 for a, b in pairwise(made))


def test_the_house_never_goes_back_whatever_the_clocks_do() -> None:
    """The door reads it between two looks at the wall clock."""
    clock = HandClock()
    house = HouseTime(NOW + 7, clock.wall, clock.monotonic)
    seen = [house.at(clock.monotonic)]
    for turn in range(400):
        clock.pass_us(turn % 3 * 700_000)
        clock.wall += (-1) ** turn * HOUR * (turn % 50 == 0)
        seen.append(house.at(clock.monotonic))
        house.compare(clock.wall, clock.monotonic)
        seen.append(house.at(clock.monotonic))
    assert seen == sorted(seen)
    assert seen[0] > NOW + 7


def test_the_last_logged_time_is_a_tick_or_an_arrival_beside_it() -> None:
    """After a restart nothing may be stamped before what the log holds."""
    log = MemoryLog()
    assert last_logged_us(log, 0) == 0
    log.append([Tick(100)])
    assert last_logged_us(log, 1) == 100
    log.append([ReadingBatch.of([1, 1], [5, 6], [140, 150], [0, 0], [0, 0], [0, 0])])
    log.append([Tick(149)])
    assert last_logged_us(log, 3) == 150
    log.append([ReadingBatch.of([1], [7], [200 + n], [0], [0], [0]) for n in range(300)])
    assert last_logged_us(log, 303) == 499


class AwayLog:
    """A log that is away for its first `away` appends."""

    def __init__(self, away: int, enough: int) -> None:
        self.away, self.enough = away, enough
        self.stop = threading.Event()
        self.entries: list[Payload] = []

    def append(self, payloads: list[Payload], alongside: Alongside | None = None) -> int:
        if self.away:
            self.away -= 1
            raise ServiceAway("PostgreSQL", "is away")
        self.entries.extend(payloads)
        if len(self.entries) >= self.enough:
            self.stop.set()
        return len(self.entries)

    def read(self, after: int, limit: int = 64) -> list[Entry]:
        return []


def test_a_step_seen_while_the_log_is_away_is_told_when_it_is_back() -> None:
    """The hole shows that we were blind, the entry why our times do not fit."""
    clock = HandClock()
    house = HouseTime(0, clock.wall, clock.monotonic)
    clock.wall += HOUR
    log = AwayLog(away=3, enough=3)
    run_ticks(log, clock, house, log.stop)  # type: ignore[arg-type]
    assert log.entries == [ClockStepped(HOUR, NOW), Tick(NOW + 3 * SECOND_US), Tick(NOW + 4 * SECOND_US)]
