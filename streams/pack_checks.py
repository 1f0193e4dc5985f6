"""Can a rule do what it says? Each limit reads well by itself; these checks look at the rule as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator

from schemas.alarms import Grade, Kind
from schemas.measures import BY_NAME, Measure, Reporting
from schemas.rules import Rule, Signal
from streams.pack_text import Table

RED_FIRE_DELAY_US = 20_000_000
"""A red of kind fire may wait no longer, so that detecting and telling stay near 10 s + 10 s."""
TIMED = frozenset({Signal.STUCK, Signal.SILENCE})
"""Signals that are themselves a time: their limit is `at_least`."""

_MEASURED = frozenset({Signal.VALUE, Signal.RATED, Signal.RATE, Signal.ABOVE_BASELINE, Signal.BASELINE})
_DEVICE_FAMILY = {"silence": Signal.SILENCE, "clock": Signal.CLOCK}


def is_flag_rule(rule: Rule) -> bool:
    """All its measures are true or false, so it raises and clears on `is`."""
    named = bool(rule.measures) and all(n in BY_NAME and BY_NAME[n].flag for n in rule.measures)
    return named and rule.signal is Signal.VALUE


def check_rule(table: Table, rule: Rule) -> None:
    """Add to the table's mistakes whatever makes `rule` impossible, or unfit for its grade."""
    measures = [BY_NAME[name] for name in rule.measures if name in BY_NAME]
    _limits_fit(table, rule, measures)
    if rule.signal is Signal.Z and rule.grade > Grade.YELLOW:
        table.wrong("grade", "a statistical score alone raises at most yellow.", 'Write grade = "blue".')
    if (rule.signal is Signal.Z) != (rule.kind is Kind.ANOMALY):
        table.wrong("kind", 'signal "z" and kind "anomaly" belong together.', "Change one.")
    for family, signal in _DEVICE_FAMILY.items():
        if (rule.family == family) != (rule.signal is signal):
            table.wrong("family", f'family "{family}" and signal "{family}" belong together.', "Change one.")
    speaks_once = bool(measures) and all(m.flag or m.reporting is Reporting.ON_CHANGE for m in measures)
    pages = rule.grade >= Grade.ORANGE and rule.signal in _MEASURED and not speaks_once
    if pages and not rule.delay_us and rule.readings < 2:
        what = f"no measured value pages {rule.grade.word} on one reading."
        table.wrong("raise", what, 'Add for = "10s" or readings = 2.')
    if rule.kind is Kind.FIRE and rule.grade is Grade.RED and rule.delay_us > RED_FIRE_DELAY_US:
        table.wrong("raise", "a red of kind fire waits at most 20 s.", 'Write for = "20s" or less, or a lower grade.')


def _limits_fit(table: Table, rule: Rule, measures: list[Measure]) -> None:
    if rule.signal in TIMED or is_flag_rule(rule):
        return
    if rule.high <= rule.low:
        table.wrong("raise", "its two limits meet: it would hold at every value.", "Keep the upper above the lower.")
        return
    for side, raised, cleared in (("below", rule.high, rule.clear_high), ("above", rule.low, rule.clear_low)):
        if math.isfinite(raised) and not math.isfinite(cleared):
            table.wrong("clear", f"it never says {side} what value it is safe.", f"Add {side} = ….")
        elif math.isinf(raised) and math.isfinite(cleared):
            table.wrong("clear", f"`{side}` clears a side that never raises.", f"Remove `{side}`.")
    if any(math.isfinite(c) and math.isfinite(r) and c >= r for c, r in _sides(rule)):
        table.wrong("clear", "clear lies inside raise: the alarm would flutter.", "Leave a gap between the two.")
    if rule.signal is Signal.VALUE:
        for measure in measures:
            lowest, highest = measure.instrument
            out = [b for b in (rule.high, rule.low) if math.isfinite(b) and not lowest <= b <= highest]
            if out:
                table.wrong(
                    "raise",
                    f"{out[0]:g} is outside what a sensor of `{measure.name}` shows ({lowest:g} to {highest:g}).",
                    f"The unit is {measure.unit or 'the number itself'}.",
                )


def _sides(rule: Rule) -> Iterator[tuple[float, float]]:
    """(clear, raise) of both sides, turned so that a clear at or beyond its raise is the larger."""
    yield rule.clear_high, rule.high
    yield -rule.clear_low, -rule.low
