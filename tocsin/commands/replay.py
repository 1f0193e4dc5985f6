"""`tocsin replay`: recorded files through the engine, off line."""

from __future__ import annotations

import csv
import math
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.alarms import AlarmEvent
from schemas.errors import ConfigError
from schemas.readings import F64
from schemas.rules import RulePack
from streams.packs import load_pack
from streams.replay import Replay, Replayed, SensorSpec, Summary, sensors_of
from streams.replay_sources import Clock, Recording

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

SCORE_HALF = 36.0
"""z² at which the score is one half: six standard deviations."""
_COLOURS = {"blue": "blue", "yellow": "yellow", "orange": "dark_orange", "red": "bold white on red"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV (.gz, .xz), Parquet or JSON lines.")],
    sensor: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=MEASURE[UNIT]:COLUMN",
            help="A column as a sensor; repeatable. COLUMN may have * and ?, then a * in NAME stands for the column.",
        ),
    ],
    time_: Annotated[
        str,
        typer.Option("--time", metavar="COLUMN[:KIND]", help="KIND is iso, epoch, epoch_ms or seconds (from a start)."),
    ] = "",
    rules: Annotated[Path | None, typer.Option(metavar="PACK", help="A pack; the default one if left out.")] = None,
    alarms: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one JSON line per alarm event.")] = None,
    scores: Annotated[Path | None, typer.Option(metavar="DIR", help="Write NAME.csv: each reading's score.")] = None,
    naive: Annotated[bool, typer.Option("--naive", help="Judge by the slow twin, to compare.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the alarm events as JSON lines.")] = False,
) -> None:
    """Judge recorded files as if they came in now; each file is a run of its own.

    For example: `tocsin replay fire.csv.gz --sensor 'room=temperature[degF]:TC1' --sensor '*=smoke[OD/m]:SM*'`

    Seconds from a start count from 2000-01-01. `t` in the answers is the file's own time: as it stands there if it
    counts from a start, else seconds since the file's first row.
    """
    pack = load_pack(rules)
    specs = [SensorSpec.parse(text) for text in sensor]
    column, clock = _time_option(time_)
    if len(set(files)) < len(files):
        raise ConfigError("a file is named twice.", field="FILE", mend="Name each once.")
    runs = [(recording := Recording(path, column, clock), sensors_of(recording, specs, several=len(files) > 1))
            for path in files]  # fmt: skip
    names = [replayed.name for _, sensors in runs for replayed in sensors]
    if len(set(names)) < len(names):
        raise ConfigError("two files have the same name.", field="FILE", mend="Rename one: sensors are STEM/NAME.")
    started = time.monotonic()
    with ExitStack() as stack:
        out = Out(stack, alarms, scores, json)
        summaries = _run_all(runs, pack, naive, out)
    _tell(summaries, time.monotonic() - started)


class Out:
    """Where events and scores go."""

    def __init__(self, stack: ExitStack, alarms: Path | None, scores: Path | None, json: bool) -> None:
        self._stack = stack
        self._lines: IO[bytes] | None = stack.enter_context(alarms.open("wb")) if alarms else None
        self._scores = scores
        self._files: dict[str, Any] = {}
        self._json = json
        self._console = Console(highlight=False)

    @property
    def wants_scores(self) -> bool:
        return self._scores is not None

    def event(self, names: dict[str, str], event: AlarmEvent, t: float) -> None:
        """One alarm event; names: a device key → the sensor's name."""
        said = line_of(event, names.get(f"{event.enterprise}/{event.device}", event.subject), t)
        if self._lines is not None:
            self._lines.write(msgspec.json.encode(said) + b"\n")
        if self._json:
            print(msgspec.json.encode(said).decode())  # noqa: T201  the answer itself
        elif self._lines is None:
            colour = _COLOURS[event.grade.word]
            value = "" if event.evidence.value is None else f"{event.evidence.value:.4g} {event.evidence.unit}"
            self._console.print(
                f"{t:>12.1f} s  [{colour}]{event.grade.word:<6}[/] {event.state.value:<9} {event.kind.value:<10} "
                f"{event.evidence.rule:<12} {escape(said['sensor'])}  {value}",
                soft_wrap=True,
            )

    def scored(self, sensor: Replayed, written: pa.Array, t: F64, value: F64, score: F64) -> None:
        """Some rows of one sensor's score file."""
        assert self._scores is not None
        if sensor.name not in self._files:
            path = self._scores / f"{sensor.name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._stack.enter_context(path.open("w", encoding="utf-8", newline=""))
            self._files[sensor.name] = csv.writer(file, lineterminator="\n")
            self._files[sensor.name].writerow(("timestamp", "t", "value", "anomaly_score"))
        said = ["" if math.isnan(s) else f"{s:.6g}" for s in score.tolist()]
        rows = zip(written.to_pylist(), np.round(t, 6).tolist(), value.tolist(), said, strict=True)
        self._files[sensor.name].writerows(rows)


def line_of(event: AlarmEvent, sensor: str, t: float) -> dict[str, Any]:
    """One alarm event as its line says it."""
    z = event.evidence.score
    return {
        "key": event.key,
        "sensor": sensor,
        "measure": event.measure,
        "family": event.family,
        "kind": event.kind.value,
        "rule": event.evidence.rule,
        "state": event.state.value,
        "grade": event.grade.word,
        "event_time": (_EPOCH + timedelta(microseconds=event.event_us)).isoformat().replace("+00:00", "Z"),
        "t": t,
        "value": event.evidence.value,
        "limit": _as_said(event.evidence.limit),
        "score": None if z is None else z * z / (z * z + SCORE_HALF),
    }


def _as_said(limit: float | None) -> float | None:
    """An exclusive limit is kept as the next float; a person reads the number that was written."""
    return None if limit is None else float(f"{limit:.12g}")


def _run_all(runs: list[tuple[Recording, list[Replayed]]], pack: RulePack, naive: bool, out: Out) -> list[Summary]:
    summaries = []
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[readings]:,} readings"),
        TimeElapsedColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("replay", total=len(runs), readings=0)
        done = 0
        for recording, sensors in runs:
            names = {f"{s.sensor.enterprise}/{s.sensor.device}": s.name for s in sensors}
            run = Replay(
                recording,
                sensors,
                pack,
                naive=naive,
                on_event=partial(out.event, names),
                on_scores=out.scored if out.wants_scores else None,
            )
            for summary in run.run():
                bar.update(task, description=recording.path.name, readings=done + summary.readings)
            done += run.summary.readings
            bar.advance(task)
            summaries.append(run.summary)
    return summaries


def _time_option(text: str) -> tuple[str, Clock | None]:
    """COLUMN[:KIND]; a column's own name may have colons."""
    column, colon, kind = text.rpartition(":")
    if colon and kind in tuple(Clock):
        return column, Clock(kind)
    return text, None


def _tell(summaries: list[Summary], seconds: float) -> None:
    readings = sum(s.readings for s in summaries)
    refused = sum(s.refused for s in summaries)
    raised: dict[str, int] = {}
    for summary in summaries:
        for grade, count in summary.raised.items():
            raised[grade] = raised.get(grade, 0) + count
    alarms = ", ".join(f"{count} {grade}" for grade, count in sorted(raised.items())) or "none"
    note = f"; {refused:,} values refused as outside of anything physical" if refused else ""
    rate = readings / seconds if seconds > 0 else 0.0
    text = f"{len(summaries)} runs, {readings:,} readings in {seconds:.1f} s ({rate:,.0f}/s)."
    Console(stderr=True).print(f"{text} Alarms raised: {alarms}{note}.", highlight=False, soft_wrap=True)
