"""`tocsin rules`: the rules by which readings are judged; see `docs/reference/rules.md`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from schemas.errors import ServiceAway
from schemas.rules import Rule, RulePack, Signal
from streams.pack_checks import is_flag_rule
from streams.packs import load_pack
from tocsin.settings import connect_dsn

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Rule packs.\n\nFor example: `tocsin rules check my-rules.toml`",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A rule pack in TOML.")]
Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

LOGGED_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.05
_BEHIND_S = 0.4
"""Counting a hundred thousand rows that wait is not done twenty times a second."""


@app.command()
def check(file: File, json: Json = False) -> None:
    """Check a rule pack; exit code 1 with line, field and mend of every mistake.

    For example: `tocsin rules check my-rules.toml`
    """
    pack = load_pack(file)
    if json:
        _print_json({"version": pack.version, "rules": len(pack.rules), "overrides": len(pack.overrides)})
    else:
        counts = f"{len(pack.rules)} rules, {len(pack.overrides)} overrides"
        typer.echo(f"{file} is good: {counts}, version {pack.version}.")


@app.command(name="list")
def list_(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A pack; the default one if left out.")] = None,
    active: Annotated[bool, typer.Option("--active", help="The pack by which a running Tocsin judges.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """List the rules of a pack: what raises, what clears, and why.

    For example: `tocsin rules list --json`
    """
    pack = _active(data) if active else load_pack(file)
    if json:
        _print_json({"version": pack.version, "rules": [_shape(rule) for rule in pack.rules]})
        return
    table = Table(box=None, title=f"pack {pack.name}, version {pack.version}", title_justify="left")
    for column in ("rule", "grade", "measure", "raises", "clears", "profile"):
        table.add_column(column)
    for rule in pack.rules:
        grade = rule.grade.word + (" ▲" if rule.latched else "")
        measures = ", ".join(rule.measures) or ("device" if rule.signal is Signal.SILENCE else "any")
        table.add_row(rule.id, grade, measures, raises(rule), clears(rule), rule.profile)
    Console().print(table)
    Console().print("▲ latched: waits for a person's reset after it has cleared.", style="dim")


@app.command()
def activate(file: File, data: Data = None, json: Json = False) -> None:
    """Judge by another pack from now on. Alarms of rules it no longer has are withdrawn.

    For example: `tocsin rules activate my-rules.toml`
    """
    from streams import activation  # noqa: PLC0415  psycopg is not needed to check a file

    pack = load_pack(file)
    dsn = connect_dsn(data)
    asking = activation.ask_to_activate(dsn, pack)
    moved, ahead = time.monotonic(), activation.ahead_of(dsn, asking)
    with Console(stderr=True).status("") as status:
        while (entries := activation.entries_of(dsn, asking)) is None:
            if ahead and (left := activation.ahead_of(dsn, asking)) != ahead:
                moved, ahead = time.monotonic(), left
            if time.monotonic() > moved + LOGGED_WITHIN_S:
                raise ServiceAway("tocsin", "the pack waits to be taken into the log.", mend="Is `tocsin up` running?")
            status.update(f"waits behind {ahead:,} others, such as the devices of an import" if ahead else "waits")
            time.sleep(_BEHIND_S if ahead else _LOOK_EVERY_S)
    if json:
        _print_json({"version": pack.version, "entries": entries})
    else:
        typer.echo(f"{file} is active: version {pack.version}, from log entry {max(entries)} on.")


def raises(rule: Rule) -> str:
    """The raising condition in words: `≥ 56 for 10 s`."""
    if rule.signal is Signal.SILENCE:
        periods = f", {rule.periods:g} periods" if rule.periods else ""
        return f"silent {duration(rule.high * 1e6)}{periods} ({rule.watch.name.lower()})"
    if rule.signal is Signal.STUCK:
        return f"the same for {duration(rule.high * 1e6)}"
    words = [_limit("≥", ">", rule.high, -math.inf), _limit("≤", "<", rule.low, math.inf)]
    said = " or ".join(word for word in reversed(words) if word)
    if is_flag_rule(rule):
        said = "is true" if math.isfinite(rule.high) else "is false"
    said = said if rule.signal is Signal.VALUE else f"{rule.signal.name.lower()} {said}"
    if math.isfinite(rule.floor):
        said += f", {100 * rule.floor:g} % of the reserve" if rule.signal is Signal.Z else f", value ≥ {rule.floor:g}"
    said += f" {'in sum' if rule.band else 'for'} {duration(rule.delay_us)}" if rule.delay_us else ""
    return said + (f", {rule.readings} readings" if rule.readings > 1 else "")


def clears(rule: Rule) -> str:
    """The clearing condition in words: `< 50 for 300 s`."""
    words = [_limit("≥", ">", rule.clear_low, -math.inf), _limit("≤", "<", rule.clear_high, math.inf)]
    said = " and ".join(word for word in words if word) or "heard again"
    if is_flag_rule(rule):
        said = "is true" if math.isfinite(rule.clear_low) else "is false"
    if rule.signal is Signal.STUCK:
        said = "it changes"
    said += f" for {duration(rule.clear_delay_us)}" if rule.clear_delay_us else ""
    return said + (f", {rule.clear_readings} readings" if rule.clear_readings > 1 else "")


def duration(us: float) -> str:
    """In the largest unit that leaves a whole number: `10 s`, `2 h`."""
    for name, size in (("d", 86_400e6), ("h", 3_600e6), ("min", 60e6), ("s", 1e6)):
        if us >= size and us % size == 0 and (name != "min" or us >= 10 * size) and (name != "d" or us > size):
            return f"{us / size:g} {name}"
    return f"{us / 1e6:g} s"


def _limit(inclusive: str, strict: str, bound: float, towards: float) -> str:
    """A bound as a person writes it: one float beside a round number is that number, exclusive."""
    if not math.isfinite(bound):
        return ""
    neighbour = math.nextafter(bound, towards)
    if len(repr(neighbour)) < len(repr(bound)):
        return f"{strict} {neighbour:g}"
    return f"{inclusive} {bound:g}"


def _shape(rule: Rule) -> dict[str, Any]:
    """A rule as JSON; bounds are inclusive, None where there is none."""
    shape: dict[str, Any] = msgspec.to_builtins(rule)
    for name, value in shape.items():
        if isinstance(value, float) and not math.isfinite(value):
            shape[name] = None
    shape |= {"grade": rule.grade.word, "signal": rule.signal.name.lower(), "watch": rule.watch.name.lower()}
    return shape | {"raises": raises(rule), "clears": clears(rule)}


def _active(data: Path | None) -> RulePack:
    from streams import activation  # noqa: PLC0415  psycopg is not needed to list a file

    pack = activation.active_pack(connect_dsn(data))
    return pack if pack is not None else load_pack()


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())  # noqa: T201  the answer itself
