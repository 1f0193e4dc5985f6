"""The chart of an alarm's evidence: readings around it, the limits that were passed, what was usual, when it began."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from statistics import median
from typing import Any

from alerting.views import AlarmDetail
from console.rows import unit_word
from console.words import Words
from schemas.alarms import State

MOST_POINTS = 1200
"""More are thinned: of every stretch its least and its greatest stay, so that no peak is lost."""
_LEAST_BEFORE = 8
"""With fewer readings before the onset nothing is said about what is usual."""
_GRADE = {
    "red": "var(--red)",
    "orange": "var(--orange)",
    "yellow": "var(--yellow-fill)",
    "blue": "var(--blue)",
}


def options(detail: AlarmDetail, words: Words) -> dict[str, Any]:
    """For ECharts, drawn as SVG so that colours are the page's own. `detail.readings` is there and not empty."""
    alarm, readings = detail.alarm, detail.readings or []
    points = [[at_us / 1000, value] for at_us, value in thinned(readings, MOST_POINTS)]
    unit = unit_word(alarm.unit).strip()
    lines: list[dict[str, Any]] = []
    for limit, grade in limits(detail):
        lines.append(
            {
                "yAxis": limit,
                "lineStyle": {"color": _GRADE.get(grade, "var(--soft)"), "type": "solid", "width": 1.5},
                "label": _label(f"{words('alarm.limit')} {limit:g}{unit_word(alarm.unit)}", "insideEndTop"),
            }
        )
    usual = baseline(readings, alarm.onset_us)
    if usual is not None:
        lines.append(
            {
                "yAxis": usual,
                "lineStyle": {"color": "var(--soft)", "type": "dashed", "width": 1},
                "label": _label(f"{words('alarm.baseline')} {usual:.4g}{unit_word(alarm.unit)}", "insideStartTop"),
            }
        )
    for key, at_us in (("onset", alarm.onset_us), ("raised", alarm.raised_us)):
        lines.append(
            {
                "xAxis": at_us / 1000,
                "lineStyle": {"color": "var(--ink)", "type": "dotted", "width": 1},
                "label": _label(words(f"alarm.{key}"), "end"),
            }
        )
    if lines[-1]["xAxis"] - lines[-2]["xAxis"] < (points[-1][0] - points[0][0]) / 8:
        del lines[-1]  # the two words would lie on each other
    least, most, step = axis([value for _, value in readings] + [limit for limit, _ in limits(detail)])
    text = {"color": "var(--soft)", "fontFamily": "inherit", "fontSize": 12}
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 54, "right": 16, "top": 30, "bottom": 30},
        "tooltip": {
            "trigger": "axis",
            "backgroundColor": "var(--surface)",
            "borderColor": "var(--line)",
            "textStyle": {"color": "var(--ink)"},
        },
        "xAxis": time_axis(),
        "yAxis": {
            "type": "value",
            "name": unit,
            "nameTextStyle": text,
            "axisLabel": text,
            "min": least,
            "max": most,
            "interval": step,
            "splitLine": {"lineStyle": {"color": "var(--line)"}},
        },
        "series": [
            {
                "type": "line",
                "name": words("measure." + alarm.measure) if "measure." + alarm.measure in words else alarm.measure,
                "data": points,
                "showSymbol": len(points) < 40,
                "symbolSize": 5,
                "lineStyle": {"color": "var(--accent)", "width": 2},
                "itemStyle": {"color": "var(--accent)"},
                "markLine": {"symbol": "none", "silent": True, "data": lines},
            }
        ],
    }


def time_axis() -> dict[str, Any]:
    """All of its labels in one size, none in bold, with room between two of them."""
    said = {
        "color": "var(--soft)", "fontSize": 12, "fontWeight": "normal", "fontFamily": "sans-serif", "padding": [0, 6],
    }  # fmt: skip
    return {
        "type": "time",
        "splitNumber": 4,
        "axisLabel": {**said, "hideOverlap": True, "rich": {"primary": said}},
        "axisLine": {"lineStyle": {"color": "var(--line)"}},
        "splitLine": {"show": False},
    }


def limits(detail: AlarmDetail) -> list[tuple[float, str]]:
    """(limit, grade) of the rules that raised or regraded it, each limit once, by its worst grade."""
    found: dict[float, int] = {}
    words: dict[int, str] = {}
    for event in detail.events:
        if event.state in (State.RAISED, State.REGRADED) and event.evidence.limit is not None:
            found[event.evidence.limit] = max(int(event.grade), found.get(event.evidence.limit, 0))
            words[int(event.grade)] = event.grade.word
    return sorted((limit, words[grade]) for limit, grade in found.items())


def baseline(readings: Sequence[tuple[int, float]], onset_us: int) -> float | None:
    """The median before the alarm began; None when too little is known."""
    before = [value for at_us, value in readings if at_us < onset_us]
    return median(before) if len(before) >= _LEAST_BEFORE else None


def thinned(readings: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most about `most` of them, in order."""
    if len(readings) <= most:
        return list(readings)
    stretch = -(-len(readings) * 2 // most)
    kept: list[tuple[int, float]] = []
    for start in range(0, len(readings), stretch):
        part = readings[start : start + stretch]
        ends = {min(range(len(part)), key=lambda i: part[i][1]), max(range(len(part)), key=lambda i: part[i][1])}
        kept += [part[i] for i in sorted(ends)]
    return kept


def _label(text: str, position: str) -> dict[str, Any]:
    return {"formatter": text, "position": position, "color": "var(--ink)", "fontSize": 11}


def axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Least, greatest and step of an axis that holds them all, in numbers that a person reads."""
    low, high = min(values), max(values)
    rough = (high - low) / 4 or max(abs(high) / 4, 0.25)
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    least, most = floor(low / step) * step, ceil(high / step) * step
    return round(least, 9), round(most if most > least else least + step, 9), round(step, 9)
