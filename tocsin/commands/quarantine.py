"""`tocsin quarantine`: messages that were refused, why, and their replay after the mend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from ingest.payloads import Payloads, WantedRefusals, name_text, read_name
from registry.devices import parse_key
from schemas.errors import ConfigError
from schemas.payloads import Mend, RefusedDetail, RefusedMessage, Told
from schemas.viewers import house
from tocsin.payload_parts import open_payloads
from tocsin.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Messages that were refused, and their replay.\n\nFor example: `tocsin quarantine list`",
)

Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Device = Annotated[
    str | None, typer.Option(metavar="ENTERPRISE[/DEVICE]", help="Only of this device, or of an enterprise's.")
]
Code = Annotated[str | None, typer.Option(help="Only what was refused for this, such as unknown_measure.")]
Field = Annotated[str | None, typer.Option(help="Only messages of which this field was refused.")]
Number = Annotated[str, typer.Argument(metavar="MESSAGE", help="As `list` names it.")]

TRIED_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.2


@app.command(name="list")
def list_(
    device: Device = None,
    code: Code = None,
    field: Field = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were replayed, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many, the newest.")] = 50,
    data: Data = None,
    json: Json = False,
) -> None:
    """List refused messages, newest first: what was wrong with them, and how to mend it.

    For example: `tocsin quarantine list --device shop-17/boiler`
    """
    with open_payloads(data) as payloads:
        page = payloads.quarantine(house(), _wanted(device, code, field, everything), limit)
    if json:
        _print_json(page)
        return
    out, language = Console(highlight=False), Settings.told().language
    for one in page.messages:
        where = f"{one.enterprise}/{one.device}" if one.device else one.topic
        out.print(
            f"{name_text(one)}  {_time(one.arrival_us)} UTC  {where}  {standing(one)}", markup=False, soft_wrap=True
        )
        _print_told(out, one, language)
    if not page.messages:
        out.print("Nothing was refused.")
    if page.next:
        out.print("There are more: narrow with --device, --code or --field, or raise --limit.", style="dim")


@app.command()
def show(message: Number, data: Data = None, json: Json = False) -> None:
    """Show a refused message with its payload.

    For example: `tocsin quarantine show 1795580363223220`
    """
    with open_payloads(data) as payloads:
        detail = payloads.show(house(), *read_name(message))
    if json:
        _print_json(detail)
    else:
        print_detail(Console(highlight=False), detail, Settings.told().language)


@app.command()
def replay(
    messages: Annotated[list[str] | None, typer.Argument(metavar="MESSAGE", help="As `list` names them.")] = None,
    device: Device = None,
    code: Code = None,
    field: Field = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait, of every device.")] = False,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="KEY=MEASURE", help="What a key of the payload meant; repeatable.")
    ] = None,
    factor: Annotated[
        list[str] | None, typer.Option(metavar="KEY=NUMBER", help="Multiply a key's value; repeatable.")
    ] = None,
    leave_out: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Pass over a key; repeatable.")] = None,
    numbers_in_text: Annotated[bool, typer.Option("--numbers-in-text", help='Take "21.5" for 21.5.')] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until all were tried.")] = True,
    data: Data = None,
    json: Json = False,
) -> None:
    """Admit refused messages again, after the mend. They enter as history: by their own `ts`, else as of their arrival.

    For example: `tocsin quarantine replay --device shop-17/boiler --rename temprature=temperature`
    """
    if not (messages or device or code or field or everything):
        raise ConfigError(
            "nothing is named.", field="MESSAGE", mend="Name messages, --device, --code, --field or --all."
        )
    if messages and (device or code or field or everything):
        raise ConfigError("messages are named already.", field="--device", mend="Leave out one or the other.")
    mend = Mend(
        _pairs(rename, "--rename"),
        {key: _number(said) for key, said in _pairs(factor, "--factor").items()},
        tuple(leave_out or ()),
        numbers_in_text,
    )
    names = [read_name(one) for one in messages] if messages else None
    wanted = names if names is not None else _wanted(device, code, field, False)
    with open_payloads(data) as payloads:
        asked = payloads.replay(house(), wanted, mend).asked
        left = _wait(payloads) if wait and asked else 0
    if json:
        _print_json({"asked": asked, "left": left})
        return
    typer.echo(
        f"{asked} messages are tried again" + (f", {left} still wait to be: is the door running?" if left else ".")
    )
    if asked:
        typer.echo("What was refused again stands in `tocsin quarantine list` with its new reasons.")


def in_words(said: Told, language: str) -> tuple[str, str]:
    """Reason and mend."""
    return (said.reason_zh, said.mend_zh) if language == "zh" else (said.reason, said.mend)


def standing(one: RefusedMessage) -> str:
    if one.replayed_us:
        return f"replayed {_time(one.replayed_us)}"
    if one.asked_us:
        return f"asked for by {one.asked_by}"
    return "refused again" if one.tries else "waits" if one.is_whole else "only its head was kept"


def print_detail(out: Console, detail: RefusedDetail, language: str) -> None:
    """A refused message as a person at a terminal reads it."""
    one = detail.message
    out.print(f"message {name_text(one)}, {_time(one.arrival_us)} UTC, {standing(one)}", markup=False)
    out.print(f"topic {one.topic}, client {one.client!r}, {one.bytes} bytes", markup=False, soft_wrap=True)
    _print_told(out, one, language)
    out.print("payload" + (", its beginning:" if detail.is_cut else ":"), style="dim")
    out.print(detail.hex or detail.text, markup=False, soft_wrap=True)
    if detail.suggestion and not one.replayed_us:
        words = [f"--rename {key}={to}" for key, to in detail.suggestion.rename.items()]
        words += ["--numbers-in-text"] if detail.suggestion.numbers_in_text else []
        out.print("If that is what was meant:", style="dim")
        out.print(f"  tocsin quarantine replay {name_text(one)} {' '.join(words)}", markup=False, soft_wrap=True)


def _print_told(out: Console, one: RefusedMessage, language: str) -> None:
    for said in one.told:
        reason, mend = in_words(said, language)
        out.print(f"  {said.field or '(the message)'}: {reason} → {mend}", markup=False, soft_wrap=True)


def _wanted(device: str | None, code: str | None, field: str | None, everything: bool) -> WantedRefusals:
    enterprise, name = (parse_key(device) if "/" in device else (device, "")) if device else ("", "")
    return WantedRefusals(enterprise, name, code or "", field or "", None if everything else True)


def _wait(payloads: Payloads) -> int:
    """Messages that were asked for and not tried in time."""
    until = time.monotonic() + TRIED_WITHIN_S
    while True:
        left = payloads.asked(house())
        if not left or time.monotonic() > until:
            return left
        time.sleep(_LOOK_EVERY_S)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one in given or ():
        key, sign, value = one.rpartition("=")
        if not (sign and key and value):
            raise ConfigError(f"{one!r} is not KEY=VALUE.", field=option)
        pairs[key] = value
    return pairs


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a number.", field="--factor") from error


def _time(us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(us / 1e6))


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())  # noqa: T201  the answer itself
