"""The score of an enterprise over time: exact at any instant, and the next instant at which its colour would change.

Between two inputs the score moves only by itself: alarms halve, windows slide on, a detector that is out stays out.
All of that is known beforehand, so a `Curve` is made once of a state and asked at any instant at or after it. Between
two of its corners the score is a constant, an exponential and a straight line; a change is found by halving.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from schemas.alarms import Grade, Kind
from schemas.risk import KnockOut, RiskColour, Said
from scoring.risk_hazard import HazardTerm, hazard_of, next_year_of
from scoring.risk_state import YEAR_US, Life, RiskState
from scoring.risk_table import DAY_US, HOUR_US, RiskTable, risk_table

FOREVER = 1 << 62
_BURNS = (Kind.FIRE.value, Kind.GAS.value)
_NEAR = 1e-9
"""A bound as near as this to a limit is looked at exactly."""
_ORANGE = int(Grade.ORANGE)
_LN2 = math.log(2.0)


class KindSum:
    """The alarms of one kind. opened, fading: their points, as `Curve.alarms_open` and `alarms_fading` have them."""

    __slots__ = ("count", "fading", "open", "opened", "worst")

    def __init__(self) -> None:
        self.count = self.open = self.worst = 0
        self.opened = self.fading = 0.0


class Curve:
    """Of one state. Everything is of instants at or after `begin_us`; none of it changes the state."""

    __slots__ = (
        "_all_until", "_closed_until", "_false_until", "_half_us", "_hazard_until", "_late_from", "_late_until",
        "_lost_until", "_table", "_window_us", "alarms_fading", "alarms_open", "anchor_us", "begin_us", "burning",
        "electrical", "fires_us", "hazard", "intervals", "kinds", "knock_outs_from", "lost_divisor_us", "state",
        "watched",
    )  # fmt: skip

    def __init__(self, state: RiskState, begin_us: int) -> None:
        table = self._table = risk_table()
        self.state = state
        self.begin_us = begin_us
        self._half_us = table.alarms.half_life_d * DAY_US
        self._window_us = table.protection.hours * HOUR_US
        year = year_of(begin_us)
        self.hazard: HazardTerm = hazard_of(state.facts, year)
        older = next_year_of(state.facts, year)
        self._hazard_until = FOREVER if older is None else start_of_year(older)
        strain = state.strain
        self.electrical = 100.0 * strain.strained / strain.hours if strain is not None and strain.hours else 0.0
        self.fires_us = [fire.at_us for fire in state.fires]
        self._walk(table)

    def _walk(self, table: RiskTable) -> None:
        state = self.state
        lives = state.lives
        weights = table.alarms.of_grades()
        families = table.protection.families
        anchor = self.anchor_us = max(
            [state.left_us, *[life.closed_us for life in lives if life.closed_us is not None]]
        )
        half_us = self._half_us
        month_us, quiet_us = table.response.days * DAY_US, table.nuisance.days * DAY_US
        opened, fading = 0.0, state.left * 2.0 ** ((state.left_us - anchor) / half_us) if state.left else 0.0
        kinds: dict[str, KindSum] = {}
        all_until: list[int] = []
        late_from: list[int] = []
        late_until: list[int] = []
        closed_until: list[int] = []
        false_until: list[int] = []
        lost: dict[str, list[tuple[int, int]]] = {}
        out: set[str] = set()
        window, begin_us = self._window_us, self.begin_us
        self.burning: list[Life] = []
        self.knock_outs_from: list[tuple[int, str, Life]] = []
        for life in lives:
            closed_us = life.closed_us
            if life.family in families:
                out.add(life.device)
                end = FOREVER if closed_us is None else closed_us
                if end + window > begin_us:
                    lost.setdefault(life.device, []).append((life.raised_us, end))
            if life.muted or life.verdict == "test":
                continue
            worst = life.worst
            kind = kinds.get(life.kind)
            if kind is None:
                kind = kinds[life.kind] = KindSum()
            kind.count += 1
            kind.worst = max(kind.worst, worst)
            if closed_us is None:
                opened += weights[worst]
                kind.opened += weights[worst]
                kind.open += 1
                self._note_knock_outs(life, table)
            else:
                points = weights[worst] * 2.0 ** ((closed_us - anchor) / half_us)
                fading += points
                kind.fading += points
                closed_until.append(closed_us + quiet_us)
                if life.verdict == "false":
                    false_until.append(closed_us + quiet_us)
            if life.peak >= _ORANGE and not life.history:
                until = life.asked_us + month_us
                all_until.append(until)
                since = _late_since(life, table)
                if since is not None:
                    late_from.append(since)
                    late_until.append(until)
        self.alarms_open, self.alarms_fading, self.kinds = opened, fading, kinds
        self._all_until = sorted(all_until)
        self._late_from, self._late_until = sorted(late_from), sorted(late_until)
        self._closed_until, self._false_until = sorted(closed_until), sorted(false_until)
        self._lost_until = max([end + window for found in lost.values() for _, end in found], default=0)
        self.intervals = {device: _merged(found) for device, found in lost.items()}
        self.watched = max(state.facts.devices, len(out))
        self.lost_divisor_us = self.watched * window

    def _note_knock_outs(self, life: Life, table: RiskTable) -> None:
        if life.grade >= Grade.RED and life.kind in _BURNS:
            self.burning.append(life)
        limits = table.knock_out
        if life.peak >= Grade.RED and life.acked_us is None and not life.history:
            begin = life.asked_us + round(limits.red_unacknowledged_s * 1e6) + 1
            self.knock_outs_from.append((begin, "red_unacknowledged", life))
        if life.family in limits.fire_system_families:
            self.knock_outs_from.append(
                (life.raised_us + round(limits.fire_system_s * 1e6) + 1, "fire_system_out", life)
            )

    # --- the terms at an instant, each 0 to 100 ---

    def hazard_at(self, at_us: int) -> float:
        if at_us < self._hazard_until:
            return self.hazard.value
        return hazard_of(self.state.facts, year_of(at_us)).value

    def alarms_at(self, at_us: int) -> float:
        return min(100.0, self.alarms_open + self.faded_at(at_us))

    def faded_at(self, at_us: int) -> float:
        return self.alarms_fading * 2.0 ** ((self.anchor_us - at_us) / self._half_us) if self.alarms_fading else 0.0

    def protection_at(self, at_us: int) -> float:
        if at_us >= self._lost_until:
            return 0.0
        begin = at_us - self._window_us
        lost = 0
        for found in self.intervals.values():
            for start, end in found:
                seen = (end if end < at_us else at_us) - (start if start > begin else begin)
                if seen > 0:
                    lost += seen
        return min(100.0, self._table.protection.factor * lost / self.lost_divisor_us)

    def out_at(self, at_us: int) -> int:
        """Detectors that do not watch at that instant."""
        return sum(any(start <= at_us < end for start, end in found) for found in self.intervals.values())

    def asked_at(self, at_us: int) -> tuple[int, int]:
        """Orange and red alarms of the last month, and how many of them were answered late or not."""
        asked = len(self._all_until) - bisect_right(self._all_until, at_us)
        late = bisect_right(self._late_from, at_us) - bisect_right(self._late_until, at_us)
        return asked, max(0, late)

    def response_at(self, at_us: int) -> float:
        if not self._all_until:
            return 0.0
        asked, late = self.asked_at(at_us)
        return 100.0 * late / asked if asked else 0.0

    def closed_at(self, at_us: int) -> tuple[int, int]:
        """Alarms that ended in the last month, and how many of them were false."""
        closed = len(self._closed_until) - bisect_right(self._closed_until, at_us)
        return closed, len(self._false_until) - bisect_right(self._false_until, at_us)

    def nuisance_at(self, at_us: int) -> float:
        if not self._false_until:
            return 0.0
        closed, false = self.closed_at(at_us)
        return 100.0 * false / closed if closed >= self._table.nuisance.least else 0.0

    def score_at(self, at_us: int) -> float:
        w = self._table.weight
        return (
            w["H"] * self.hazard_at(at_us)
            + w["A"] * self.alarms_at(at_us)
            + w["X"] * self.electrical
            + w["P"] * self.protection_at(at_us)
            + w["R"] * self.response_at(at_us)
            + w["N"] * self.nuisance_at(at_us)
        )

    # --- knock-outs ---

    def knock_outs_at(self, at_us: int) -> tuple[KnockOut, ...]:
        found = []
        if self.burning:
            first = min(self.burning, key=lambda life: (life.asked_us, life.key))
            said: Said = {"count": len(self.burning), "kind": first.kind, "device": first.device}
            found.append(KnockOut("open_red", first.asked_us, said))
        begun: dict[str, list[tuple[int, Life]]] = {}
        for begin, code, life in self.knock_outs_from:
            if begin <= at_us:
                begun.setdefault(code, []).append((begin, life))
        for code in sorted(begun):
            since, life = min(begun[code], key=lambda one: (one[0], one[1].key))
            found.append(KnockOut(code, since, {"count": len(begun[code]), "device": life.device}))
        fires = [at for at in self.fires_us if at <= at_us < at + YEAR_US]
        if len(fires) > 1:
            found.append(KnockOut("two_fires", fires[-1], {"count": len(fires)}))
        return tuple(found)

    # --- colour ---

    def colour_at(self, at_us: int, before: int) -> RiskColour:
        """before: the colour until then, 0 for none."""
        if self.knock_outs_at(at_us):
            return RiskColour.RED
        return colour_of(self.score_at(at_us), before, self._table)

    def next_due(self, colour: RiskColour) -> int | None:
        """The first instant after `begin_us` at which the colour, which is now `colour`, is another.

        A knock-out that begins or ends is due as well, and a new year that makes the place another by its age. None
        when time alone changes nothing.
        """
        now = self.begin_us
        stops = [begin for begin, _, _ in self.knock_outs_from if begin > now]
        stops += [at + YEAR_US for at in self.fires_us if at + YEAR_US > now and len(self.fires_us) > 1]
        if self._hazard_until < FOREVER:
            stops.append(self._hazard_until)
        horizon = min(stops, default=FOREVER)
        changed = None if self.knock_outs_at(now) else self._leaves_band(colour, horizon)
        due = horizon if changed is None else changed
        return None if due >= FOREVER else due

    def _leaves_band(self, colour: RiskColour, horizon: int) -> int | None:
        """The first instant before `horizon` at which the score is outside the band that keeps `colour`."""
        low, high = band_of(colour, self._table)
        if not self._may_leave(low, high):
            return None
        w = self._table.weight
        steady = w["H"] * self.hazard.value + w["X"] * self.electrical
        w_a, w_p, w_r, w_n = w["A"], w["P"], w["R"], w["N"]
        begin, opened = self.begin_us, self.alarms_open
        faded, lost = self.faded_at(begin), self.protection_at(begin)
        answers = {*self._late_from, *self._all_until} if self._late_from else set()
        response = self.response_at(begin)
        for end in self._corners(horizon):
            later = self.faded_at(end) if end < FOREVER else 0.0
            lost_then = self.protection_at(end)
            if begin in answers:
                response = self.response_at(begin)
            at = steady + w_r * response + w_n * self.nuisance_at(begin)
            most = at + w_a * min(100.0, opened + faded) + w_p * max(lost, lost_then)
            least = at + w_a * min(100.0, opened + later) + w_p * min(lost, lost_then)
            if least <= low + _NEAR or most >= high - _NEAR:
                found = self._first_outside(begin, min(end, begin + 400 * YEAR_US), low, high)
                if found is not None:
                    return found
            begin, faded, lost = end, later, lost_then
        return None

    def _may_leave(self, low: float, high: float) -> bool:
        """Quickly: can time alone bring the score out of the band at all?"""
        w = self._table.weight
        floor = w["H"] * self.hazard.value + w["X"] * self.electrical + w["A"] * min(100.0, self.alarms_open)
        grows = any(found[-1][1] >= FOREVER for found in self.intervals.values())
        ceiling = floor + w["A"] * min(100.0, self.faded_at(self.begin_us))
        ceiling += w["P"] * (100.0 if grows else self.protection_at(self.begin_us))
        ceiling += (w["R"] * 100.0 if self._all_until else 0.0) + (w["N"] * 100.0 if self._false_until else 0.0)
        return floor <= low + _NEAR or ceiling >= high - _NEAR

    def _corners(self, horizon: int) -> list[int]:
        """Where a part of the score has a jump or a bend, in order, after `begin_us`; the last is `horizon`."""
        now = self.begin_us
        found: set[int] = set()
        if self._late_from:
            # While none is late the answers' term is nothing, however many there are.
            found.update(self._late_from)
            last = self._late_until[-1]
            found.update(until for until in self._all_until if until <= last)
        if self._false_until:
            found.update(self._closed_until)
        if self.intervals:
            window = self._window_us
            for device in self.intervals.values():
                for start, end in device:
                    found.update((start + window, end, end + window))
            found.update(self._full_at())
        if self.alarms_open + self.faded_at(now) > 100.0 and self.alarms_open < 100.0:
            # Until the sum is below its cap it stands still.
            full_us = math.log2(self.alarms_fading / (100.0 - self.alarms_open)) * self._half_us
            found.add(self.anchor_us + math.floor(full_us))
        return [*sorted(corner for corner in found if now < corner < horizon), horizon]

    def _full_at(self) -> Iterable[int]:
        """Where the lost hours reach their cap, or leave it: between two corners they are a straight line."""
        window = self._window_us
        full = 100.0 * self.lost_divisor_us / self._table.protection.factor
        total = sum(len(found) for found in self.intervals.values()) * window
        if total <= full:
            return
        corners = sorted(
            {self.begin_us}
            | {
                corner
                for found in self.intervals.values()
                for start, end in found
                for corner in (start + window, end, end + window)
                if self.begin_us < corner < FOREVER
            }
        )
        for begin, end in zip(corners, [*corners[1:], corners[-1] + window], strict=True):
            first, last = self._lost_at(begin), self._lost_at(end)
            if (first - full) * (last - full) < 0:
                at = begin + (full - first) * (end - begin) / (last - first)
                yield math.floor(at)
                yield math.floor(at) + 1

    def _lost_at(self, at_us: int) -> int:
        begin = at_us - self._window_us
        return sum(
            max(0, min(end, at_us) - max(start, begin)) for found in self.intervals.values() for start, end in found
        )

    def _first_outside(self, begin: int, end: int, low: float, high: float) -> int | None:
        """The first instant of [begin, end) with a score outside (low, high). No corner lies in between."""
        turn = self._turn(begin, end)
        marks = [begin, *([] if turn is None else [turn]), end - 1]
        if not low < self.score_at(begin) < high:
            return begin if begin > self.begin_us else None
        for inside, outside in pairwise(marks):
            if not low < self.score_at(outside) < high:
                return self._between(inside, outside, low, high)
        return None

    def _between(self, inside: int, outside: int, low: float, high: float) -> int:
        inside, outside = self._guess(inside, outside, low, high)
        while outside - inside > 1:
            middle = (inside + outside) // 2
            if low < self.score_at(middle) < high:
                inside = middle
            else:
                outside = middle
        return outside

    def _guess(self, inside: int, outside: int, low: float, high: float) -> tuple[int, int]:
        """Narrower limits of the same change, where only alarms move: then its instant is known but for rounding."""
        if self.faded_at(inside) <= 0.0 or self.protection_at(inside) != self.protection_at(outside):
            return inside, outside
        w = self._table.weight
        others = self.score_at(inside) - w["A"] * self.alarms_at(inside)
        # Where it cannot be said, the plain way is taken.
        wanted = (low - others) / w["A"] - self.alarms_open
        if wanted <= 0.0:
            return inside, outside
        guess = self.anchor_us + round(math.log2(self.alarms_fading / wanted) * self._half_us)
        for width in (2, 1 << 12):
            before, after = max(inside, guess - width), min(outside, guess + width)
            if before < after and low < self.score_at(before) < high and not low < self.score_at(after) < high:
                return before, after
        return inside, outside

    def _turn(self, begin: int, end: int) -> int | None:
        """Where falling alarms and rising loss are in balance: the score falls before it and rises after."""
        if not self.intervals or not self.alarms_fading or end - begin < 2:
            return None
        w = self._table.weight
        rise = w["P"] * (self.protection_at(end - 1) - self.protection_at(begin)) / (end - 1 - begin)
        fall = w["A"] * self.faded_at(begin) * _LN2 / self._half_us
        if rise <= 0.0 or fall <= rise:
            return None
        turn = begin + math.floor(math.log2(fall / rise) * self._half_us)
        return turn if begin < turn < end - 1 else None


def colour_of(score: float, before: int, table: RiskTable) -> RiskColour:
    """The colour of a score. A colour that it had is left when the score is `clear_by` below its limit."""
    colour = RiskColour.BLUE
    for after, limit in zip((RiskColour.YELLOW, RiskColour.ORANGE, RiskColour.RED), table.colour.limits(), strict=True):
        if score >= limit or (before >= after and score > limit - table.colour.clear_by):
            colour = after
    return colour


def band_of(colour: RiskColour, table: RiskTable) -> tuple[float, float]:
    """A place that has `colour` keeps it while its score is between these, both excluded."""
    limits = (-math.inf, *table.colour.limits(), math.inf)
    low = limits[colour - 1] - table.colour.clear_by
    return low, limits[colour]


def year_of(at_us: int) -> int:
    """The year (UTC) of an instant."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).year


def start_of_year(year: int) -> int:
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


def _late_since(life: Life, table: RiskTable) -> int | None:
    """From when on an orange or red alarm counts as answered late or never; None: it does not."""
    if life.was_late:
        return 0
    limit_us = table.response.limit_us(life.peak)
    if life.acked_us is not None:
        return 0 if life.acked_us - life.asked_us > limit_us else None
    return life.asked_us + limit_us + 1


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without overlaps, in order."""
    if len(intervals) == 1:
        return intervals
    found: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
