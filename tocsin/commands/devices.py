"""`tocsin devices`: devices and logins of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import structs
from rich.console import Console
from rich.table import Column, Table

from registry import store
from registry.devices import SUPPLIES, parse_key
from registry.directory import Directory
from registry.logins import Grant
from registry.views import DeviceView, Placed, Unclaimed, as_placed
from schemas.errors import ConfigError
from schemas.viewers import house
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
Gateway = Annotated[str | None, typer.Option(help="Device of the enterprise through which it speaks.")]
Trade = Annotated[str | None, typer.Option(help="Trade, where it is another than its enterprise's.")]
Zone = Annotated[str | None, typer.Option(help="Zone of the enterprise in which it hangs.")]
Name = Annotated[str | None, typer.Option(help="What people call it.")]
NameEn = Annotated[str | None, typer.Option(help="The same in English.")]


@app.command()
def add(
    key: Key,
    zone: Zone = None,
    name: Name = None,
    name_en: NameEn = None,
    rated_current: RatedCurrent = None,
    period: Period = None,
    supply: Supply = None,
    heat_class: HeatClass = None,
    profile: Profile = None,
    trade: Trade = None,
    gateway: Gateway = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add a device and print its secret, once: only a hash of it is kept.

    For example: `tocsin devices add shop-17/panel --zone kitchen --rated-current 32 --period 60 --supply mains`
    """
    device = _with(_named(key), zone, name, name_en, rated_current, period, supply, heat_class, profile, trade, gateway)
    with _directory(data) as directory:
        if directory.has_device(house(), device.enterprise, device.device):
            mend = "Change it with `tocsin devices set`, or give it a new secret with `tocsin devices renew`."
            raise ConfigError(f"{key} is there already.", mend=mend)
        added = directory.put_device(house(), device)
    _show_secret(key, added.password, json)


@app.command(name="set")
def set_(
    key: Key,
    zone: Zone = None,
    name: Name = None,
    name_en: NameEn = None,
    rated_current: RatedCurrent = None,
    period: Period = None,
    supply: Supply = None,
    heat_class: HeatClass = None,
    profile: Profile = None,
    trade: Trade = None,
    gateway: Gateway = None,
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
    with _directory(data) as directory:
        before = as_placed(directory.device(house(), enterprise, device))
        after = _with(before, zone, name, name_en, rated_current, period, supply, heat_class, profile, trade, gateway)
        if out_of_service is not None:
            after = structs.replace(after, out_of_service=out_of_service)
        changed = directory.put_device(house(), after).device
    if json:
        print(msgspec.json.encode(changed).decode())  # noqa: T201  the answer itself


@app.command()
def unclaimed(
    enterprise: Annotated[str | None, typer.Option(help="Only under this enterprise's name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    data: Data = None,
    json: Json = False,
) -> None:
    """List devices that have spoken and that the registry does not know.

    For example: `tocsin devices unclaimed --enterprise shop-17`
    """
    found: list[Unclaimed] = []
    with _directory(data) as directory:
        cursor = ""
        while len(found) < limit:
            page = directory.unclaimed(house(), limit - len(found), cursor, enterprise)
            found += page.devices
            cursor = page.next
            if not cursor:
                break
    if json:
        print(msgspec.json.encode(found).decode())  # noqa: T201  the answer itself
        return
    out = Console(highlight=False, markup=False)
    for one in found:
        known = "" if one.known_enterprise else "; the registry does not know its enterprise"
        out.print(
            f"{one.enterprise}/{one.device}  unclaimed since {one.heard_at:%Y-%m-%d %H:%M}{known}", soft_wrap=True
        )
        newest = {value.sensor: f" {value.value:g}" for value in one.newest}
        out.print("  " + ", ".join(f"{sensor}{newest.get(sensor, '')}" for sensor in one.sensors), soft_wrap=True)
    if not found:
        out.print("No unclaimed devices.")


@app.command()
def claim(
    key: Key,
    zone: Zone = None,
    name: Name = None,
    name_en: NameEn = None,
    rated_current: RatedCurrent = None,
    period: Period = None,
    supply: Supply = None,
    heat_class: HeatClass = None,
    profile: Profile = None,
    trade: Trade = None,
    gateway: Gateway = None,
    login: Annotated[bool, typer.Option("--login", help="Make it a login of its own, and print its secret.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Take a device that has spoken into the registry. It goes on by the login that it came with.

    For example: `tocsin devices claim shop-17/meter-3 --zone kitchen --name 灶台`
    """
    device = _with(_named(key), zone, name, name_en, rated_current, period, supply, heat_class, profile, trade, gateway)
    with _directory(data) as directory:
        claimed = directory.claim(house(), device, login=login)
    if claimed.password:
        _show_secret(key, claimed.password, json)
    elif json:
        print(msgspec.json.encode(claimed.device).decode())  # noqa: T201  the answer itself
    else:
        Console(highlight=False, markup=False).print(f"{key} is claimed.")


@app.command(name="list")
def list_(
    enterprise: Annotated[str | None, typer.Option(help="Only this enterprise's.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """List devices and what is known of them; never a secret.

    For example: `tocsin devices list --enterprise shop-17 --json`
    """
    devices: list[DeviceView] = []
    with _directory(data) as directory:
        cursor, more = "", True
        while more:
            page = directory.devices(house(), enterprise, cursor=cursor)
            devices += page.devices
            cursor = page.next
            more = bool(cursor)
    if json:
        print(msgspec.json.encode(devices).decode())  # noqa: T201  the answer itself
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


@contextmanager
def _directory(data: Path | None) -> Iterator[Directory]:
    directory = Directory(connect_dsn(data))
    try:
        yield directory
    finally:
        directory.close()


def _named(key: str) -> Placed:
    enterprise, device = parse_key(key)
    return Placed(enterprise=enterprise, device=device)


def _with(
    device: Placed,
    zone: str | None,
    name: str | None,
    name_en: str | None,
    rated_current: float | None,
    period: float | None,
    supply: str | None,
    heat_class: str | None,
    profile: list[str] | None,
    trade: str | None,
    gateway: str | None,
) -> Placed:
    """The device with what was named."""
    named = {
        "zone": zone, "name": name, "name_en": name_en, "rated_current_a": rated_current, "period_s": period,
        "supply": supply, "heat_class": heat_class, "trade": trade, "profiles": tuple(profile) if profile else None,
        "gateway": gateway,
    }  # fmt: skip
    changes: dict[str, Any] = {field: value for field, value in named.items() if value is not None}
    return structs.replace(device, **changes)


def _table(devices: list[DeviceView]) -> Table:
    table = Table(
        Column("device", no_wrap=True),
        "zone",
        "name",
        "rated A",
        "period s",
        "supply",
        "trade",
        "profiles",
        "in service",
    )
    for one in devices:
        known = (one.rated_current_a, one.period_s, one.supply, one.trade)
        words = ["" if value is None else f"{value:g}" if isinstance(value, float) else value for value in known]
        served = "no" if one.out_of_service else "yes"
        table.add_row(
            f"{one.enterprise}/{one.device}",
            one.zone_name or one.zone,
            one.name,
            *words,
            ", ".join(one.profiles),
            served,
        )
    return table


def _show_secret(name: str, secret: str, json: bool) -> None:
    if json:
        print(msgspec.json.encode({"username": name, "password": secret}).decode())  # noqa: T201  the answer itself
        return
    out = Console(highlight=False)
    out.print(f"username  {name}\npassword  {secret}", soft_wrap=True, markup=False)
    out.print("The password is shown this once; only a hash of it is kept.", style="dim")
