"""`tocsin alarms`: the alarms of a running Tocsin, and what a person does about them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from alerting.lists import Wanted
from alerting.people import ASKED, REFUSED, NotPossible, People
from alerting.views import AlarmDetail, AlarmView, WatchedAlarm, decode_cursor
from schemas.alarms import Grade, Kind
from schemas.errors import ConfigError
from schemas.viewers import house
from tocsin.settings import connect_dsn

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Alarms.\n\nFor example: `tocsin alarms list`",
)

Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The alarm's key, as in the list.")]
By = Annotated[str, typer.Option(help="Who does this.")]
Note = Annotated[str, typer.Option(help="Why, or what was found.")]
Step = Annotated[int | None, typer.Option(help="The step that was seen; the newest if left out.")]

ANSWER_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.05
_COLOURS = {"blue": "blue", "yellow": "yellow", "orange": "dark_orange", "red": "bold white on red"}


@app.command(name="list")
def list_(
    open_: Annotated[bool, typer.Option("--open/--all", help="Only those that are open, or ended ones too.")] = True,
    enterprise: Annotated[list[str] | None, typer.Option(help="Only of this enterprise; repeatable.")] = None,
    grade: Annotated[list[str] | None, typer.Option(help="blue, yellow, orange or red; repeatable.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="fire, gas, electrical, fault …; repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    data: Data = None,
    json: Json = False,
) -> None:
    """List alarms, worst first.

    For example: `tocsin alarms list --enterprise shop-17 --json`
    """
    wanted = Wanted(True if open_ else None, _grades(grade), _kinds(kind), enterprise)
    with _people(data) as people:
        alarms = _up_to(people, wanted, limit)
    if json:
        _print_json(alarms)
        return
    console = Console(highlight=False)
    for alarm in alarms:
        colour = _COLOURS.get(alarm.grade, "") if alarm.open else ""
        console.print(
            Text.assemble((f"{alarm.grade:7}", colour), f"{alarm.kind.value:11}{alarm.subject}"), soft_wrap=True
        )
        said = (
            _value(alarm),
            alarm.standing.replace("_", " "),
            f"since {_time(alarm.raised_us)} UTC",
            f"key {alarm.key}",
        )
        console.print("        " + ", ".join(filter(None, said)), style="dim", soft_wrap=True)
    if not alarms:
        console.print("No open alarms." if open_ else "No alarms.")


@app.command()
def show(key: Key, data: Data = None, json: Json = False) -> None:
    """Show one alarm: its steps with their evidence, who was told and when, what people did.

    For example: `tocsin alarms show 5f0c2a…`
    """
    with _people(data) as people:
        detail = people.show(house(), key)
    if json:
        _print_json(detail)
    else:
        _print_detail(detail)


@app.command()
def ack(key: Key, by: By, note: Note = "", step: Step = None, data: Data = None, json: Json = False) -> None:
    """Acknowledge an alarm: you have seen it and take it on.

    For example: `tocsin alarms ack 5f0c2a… --by "Li Wei" --note "on my way"`
    """
    with _people(data) as people:
        alarm = people.acknowledge(house(_name(by)), key, step=step, note=note)
    if json:
        _print_json(alarm)
    else:
        Console().print(f"{alarm.grade} {alarm.kind.value} at {alarm.subject}: acknowledged by {escape(by)}.")


@app.command()
def reset(key: Key, by: By, note: Note = "", step: Step = None, data: Data = None, json: Json = False) -> None:
    """Reset a latched alarm whose condition is over. The engine decides; exit code 1 when it refuses.

    For example: `tocsin alarms reset 5f0c2a… --by "Li Wei" --note "looked, all is well"`
    """
    with _people(data) as people:
        command = people.ask_reset(house(_name(by)), key, step=step, note=note)
        until = time.monotonic() + ANSWER_WITHIN_S
        while command.standing == ASKED and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
            command = people.command(house(), command.key)
    if json:
        _print_json(command)
    if command.standing == REFUSED:
        raise NotPossible(f"the reset was refused: {command.reason}.", mend="Look with `tocsin alarms show`.")
    if not json:
        waits = "asked; the engine has not answered yet, `tocsin alarms show` tells when it has."
        Console().print("reset." if command.standing != ASKED else waits)


@contextmanager
def _people(data: Path | None) -> Iterator[People]:
    people = People(connect_dsn(data), lambda: time.time_ns() // 1000)
    try:
        yield people
    finally:
        people.close()


def _up_to(people: People, wanted: Wanted, limit: int) -> list[WatchedAlarm]:
    alarms: list[WatchedAlarm] = []
    place = None
    while len(alarms) < limit:
        page = people.list_alarms(house(), wanted, limit - len(alarms), place)
        alarms += page.alarms
        if not page.next:
            break
        place = decode_cursor(page.next)
    return alarms


def _print_detail(detail: AlarmDetail) -> None:
    alarm, console = detail.alarm, Console()
    console.print(f"[bold]{alarm.grade} {alarm.kind.value}[/] at {alarm.subject}: {alarm.standing}")
    console.print(f"key {alarm.key}, onset {_time(alarm.onset_us)} UTC")
    reasons = {decision.step: decision for decision in detail.decisions}
    for event in detail.events:
        seen = event.evidence
        limit = "" if seen.limit is None else f" (limit {seen.limit:g})"
        value = "" if seen.value is None else f": {seen.value:g} {seen.unit}{limit}"
        told = reasons[event.step].reason if event.step in reasons else "not planned yet"
        console.print(
            f"  {_time(event.event_us)} step {event.step} {event.state.value} {event.grade.word}, {seen.rule}{value}"
            f"; told: {told}",
            highlight=False,
        )
    for message in detail.notifications:
        sends = ", ".join(attempt.outcome or "no answer yet" for attempt in message.attempts) or "not sent yet"
        console.print(f"  → {message.recipient} by {message.channel}: {message.status} ({sends})", highlight=False)
    for acknowledgement in detail.acknowledgements:
        note = f": {escape(acknowledgement.note)}" if acknowledgement.note else ""
        console.print(f"  {_time(acknowledgement.at_us)} acknowledged by {escape(acknowledgement.by)}{note}")
    for command in detail.commands:
        console.print(f"  {_time(command.asked_us)} {command.action} by {escape(command.by)}: {command.standing}")


def _grades(words: list[str] | None) -> list[Grade] | None:
    try:
        return [Grade.of(word) for word in words] if words else None
    except KeyError as error:
        raise ConfigError(
            f"{error.args[0].lower()!r} is not a warning grade.", field="--grade", mend="Use blue, yellow, orange, red."
        ) from error


def _kinds(words: list[str] | None) -> list[Kind] | None:
    try:
        return [Kind(word) for word in words] if words else None
    except ValueError as error:
        raise ConfigError(f"{error}.", field="--kind", mend=f"Use {', '.join(Kind)}.") from error


def _name(by: str) -> str:
    if not by.strip():
        raise ConfigError("nobody is named.", field="--by", mend="Say who does this.")
    return by.strip()


def _value(alarm: AlarmView) -> str:
    return "" if alarm.value is None else f"{alarm.value:.4g} {alarm.unit}"


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _print_json(answer: Any) -> None:
    typer.echo(msgspec.json.encode(answer).decode())
