"""A live picture of a small city: readings a second, alarms, messages. What `tocsin demo` shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alerting.views import AlarmView
from schemas.alarms import Grade

STYLES = {Grade.BLUE: "blue", Grade.YELLOW: "yellow", Grade.ORANGE: "dark_orange", Grade.RED: "bold white on red"}
_SHOWN_MESSAGES = 8
_SHOWN_ALARMS = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """What the picture shows of one moment."""

    running_s: float
    clients: int
    received: int
    judged: int
    stored: int
    alarms: Sequence[AlarmView]


@dataclass(slots=True)
class Picture:
    """Keeps the last moment, to show rates, and the last messages. `say` may be called from any thread."""

    messages: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN_MESSAGES))
    said: int = 0
    _last: tuple[float, int] = (0.0, 0)
    _rate: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, line: str) -> None:
        with self._lock:
            self.messages.append(line)
            self.said += 1

    def draw(self, seen: Seen) -> RenderableType:
        span_s = seen.running_s - self._last[0]
        if span_s >= 1.0:
            self._rate = (seen.judged - self._last[1]) / span_s
            self._last = (seen.running_s, seen.judged)
        head = Text.assemble(
            ("Tocsin ", "bold"), f"{seen.running_s:4.0f} s   ", (f"{self._rate:,.0f}", "bold cyan"), " readings/s   ",
            f"{seen.judged:,} judged   {seen.stored:,} stored   {seen.clients} sensors' clients   {self.said} messages",
        )  # fmt: skip
        with self._lock:
            lines = [Text(line) for line in self.messages]
        quiet = Text("all is quiet", style="dim")
        return Group(
            head,
            Panel(_alarms(seen.alarms) if seen.alarms else quiet, title="open alarms", title_align="left"),
            Panel(Group(*lines) if lines else Text("none yet", style="dim"), title="messages", title_align="left"),
        )


def _alarms(alarms: Sequence[AlarmView]) -> Table:
    table = Table.grid(padding=(0, 2))
    for alarm in alarms[:_SHOWN_ALARMS]:
        grade = Grade.of(alarm.grade)
        table.add_row(Text(alarm.grade, style=STYLES.get(grade, "")), alarm.kind, alarm.subject, alarm.standing)
    if len(alarms) > _SHOWN_ALARMS:
        table.add_row(Text(f"and {len(alarms) - _SHOWN_ALARMS} more", style="dim"))
    return table


def watch(
    console: Console, look: Callable[[], Seen], picture: Picture, until: Callable[[], bool], every_s: float = 0.25
) -> None:
    """Show the picture until `until` says so: alive on a terminal, elsewhere one line every few seconds."""
    from rich.live import Live  # noqa: PLC0415  only a terminal needs it

    if console.is_terminal:
        with Live(console=console, refresh_per_second=4, screen=False) as live:
            while not until():
                live.update(picture.draw(look()))
                time.sleep(every_s)
        return
    shown = 0.0
    while not until():
        seen = look()
        if seen.running_s - shown >= 5.0:
            shown = seen.running_s
            worst = f"worst {seen.alarms[0].grade} {seen.alarms[0].subject}" if seen.alarms else "all is quiet"
            console.print(
                f"{seen.running_s:4.0f} s  {seen.judged:,} readings judged, {seen.stored:,} stored, "
                f"{len(seen.alarms)} open alarms ({worst}), {picture.said} messages"
            )
        time.sleep(every_s)
