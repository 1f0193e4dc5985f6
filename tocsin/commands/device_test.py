"""`tocsin devices test`: what came of a device last, what was wrong with it, how to mend it, and who judges it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ingest.payloads import Payloads, UnknownDevice
from registry import store
from registry.devices import parse_key
from schemas.entries import DeviceFacts
from schemas.errors import ConfigError, ServiceAway
from schemas.payloads import DeviceNow
from schemas.rules import Rule
from schemas.viewers import house
from streams import activation
from streams.packs import load_pack
from tocsin.commands.quarantine import print_detail
from tocsin.commands.rules import duration, raises
from tocsin.payload_parts import make_payloads, rules_of
from tocsin.settings import Settings, connect_dsn

Key = Annotated[str, typer.Argument(metavar="ENTERPRISE/DEVICE", help="The device, as in its topics.")]
Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for its next message, and show that.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1, help="Of waiting, at most.")]

_LOOK_EVERY_S = 0.25
_QUALITY = ("", "outside the instrument's range", "its clock is wrong")


def test(key: Key, wait: Wait = False, seconds: Seconds = 600.0, data: Data = None, json: Json = False) -> None:
    """Show what came of a device last, what was wrong with it and how to mend it, and the rules that judge it.

    With --wait its next message is shown as it comes, whether taken or refused: values some seconds after it.

    For example: `tocsin devices test shop-17/panel --wait`
    """
    enterprise, device = parse_key(key)
    dsn = connect_dsn(data)
    with closing(make_payloads(dsn)) as payloads:
        now = _next(payloads, enterprise, device, seconds) if wait else payloads.last(house(), enterprise, device)
    measures = list(dict.fromkeys(one.sensor.partition(".")[0] for one in now.values))
    pack = activation.active_pack(dsn) or load_pack()
    of_measures, of_silence = rules_of(pack, _facts(dsn, now), measures)
    if json:
        shape: dict[str, Any] = msgspec.to_builtins(now)
        shape["rules"] = {name: [rule.id for rule in rules] for name, rules in of_measures.items()}
        shape["rules_of_silence"] = [rule.id for rule in of_silence]
        print(msgspec.json.format(msgspec.json.encode(shape)).decode())  # noqa: T201  the answer itself
        return
    out = Console(highlight=False)
    _print_head(out, now)
    _print_values(out, now, of_measures)
    if of_silence and now.values:
        words = "; ".join(f"{rule.grade.word}: {raises(rule)}" for rule in of_silence)
        out.print(f"silence  {words}", markup=False, soft_wrap=True, style="dim")
    if now.refused is not None:
        out.print()
        out.print(f"refused last ({now.waiting} wait for a replay):", style="bold")
        print_detail(out, now.refused, Settings.told().language)


def _next(payloads: Payloads, enterprise: str, device: str, seconds: float) -> DeviceNow:
    """What is known once the device has said something new. Raises ServiceAway when it has not in time."""
    before = _state(_last(payloads, enterprise, device))
    typer.echo(f"waiting for {enterprise}/{device} …", err=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now = _last(payloads, enterprise, device)
        if now is not None and _state(now) != before:
            return now
        time.sleep(_LOOK_EVERY_S)
    raise ServiceAway(
        f"{enterprise}/{device}", f"nothing came of it in {seconds:g} s.",
        mend="Look at its address, port, user name and topic; `tocsin doctor` says how the door is.",
    )  # fmt: skip


def _last(payloads: Payloads, enterprise: str, device: str) -> DeviceNow | None:
    try:
        return payloads.last(house(), enterprise, device)
    except UnknownDevice:
        return None


def _state(now: DeviceNow | None) -> tuple[int, int]:
    if now is None:
        return 0, 0
    refused = now.refused.message.arrival_us if now.refused is not None else 0
    return max((one.event_us for one in now.values), default=0), refused


def _facts(dsn: str, now: DeviceNow) -> DeviceFacts:
    with store.open_registry(dsn) as connection:
        try:
            return store.facts_of(connection, now.enterprise, now.device)
        except ConfigError:
            return DeviceFacts(now.enterprise, now.device)


def _print_head(out: Console, now: DeviceNow) -> None:
    said = [now.name or now.name_en, f"zone {now.zone}" if now.zone else ""]
    said += ["not in the registry: add it with `tocsin devices add`" if not now.is_registered else ""]
    said += ["out of service: its alarms tell nobody" if now.out_of_service else ""]
    words = ", ".join(word for word in said if word)
    out.print(f"{now.enterprise}/{now.device}" + (f"  {words}" if words else ""), markup=False, style="bold")
    if now.silent is not None:
        out.print(f"silent ({now.silent.grade.word}), alarm {now.silent.alarm}", style="bold red")


def _print_values(out: Console, now: DeviceNow, of_measures: dict[str, list[Rule]]) -> None:
    if not now.values:
        out.print("No reading of it was ever taken.")
        return
    table = Table(box=None)
    for column in ("sensor", "value", "of", "judged by"):
        table.add_column(column)
    for one in now.values:
        rules = of_measures.get(one.sensor.partition(".")[0], [])
        value = "" if one.value is None else f"{one.value:g} {one.unit}"
        odd = _QUALITY[one.quality] if one.quality < len(_QUALITY) else ""
        age = "" if one.value is None else f"{duration(round(one.age_s) * 1e6)} ago" + (f", {odd}" if odd else "")
        table.add_row(one.sensor, value, age, ", ".join(rule.id for rule in rules) or "no rule")
    out.print(table)
