"""The score of an enterprise over time, exact at any instant.

Between two inputs the score moves only by itself: alarms halve, windows slide on, a detector that is out stays out.
All of that is known beforehand, so a `Curve` is made once of a state and asked at any instant at or after it.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime

from schemas.alarms import Grade, Kind
from schemas.risk import KnockOut, RiskColour, Said
from scoring.risk_hazard import HazardTerm, hazard_of, next_year_of
from scoring.risk_state import YEAR_US, Life, RiskState
from scoring.risk_table import DAY_US, HOUR_US, RiskTable, risk_table

FOREVER = 1 << 62
_BURNS = (Kind.FIRE.value, Kind.GAS.value)
_ORANGE = int(Grade.ORANGE)


class KindSum:
    """The alarms of one kind. opened, fading: their points, as `Curve.alarms_open` and `alarms_fading` have them."""

    __slots__ = ("count", "fading", "open", "opened", "worst")

    def __init__(self) -> None:
        self.count = self.open = self.worst = 0
        self.opened = self.fading = 0.0


class Curve:
    """Of one state. Everything is of instants at or after `begin_us`; none of it changes the state.

    all_until, late_from, late_until: instants, in order, from which and until which an alarm counts among those that
    were to be answered, or were answered late. closed_until, false_until: the same of those that ended, or were false.
    """

    __slots__ = (
        "alarms_fading", "alarms_open", "all_until", "anchor_us", "begin_us", "burning", "closed_until", "electrical",
        "false_until", "fires_us", "half_us", "hazard", "hazard_until", "intervals", "kinds", "knock_outs_from",
        "late_from", "late_until", "lost_divisor_us", "lost_until", "state", "table", "watched", "window_us",
    )  # fmt: skip

    def __init__(self, state: RiskState, begin_us: int) -> None:
        table = self.table = risk_table()
        self.state = state
        self.begin_us = begin_us
        self.half_us = table.alarms.half_life_d * DAY_US
        self.window_us = table.protection.hours * HOUR_US
        year = year_of(begin_us)
        self.hazard: HazardTerm = hazard_of(state.facts, year)
        older = next_year_of(state.facts, year)
        self.hazard_until = FOREVER if older is None else start_of_year(older)
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
        half_us = self.half_us
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
        window, begin_us = self.window_us, self.begin_us
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
        self.all_until = sorted(all_until)
        self.late_from, self.late_until = sorted(late_from), sorted(late_until)
        self.closed_until, self.false_until = sorted(closed_until), sorted(false_until)
        self.lost_until = max([end + window for found in lost.values() for _, end in found], default=0)
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
        if at_us < self.hazard_until:
            return self.hazard.value
        return hazard_of(self.state.facts, year_of(at_us)).value

    def alarms_at(self, at_us: int) -> float:
        return min(100.0, self.alarms_open + self.faded_at(at_us))

    def faded_at(self, at_us: int) -> float:
        return self.alarms_fading * 2.0 ** ((self.anchor_us - at_us) / self.half_us) if self.alarms_fading else 0.0

    def protection_at(self, at_us: int) -> float:
        if at_us >= self.lost_until:
            return 0.0
        begin = at_us - self.window_us
        lost = 0
        for found in self.intervals.values():
            for start, end in found:
                seen = (end if end < at_us else at_us) - (start if start > begin else begin)
                if seen > 0:
                    lost += seen
        return min(100.0, self.table.protection.factor * lost / self.lost_divisor_us)

    def out_at(self, at_us: int) -> int:
        """Detectors that do not watch at that instant."""
        return sum(any(start <= at_us < end for start, end in found) for found in self.intervals.values())

    def asked_at(self, at_us: int) -> tuple[int, int]:
        """Orange and red alarms of the last month, and how many of them were answered late or not."""
        asked = len(self.all_until) - bisect_right(self.all_until, at_us)
        late = bisect_right(self.late_from, at_us) - bisect_right(self.late_until, at_us)
        return asked, max(0, late)

    def response_at(self, at_us: int) -> float:
        if not self.all_until:
            return 0.0
        asked, late = self.asked_at(at_us)
        return 100.0 * late / asked if asked else 0.0

    def closed_at(self, at_us: int) -> tuple[int, int]:
        """Alarms that ended in the last month, and how many of them were false."""
        closed = len(self.closed_until) - bisect_right(self.closed_until, at_us)
        return closed, len(self.false_until) - bisect_right(self.false_until, at_us)

    def nuisance_at(self, at_us: int) -> float:
        if not self.false_until:
            return 0.0
        closed, false = self.closed_at(at_us)
        return 100.0 * false / closed if closed >= self.table.nuisance.least else 0.0

    def score_at(self, at_us: int) -> float:
        w = self.table.weight
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
        return colour_of(self.score_at(at_us), before, self.table)


def colour_of(score: float, before: int, table: RiskTable) -> RiskColour:
    """The colour of a score. A colour that it had is left when the score is `clear_by` below its limit."""
    colour = RiskColour.BLUE
    for after, limit in zip((RiskColour.YELLOW, RiskColour.ORANGE, RiskColour.RED), table.colour.limits(), strict=True):
        if score >= limit or (before >= after and score > limit - table.colour.clear_by):
            colour = after
    return colour


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
