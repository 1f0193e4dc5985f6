"""`tocsin devices`: devices and logins of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import structs
from rich.console import Console
from rich.table import Table

from registry import store
from registry.devices import SUPPLIES, Device, parse_key
from registry.logins import Grant
from schemas.entries import DeviceFacts
from schemas.errors import ConfigError
from tocsin.commands.device_test import test as test_device
from tocsin.settings import connect_dsn

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Devices and logins.\n\nFor example: `tocsin devices add shop-17/panel --rated-current 32`",
)

app.command(name="test")(test_device)

Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Key = Annotated[str, typer.Argument(metavar="ENTERPRISE/DEVICE", help="The device, as in its topics.")]
RatedCurrent = Annotated[float | None, typer.Option(help="Rated current of what it watches, in A.")]
Period = Annotated[float | None, typer.Option(help="How often it reports, in s.")]
Supply = Annotated[str | None, typer.Option(help=f"One of {', '.join(SUPPLIES)}.")]
HeatClass = Annotated[str | None, typer.Option(help="Class of a heat detector by EN 54-5, such as A1 or A2S.")]
Profile = Annotated[list[str] | None, typer.Option(help="A rule profile that holds for it, such as co.us; repeatable.")]
Trade = Annotated[str | None, typer.Option(help="Trade of the enterprise, such as restaurant.")]


@app.command()
def add(
    key: Key,
    rated_current: RatedCurrent = None,
    period: Period = None,
    supply: Supply = None,
    heat_class: HeatClass = None,
    profile: Profile = None,
    trade: Trade = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add a device and print its secret, once: only a hash of it is kept.

    For example: `tocsin devices add shop-17/panel --rated-current 32 --period 60 --supply mains`
    """
    facts = _with(DeviceFacts(*parse_key(key)), rated_current, period, supply, heat_class, profile, trade)
    with store.open_registry(connect_dsn(data)) as connection:
        secret = store.add_device(connection, facts)
    _show_secret(key, secret, json)


@app.command(name="set")
def set_(
    key: Key,
    rated_current: RatedCurrent = None,
    period: Period = None,
    supply: Supply = None,
    heat_class: HeatClass = None,
    profile: Profile = None,
    trade: Trade = None,
    out_of_service: Annotated[
        bool | None, typer.Option("--out-of-service/--in-service", help="Its alarms tell nobody meanwhile.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Change what is known of a device; what is not named stays. The engine follows within seconds.

    For example: `tocsin devices set shop-17/panel --rated-current 63`
    """
    enterprise, device = parse_key(key)
    with store.open_registry(connect_dsn(data)) as connection:
        before = store.facts_of(connection, enterprise, device)
        facts = _with(before, rated_current, period, supply, heat_class, profile, trade)
        if out_of_service is not None:
            facts = structs.replace(facts, out_of_service=out_of_service)
        store.set_facts(connection, facts)
    if json:
        print(msgspec.json.encode(_shape(facts)).decode())  # noqa: T201  the answer itself


@app.command(name="list")
def list_(
    enterprise: Annotated[str | None, typer.Option(help="Only this enterprise's.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """List devices and what is known of them; never a secret.

    For example: `tocsin devices list --enterprise shop-17 --json`
    """
    with store.open_registry(connect_dsn(data)) as connection:
        devices = store.list_devices(connection, enterprise)
    if json:
        shapes = [{**_shape(device.facts), "added_at": device.added_at.isoformat()} for device in devices]
        print(msgspec.json.encode(shapes).decode())  # noqa: T201  the answer itself
        return
    Console().print(_table(devices))


@app.command()
def login(
    name: Annotated[str, typer.Argument(help="The user name.")],
    device: Annotated[list[str] | None, typer.Option(help="ENTERPRISE/DEVICE it publishes for; repeatable.")] = None,
    enterprise: Annotated[list[str] | None, typer.Option(help="It publishes for all its devices; repeatable.")] = None,
    alarms: Annotated[list[str] | None, typer.Option(help="An enterprise whose alarms it reads; repeatable.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add a login for an integrator, a gateway or an enterprise, and print its secret, once.

    For example: `tocsin devices login acme-gateway --device shop-17/panel --device shop-18/panel`
    """
    grants = [Grant("devices", *parse_key(key)) for key in device or ()]
    grants += [Grant("devices", one) for one in enterprise or ()] + [Grant("alarms", one) for one in alarms or ()]
    if not grants:
        raise ConfigError("the login may do nothing.", mend="Name --device, --enterprise or --alarms.")
    with store.open_registry(connect_dsn(data)) as connection:
        secret = store.add_login(connection, name, grants)
    _show_secret(name, secret, json)


@app.command()
def renew(
    name: Annotated[str, typer.Argument(help="The login; of a device ENTERPRISE/DEVICE.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Give a login a new secret and print it, once; the old one opens nothing any more.

    For example: `tocsin devices renew shop-17/panel`
    """
    with store.open_registry(connect_dsn(data)) as connection:
        secret = store.renew_secret(connection, name)
    _show_secret(name, secret, json)


def _with(
    facts: DeviceFacts,
    rated_current: float | None,
    period: float | None,
    supply: str | None,
    heat_class: str | None,
    profile: list[str] | None,
    trade: str | None,
) -> DeviceFacts:
    """The facts with what was named."""
    named = {
        "rated_current_a": rated_current, "period_s": period, "supply": supply, "heat_class": heat_class,
        "trade": trade, "profiles": tuple(profile) if profile else None,
    }  # fmt: skip
    changes: dict[str, Any] = {field: value for field, value in named.items() if value is not None}
    return structs.replace(facts, **changes)


def _shape(facts: DeviceFacts) -> dict[str, Any]:
    return {field: getattr(facts, field) for field in facts.__struct_fields__}


def _table(devices: list[Device]) -> Table:
    table = Table("device", "rated A", "period s", "supply", "heat class", "trade", "profiles", "in service")
    for one in devices:
        facts = one.facts
        known = (facts.rated_current_a, facts.period_s, facts.supply, facts.heat_class, facts.trade)
        words = ["" if value is None else f"{value:g}" if isinstance(value, float) else value for value in known]
        table.add_row(one.key, *words, ", ".join(facts.profiles), "no" if facts.out_of_service else "yes")
    return table


def _show_secret(name: str, secret: str, json: bool) -> None:
    if json:
        print(msgspec.json.encode({"username": name, "password": secret}).decode())  # noqa: T201  the answer itself
        return
    out = Console(highlight=False)
    out.print(f"username  {name}\npassword  {secret}", soft_wrap=True, markup=False)
    out.print("The password is shown this once; only a hash of it is kept.", style="dim")
