"""`tocsin accounts`: who may come in to the console and its API, and as what."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.errors import ConfigError
from schemas.viewers import MAY, Act, Role, house
from tocsin.data_directory import DataDirectory
from tocsin.settings import Settings, connect_dsn

if TYPE_CHECKING:
    from registry.account_rows import Account
    from registry.accounts import Accounts

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Accounts of people and keys of programs.\n\nFor example: `tocsin accounts add li --role operator`",
)

Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The account's login.")]
Districts = Annotated[list[str] | None, typer.Option("--district", help="A district it sees, by code; repeatable.")]
Enterprises = Annotated[list[str] | None, typer.Option("--enterprise", help="An enterprise it sees; repeatable.")]
Name = Annotated[str | None, typer.Option(help="The person's name.")]
Language = Annotated[str | None, typer.Option(help="zh or en.")]
AskPassword = Annotated[bool, typer.Option("--password", help="Ask for a password; from a pipe: its first line.")]


@app.command()
def add(
    login: Login,
    role: Annotated[Role, typer.Option(help="What it may do; see `tocsin accounts table`.")],
    name: Name = None,
    district: Districts = None,
    enterprise: Enterprises = None,
    language: Language = None,
    password: AskPassword = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Add an account. Without a password it prints a link that logs in once.

    For example: `tocsin accounts add li --role supervisor --district 310101 --name "Li Wei"`
    """
    given: dict[str, Any] = {"districts": tuple(district or ()), "enterprises": tuple(enterprise or ())}
    given |= {field: value for field, value in (("name", name), ("language", language)) if value is not None}
    given |= {"password": _ask_password()} if password else {}
    with _accounts(data) as accounts:
        account = accounts.add(house(), login, role, **given)
        link = "" if password else _link(data, accounts.make_link(login))
    if json:
        _print(_shape(account) | ({"link": link} if link else {}))
        return
    out = Console(highlight=False)
    out.print(f"{login} is {role}.")
    if link:
        _show_link(out, link)


@app.command(name="list")
def list_(data: Data = None, json: Json = False) -> None:
    """List accounts; never a password.

    For example: `tocsin accounts list --json`
    """
    with _accounts(data) as accounts:
        found = accounts.list(house())
    if json:
        _print([_shape(account) for account in found])
        return
    table = Table("login", "name", "role", "sees", "language", "comes in by")
    for one in found:
        sees = "all" if one.viewer.sees_all else ", ".join((*one.districts, *one.enterprises))
        way = "nothing: disabled" if one.disabled else "password" if one.has_password else "a link"
        table.add_row(one.login, escape(one.name), one.role.value, sees, one.language, way)
    Console().print(table)


@app.command()
def change(
    login: Login,
    role: Annotated[Role | None, typer.Option(help="Another role.")] = None,
    name: Name = None,
    district: Districts = None,
    enterprise: Enterprises = None,
    sees_all: Annotated[bool, typer.Option("--sees-all", help="No districts and enterprises any more.")] = False,
    language: Language = None,
    password: AskPassword = False,
    enable: Annotated[bool, typer.Option("--enable", help="Let a disabled account in again.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Change an account; what is not named stays. Another role, scope or password ends its sessions.

    For example: `tocsin accounts change li --district 310101 --district 310104`
    """
    changes: dict[str, Any] = {}
    changes |= {"role": role} if role is not None else {}
    changes |= {field: value for field, value in (("name", name), ("language", language)) if value is not None}
    changes |= {"districts": tuple(district)} if district else {}
    changes |= {"enterprises": tuple(enterprise)} if enterprise else {}
    changes |= {"sees_all": True} if sees_all else {}
    changes |= {"password": _ask_password()} if password else {}
    changes |= {"disabled": False} if enable else {}
    if not changes:
        raise ConfigError("nothing is to be changed.", mend="Name what is; see `tocsin accounts change --help`.")
    with _accounts(data) as accounts:
        account = accounts.change(house(), login, **changes)
    if json:
        _print(_shape(account))


@app.command()
def disable(login: Login, data: Data = None) -> None:
    """Let an account open nothing any more: no password, no session, no link, no key.

    For example: `tocsin accounts disable li`
    """
    with _accounts(data) as accounts:
        accounts.disable(house(), login)


@app.command()
def link(
    login: Login,
    minutes: Annotated[int, typer.Option(min=1, max=7 * 24 * 60, help="How long it opens.")] = 15,
    forget_password: Annotated[bool, typer.Option("--forget-password", help="And take the old password away.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print a link that logs in once, for somebody who has no password or has forgotten it.

    For example: `tocsin accounts link admin --minutes 60`
    """
    with _accounts(data) as accounts:
        if forget_password:
            accounts.change(house(), login, password="")
        made = _link(data, accounts.make_link(login, minutes * 60))
    if json:
        _print({"login": login, "link": made})
        return
    _show_link(Console(highlight=False), made)


@app.command()
def key(
    login: Login,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a key with which a program does what the account may do, and print it, once: only a hash of it is kept.

    For example: `tocsin accounts key acme "works planner"`
    """
    with _accounts(data) as accounts:
        made = accounts.make_key(house(), name, login)
    if json:
        _print({"id": made.id, "key": made.key})
        return
    out = Console(highlight=False)
    out.print(f"key  {made.key}", soft_wrap=True, markup=False)
    out.print("It is shown this once. A program sends it as `Authorization: Bearer KEY`.", style="dim")


@app.command()
def keys(data: Data = None, json: Json = False) -> None:
    """List the keys of programs; never their secrets.

    For example: `tocsin accounts keys`
    """
    with _accounts(data) as accounts:
        found = accounts.keys(house())
    if json:
        _print([msgspec.to_builtins(one) for one in found])
        return
    table = Table("id", "account", "name", "made", "used", "revoked")
    for one in found:
        moments = ("" if at is None else f"{at:%Y-%m-%d %H:%M}" for at in (one.made_at, one.used_at, one.revoked_at))
        table.add_row(one.id, one.login, escape(one.name), *moments)
    Console().print(table)


@app.command()
def revoke(id_: Annotated[str, typer.Argument(metavar="ID", help="As in the list.")], data: Data = None) -> None:
    """Let a key open nothing any more.

    For example: `tocsin accounts revoke 4f2a90c1d3b7`
    """
    with _accounts(data) as accounts:
        accounts.revoke_key(house(), id_)


@app.command()
def audit(
    who: Annotated[str | None, typer.Option(help="Only of this login.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show who did what and what was refused them, newest first.

    For example: `tocsin accounts audit --refused`
    """
    with _accounts(data) as accounts:
        found = accounts.audit(house(), limit, who=who, refused=True if refused else None).entries
    if json:
        _print([msgspec.to_builtins(one) for one in found])
        return
    out = Console(highlight=False, soft_wrap=True)
    for one in found:
        words = (one.who or "nobody known", "was refused" if one.refused else "", one.act, one.subject, one.enterprise)
        told = "  ".join(escape(word) for word in (*words, one.detail) if word)
        out.print(f"{one.at:%Y-%m-%d %H:%M:%S}  {told}")


@app.command()
def table(json: Json = False) -> None:
    """Show what each role may do, within what its account sees.

    For example: `tocsin accounts table`
    """
    if json:
        _print({role.value: sorted(act.value for act in MAY[role]) for role in Role})
        return
    shown = Table("act", *(role.value for role in Role))
    for act in Act:
        shown.add_row(act.value.replace("_", " "), *("yes" if act in MAY[role] else "" for role in Role))
    Console().print(shown)


@contextmanager
def _accounts(data: Path | None) -> Iterator[Accounts]:
    from registry.accounts import Accounts  # noqa: PLC0415  argon2 and psycopg are not needed for --help

    accounts = Accounts(connect_dsn(data))
    try:
        yield accounts
    finally:
        accounts.close()


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != first:
        raise ConfigError("the two are not the same.", field="password", mend="Try again.")
    return first


def _link(data: Path | None, token: str) -> str:
    """With the address of the console of this data directory, where there is one."""
    running = DataDirectory(Settings.told(data=data).data).running()
    port = running.console_port if running else 0
    return f"http://127.0.0.1:{port}/login/link/{token}" if port else f"/login/link/{token}"


def _show_link(out: Console, link: str) -> None:
    out.print(link, soft_wrap=True, markup=False)
    if link.startswith("/"):
        out.print("Put it behind the console's address.", style="dim")
    out.print("It opens once, for whoever has it.", style="dim")


def _shape(account: Account) -> dict[str, Any]:
    shape: dict[str, Any] = msgspec.to_builtins(account)
    shape.pop("phone")
    return shape


def _print(shape: object) -> None:
    print(msgspec.json.encode(shape).decode())  # noqa: T201  the answer itself
