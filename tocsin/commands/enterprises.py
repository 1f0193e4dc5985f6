"""`tocsin enterprises`: who is watched, with zones, contacts and devices: from files, into files, and to look at."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table as Grid

from registry.applying import NewLogin, Report
from registry.columns import Sort
from registry.directory import Directory
from registry.importing import RowProblem, Table, read
from registry.trades import trade_of
from registry.views import LONGEST_PAGE, EnterpriseView, Wanted
from schemas.enterprises import Contact
from schemas.errors import ConfigError, TocsinError
from schemas.viewers import Viewer, house
from tocsin.settings import connect_dsn

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Enterprises, their zones, contacts and devices.\n\nFor example: `tocsin enterprises import enterprises.csv`",
)

Data = Annotated[Path | None, typer.Option(help="The data directory of the Tocsin that is meant.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
Code = Annotated[str, typer.Argument(metavar="CODE", help="The enterprise, as in its topics.")]
_SHOWN_PROBLEMS = 50
_SORTS = ", ".join(Sort)


class NotImported(TocsinError):
    """Files with bad rows; nothing was changed."""


@app.command(name="import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV or TOML, in any order.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good rows, and leave the bad ones.")] = False,
    as_: Annotated[str | None, typer.Option("--as", help=f"What the files are about: {_SORTS}.")] = None,
    logins: Annotated[
        Path | None, typer.Option(help="Make a login for every new device, and write them into this new file.")
    ] = None,
    problems: Annotated[Path | None, typer.Option(help="Write every problem into this file, as CSV.")] = None,
    by: Annotated[str, typer.Option(help="Who does this.")] = "house",
    data: Data = None,
    json: Json = False,
) -> None:
    """Import districts, enterprises, zones, contacts and devices: all files or nothing.

    For example: `tocsin enterprises import districts.csv enterprises.csv --dry-run`
    """
    started = time.monotonic()
    tables = [table for file in files for table in _read(file, _sort(as_))]
    if logins is not None and logins.exists():
        raise ConfigError(f"{logins} is there already.", field="--logins", mend="Name a new file: secrets are in it.")
    bar = _Bar(quiet=json)
    with _directory(data) as directory:
        report, made = directory.apply(
            house(_name(by)), tables, dry_run=dry_run, skip_bad=skip_bad, logins=logins is not None, progress=bar
        )
    bar.end()
    if logins is not None and report.imported:
        _write_logins(logins, made)
    if problems is not None:
        _write_problems(problems, report.problems)
    if json:
        _print_json(report)
    else:
        _print_report(report, time.monotonic() - started, problems, skip_bad)
    if report.wrong and not (dry_run or report.imported):
        raise NotImported(
            f"{report.wrong} problems; nothing was imported.", mend="Mend the rows, or leave them out with --skip-bad."
        )
    if report.wrong and dry_run and not skip_bad:
        raise typer.Exit(1)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go: districts.csv, enterprises.csv …")],
    only: Annotated[str | None, typer.Option(help=f"One of {_SORTS}.")] = None,
    data: Data = None,
) -> None:
    """Write everything as CSV files, which `import` reads back unchanged. Contacts' numbers are in them.

    For example: `tocsin enterprises export ./registry`
    """
    folder.mkdir(parents=True, exist_ok=True)
    sort = _sort(only, "--only")
    with _directory(data) as directory:
        for one in [sort] if sort else list(Sort):
            file = folder / f"{one}.csv"
            with _private(file) as out:
                for piece in directory.export(house(), one):
                    out.write(piece)
            typer.echo(str(file))


@app.command(name="list")
def list_(
    district: Annotated[list[str] | None, typer.Option(help="Only of this district; repeatable.")] = None,
    trade: Annotated[str, typer.Option(help="Only of this trade, or of those that begin so: H62.")] = "",
    text: Annotated[str, typer.Option(help="Only with this in code, name or address.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = LONGEST_PAGE,
    data: Data = None,
    json: Json = False,
) -> None:
    """List enterprises, by code.

    For example: `tocsin enterprises list --trade H62 --json`
    """
    with _directory(data) as directory:
        found = _up_to(directory, house(), Wanted(district or (), trade, text), limit)
    if json:
        _print_json(found)
        return
    grid = Grid("code", "name", "trade", "district", "address")
    for one in found:
        grid.add_row(one.code, one.name, trade_of(one.trade).name or one.trade, one.district_name, one.address)
    Console().print(grid if found else "No enterprises.")


@app.command()
def show(code: Code, data: Data = None, json: Json = False) -> None:
    """Show one enterprise with its zones, contacts, devices and latest changes.

    For example: `tocsin enterprises show shop-17`
    """
    viewer = house()
    with _directory(data) as directory:
        enterprise = directory.enterprise(viewer, code)
        shown = {
            "enterprise": enterprise,
            "zones": directory.zones(viewer, code),
            "contacts": directory.contacts(viewer, code),
            "devices": directory.devices(viewer, code).devices,
            "changes": directory.changes(viewer, code, 10).changes,
        }
    if json:
        _print_json(shown)
    else:
        _print_enterprise(shown)


class _Bar:
    """How far an import is: one line on a terminal that is written over, else one every ten thousand rows."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._on_line = False

    def __call__(self, file: str, done: int, about: int) -> None:
        if self._quiet or not done:
            return
        if sys.stderr.isatty():
            typer.echo(f"\r{file}: {done:,} of about {max(done, about):,} rows\x1b[K", err=True, nl=False)
            self._on_line = True
        elif done % 10_000 == 0:
            typer.echo(f"{file}: {done:,} of about {max(done, about):,} rows", err=True)

    def end(self) -> None:
        if self._on_line:
            typer.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def _directory(data: Path | None) -> Iterator[Directory]:
    directory = Directory(connect_dsn(data))
    try:
        yield directory
    finally:
        directory.close()


def _read(file: Path, sort: Sort | None) -> list[Table]:
    try:
        return read(file.name, file.read_bytes(), sort)
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}.", field=str(file)) from error


def _sort(word: str | None, option: str = "--as") -> Sort | None:
    if word is None or word in list(Sort):
        return None if word is None else Sort(word)
    raise ConfigError(f"{word!r} is not known.", field=option, mend=f"Use {_SORTS}.")


def _name(by: str) -> str:
    if not by.strip():
        raise ConfigError("nobody is named.", field="--by", mend="Say who does this.")
    return by.strip()


@contextmanager
def _private(file: Path) -> Iterator[Any]:
    """A file that only its owner may read."""
    with os.fdopen(
        os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline=""
    ) as out:
        yield out


def _write_logins(file: Path, made: list[NewLogin]) -> None:
    with _private(file) as out:
        out.write("username,password\n")
        out.writelines(f"{login.username},{login.password}\n" for login in made)


def _write_problems(file: Path, problems: list[RowProblem]) -> None:
    import csv  # noqa: PLC0415  not needed for --help

    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["file", "row", "column", "what", "mend"])
        writer.writerows([one.file, one.row, one.column, one.what, one.mend] for one in problems)


def _up_to(directory: Directory, viewer: Viewer, wanted: Wanted, limit: int) -> list[EnterpriseView]:
    found: list[EnterpriseView] = []
    cursor = ""
    while len(found) < limit:
        page = directory.enterprises(viewer, wanted, min(limit - len(found), LONGEST_PAGE), cursor)
        found += page.enterprises
        cursor = page.next
        if not cursor:
            break
    return found


def _print_report(report: Report, took_s: float, written: Path | None, skip_bad: bool) -> None:
    console = Console(highlight=False, markup=False)
    for one in report.files:
        how = ", ".join(filter(None, (one.encoding, one.delimiter)))
        counts = f"{one.added:,} new, {one.changed:,} changed, {one.unchanged:,} unchanged, {one.refused:,} refused"
        console.print(f"{one.file} ({one.kind}; {how}): {one.rows:,} rows, {counts}", soft_wrap=True)
    for one in report.files:
        for note in one.notes:
            console.print(f"{one.file}: {note}", soft_wrap=True)
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        where = f"{problem.file} row {problem.row}" + (f", {problem.column}" if problem.column else "")
        console.print(f"{where}: {problem.what} {problem.mend}".rstrip(), soft_wrap=True)
    if report.wrong > _SHOWN_PROBLEMS and written is None:
        more = report.wrong - _SHOWN_PROBLEMS
        console.print(f"and {more:,} problems more; write them into a file with --problems FILE.", soft_wrap=True)
    if report.imported:
        done = "Imported"
    elif report.dry_run:
        done = "Nothing was done; without --dry-run this would be"
        done += (
            " imported"
            if skip_bad or not report.wrong
            else " refused as a whole, or its good rows taken with --skip-bad"
        )
    else:
        done = "Nothing was imported"
    console.print(f"{done} ({took_s:.1f} s).")


def _print_enterprise(shown: dict[str, Any]) -> None:
    console = Console(highlight=False, markup=False)
    one: EnterpriseView = shown["enterprise"]
    trade = trade_of(one.trade)
    console.print(f"{one.code}  {one.name}  {one.name_en}".rstrip())
    console.print(f"  {one.trade} {trade.name}, {one.district_name}, {one.address or 'no address'}", soft_wrap=True)
    facts = {
        "hours": one.hours, "area m²": one.area_m2, "built": one.built, "wired": one.wired,
        "open flame": one.open_flame, "flammables": one.flammables, "people": one.people,
    }  # fmt: skip
    said = ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, ""))
    console.print(f"  {said or 'no facts for the risk'}", soft_wrap=True)
    for zone in shown["zones"]:
        console.print(f"  zone {zone.zone}: {zone.name} {zone.floor}".rstrip())
    for contact in shown["contacts"]:
        console.print(f"  {_contact(contact)}", soft_wrap=True)
    for device in shown["devices"]:
        console.print(f"  device {device.device}: {device.name} {device.zone_name}".rstrip())
    for change in shown["changes"]:
        how = "added" if change.before is None else "removed" if change.after is None else "changed"
        console.print(f"  {change.at:%Y-%m-%d %H:%M} {change.what} {change.key} {how} by {change.who}")


def _contact(contact: Contact) -> str:
    duty = f" ({contact.duty})" if contact.duty else ""
    how = f"{contact.phone or 'no number'} by {', '.join(contact.channels)}"
    return f"{contact.order}. {contact.name}{duty}: {how}, contact:{contact.enterprise}:{contact.id}"


def _print_json(answer: Any) -> None:
    typer.echo(msgspec.json.encode(answer).decode())
