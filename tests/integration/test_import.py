"""Files taken into the registry on PostgreSQL: all or nothing, what was changed, and what a spreadsheet would do."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import structs
from typer.testing import CliRunner

from registry.applying import Report
from registry.columns import Sort
from registry.directory import Directory
from registry.importing import read
from registry.logins import KnownLogins
from registry.store import LoginFollower
from registry.views import as_contact
from schemas.entries import DeviceFacts, EntryKind, decode
from schemas.viewers import NotAllowed, Role, Viewer
from sensors_sim.register import register
from sensors_sim.town import settle as settle_town
from sensors_sim.trades import all_trades
from tests.registry_world import BAR, BUREAU, FITTER, HOUSE, KITCHEN, NOODLES, OWNER, TAILOR, WANG, panel, settle
from tocsin.commands.enterprises import app

pytestmark = pytest.mark.integration
HEAD = "code,name,trade,district\n"


@pytest.fixture
def directory(dsn: str) -> Iterator[Directory]:
    made = settle(dsn)
    yield made
    made.close()


def take(directory: Directory, *files: str | bytes, viewer: Viewer = HOUSE, **more: Any) -> Report:
    tables = [
        table
        for number, file in enumerate(files)
        for table in read(f"{number}.csv", file if isinstance(file, bytes) else file.encode())
    ]
    return directory.apply(viewer, tables, **more)[0]


def counts(report: Report) -> list[tuple[int, int, int, int]]:
    return [(one.added, one.changed, one.unchanged, one.refused) for one in report.files]


def told(dsn: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT body FROM control_outbox ORDER BY id").fetchall()
    return [decode(EntryKind.CONTROL, body) for (body,) in rows]


def test_a_dry_run_says_what_the_import_then_does(directory: Directory) -> None:
    """And changes nothing; a second import finds everything as it is."""
    file = HEAD + "noodles,新面馆,H6210,330106\nbar,100%_酒吧,H6233,330106\nnew,新,F52,330102\n"
    before = directory.changes(HOUSE)
    tried = take(directory, file, dry_run=True)
    assert counts(tried) == [(1, 1, 1, 0)]
    assert (tried.dry_run, tried.imported, tried.wrong) == (True, False, 0)
    assert directory.changes(HOUSE) == before
    done = take(directory, file)
    assert counts(done) == [(1, 1, 1, 0)]
    assert done.imported
    noodles = directory.enterprise(HOUSE, "noodles")
    assert (noodles.name, noodles.version) == ("新面馆", 2)
    assert noodles.people == NOODLES.people, "a column that is not in the file leaves what is there"
    new = directory.enterprise(HOUSE, "new")
    assert (new.timezone, new.address, new.people) == ("Asia/Shanghai", "", None)
    kept = directory.changes(HOUSE).changes[:2]
    assert [(one.what, one.key, one.before is None) for one in kept] == [
        ("enterprise", "new", True),
        ("enterprise", "noodles", False),
    ]
    assert kept[1].before is not None
    assert kept[1].after is not None
    assert {k for k in kept[1].after if kept[1].after[k] != kept[1].before[k]} == {"name"}
    assert counts(take(directory, file)) == [(0, 0, 3, 0)]


def test_one_bad_row_holds_up_all_files_unless_it_is_skipped(directory: Directory) -> None:
    """What a row names must be there, or come with it; a file is good or is looked at."""
    files = (
        "enterprise,zone,name\nnew,back,后间\nnobody,x,x\n",
        HEAD + "new,新,F52,330102\nbad,坏,F52,999999\n",
        "enterprise,device,zone\nnew,panel,back\nnew,other,attic\n",
        "enterprise,order,name,phone\nnew,1,李,13800138001\nbad,1,王,13800138001\n",
    )
    held = take(directory, *files)
    assert not held.imported
    assert counts(held) == [(1, 0, 0, 1)] * 4
    assert [(p.file, p.row, p.column, p.what) for p in held.problems] == [
        ("1.csv", 3, "district", "there is no district 999999."),
        ("0.csv", 3, "enterprise", "there is no enterprise nobody."),
        ("3.csv", 3, "enterprise", "there is no enterprise bad."),
        ("2.csv", 3, "zone", "there is no zone attic."),
    ]
    assert "new" not in str(directory.enterprises(HOUSE))
    done = take(directory, *files, skip_bad=True)
    assert done.imported
    assert [zone.name for zone in directory.zones(HOUSE, "new")] == ["后间"]
    assert [one.zone_name for one in directory.devices(HOUSE, "new").devices] == ["后间"]
    assert directory.contacts(HOUSE, "new")[0].phone == "+8613800138001"


def test_the_engine_hears_of_imported_devices_and_of_trades(directory: Directory, dsn: str) -> None:
    """Once each, and only of what is another than before."""
    take(directory, "enterprise,device,rated_current_a\nnoodles,a,32\nnoodles,b,16\n")
    take(directory, "enterprise,device,name\nnoodles,a,总闸\n")
    take(directory, "enterprise,device,rated_current_a,trade\nnoodles,b,63,oven\n")
    take(directory, HEAD + "noodles,老王面馆,H6220,330106\n")
    assert told(dsn) == [
        DeviceFacts("noodles", "a", rated_current_a=32.0, trade="H6210"),
        DeviceFacts("noodles", "b", rated_current_a=16.0, trade="H6210"),
        DeviceFacts("noodles", "b", rated_current_a=63.0, trade="oven"),
        DeviceFacts("noodles", "a", rated_current_a=32.0, trade="H6220"),
    ]
    directory.put_device(HOUSE, panel(device="a", name="总闸", rated_current_a=32.0))
    assert len(told(dsn)) == 4, "an import and a person write the same"


def test_new_devices_get_logins_where_they_are_wanted(directory: Directory, dsn: str) -> None:
    """Their secrets are returned this once; who has one already keeps it."""
    directory.put_device(HOUSE, panel())
    file = "enterprise,device\nnoodles,panel\nnoodles,a\nnoodles,b\n"
    report, made = directory.apply(HOUSE, read("x.csv", file.encode()), logins=True)
    assert report.imported
    assert [one.username for one in made] == ["noodles/a", "noodles/b"]
    logins = KnownLogins()
    follower = LoginFollower(dsn, logins)
    follower.refresh()
    follower.close()
    principal = logins.check("noodles/a", made[0].password.encode())
    assert principal is not None
    assert principal.owns("noodles", "a")
    assert [one.what for one in directory.changes(HOUSE, "noodles").changes[:2]] == ["login", "login"]
    tried, none = directory.apply(HOUSE, read("x.csv", b"enterprise,device\nnoodles,c\n"), logins=True, dry_run=True)
    assert (tried.files[0].added, none) == (1, [])


def test_only_who_sees_everything_may_import(directory: Directory) -> None:
    """And only who may export exports, what it sees."""
    for viewer in (BUREAU, OWNER, FITTER, Viewer("x", Role.OPERATOR)):
        with pytest.raises(NotAllowed):
            take(directory, HEAD, viewer=viewer)
    for viewer in (OWNER, FITTER):
        with pytest.raises(NotAllowed):
            directory.export(viewer, Sort.ENTERPRISES)
    text = "".join(directory.export(BUREAU, Sort.ENTERPRISES))
    assert "noodles" in text
    assert "tailor" not in text
    assert "王伟" in "".join(directory.export(BUREAU, Sort.CONTACTS))
    assert directory.changes(HOUSE).changes[0].what == "contact"


def test_everything_is_exported_and_imported_unchanged(directory: Directory, dsn: str) -> None:
    """Formulas, numbers and Chinese, through all five files."""
    directory.put_enterprise(HOUSE, structs.replace(TAILOR, name="=HYPERLINK(1)", address="+1", area_m2=0.1))
    directory.put_device(HOUSE, panel(zone="kitchen", name="-x", period_s=1e-3, profiles=("co.us", "a")))
    files = ["".join(directory.export(HOUSE, sort)) for sort in Sort]
    assert "'=HYPERLINK(1)" in files[1]
    assert "'+8613800138000" in files[3]
    again = take(directory, *files)
    assert again.imported
    assert counts(again) == [(0, 0, 2, 0), (0, 0, 3, 0), (0, 0, 1, 0), (0, 0, 1, 0), (0, 0, 1, 0)]
    with psycopg.connect(dsn) as connection:
        for table in ("devices", "contacts", "zones", "enterprises", "districts"):
            connection.execute(f"DELETE FROM {table}")
    anew = take(directory, *reversed(files))
    assert sum(one.added for one in anew.files) == 8
    assert ["".join(directory.export(HOUSE, sort)) for sort in Sort] == files
    assert directory.enterprise(HOUSE, "bar").name == BAR.name
    assert directory.zones(HOUSE, "noodles") == [KITCHEN]
    (wang,) = directory.contacts(HOUSE, "noodles")
    assert as_contact(wang) == structs.replace(WANG, id=1)


CONTACTS = "enterprise,order,name,phone\n"


def whose(directory: Directory) -> list[tuple[int, str, int]]:
    return [(one.order, one.name, one.id) for one in directory.contacts(HOUSE, "noodles")]


def test_a_file_in_another_order_leaves_everybody_who_they_are(directory: Directory) -> None:
    """Contacts were known by their place: a new order in a spreadsheet made each the one before."""
    take(directory, CONTACTS + "noodles,2,李工,13800138001\nnoodles,3,赵,13800138002\n")
    assert whose(directory) == [(1, "王伟", 1), (2, "李工", 2), (3, "赵", 3)]
    turned = take(
        directory, CONTACTS + "noodles,1,赵,13800138002\nnoodles,2,王伟,13800138000\nnoodles,3,李工,13800138001\n"
    )
    assert counts(turned) == [(0, 3, 0, 0)]
    assert whose(directory) == [(1, "赵", 3), (2, "王伟", 1), (3, "李工", 2)]
    moved = directory.changes(HOUSE).changes[2]
    assert moved.before is not None and moved.after is not None
    assert (moved.before["id"], moved.before["order"], moved.after["order"]) == (3, 3, 1)
    assert moved.before["duty"] == moved.after["duty"]
    # Somebody new in front; the one who is not in the file stays where he is.
    take(directory, CONTACTS + "noodles,1,钱,13800138003\nnoodles,2,赵,13800138002\n")
    assert whose(directory) == [(1, "钱", 4), (2, "赵", 3), (3, "李工", 2)]
    # One of name and number mended at the same place; a file without numbers.
    take(directory, CONTACTS + "noodles,1,钱,13800138009\nnoodles,2,赵工,13800138002\n")
    take(directory, "enterprise,order,name,channels\nnoodles,3,李工程师,journal\nnoodles,2,赵工,journal\n")
    assert whose(directory) == [(1, "钱", 4), (2, "赵工", 3), (3, "李工程师", 2)]
    assert directory.contacts(HOUSE, "noodles")[2].phone == "+8613800138001"
    # The same person a second time, at the end: who has a place keeps it.
    take(directory, CONTACTS + "noodles,9,钱,13800138009\n")
    assert whose(directory) == [(1, "钱", 4), (2, "赵工", 3), (3, "李工程师", 2), (9, "钱", 5)]


def test_a_file_with_ids_says_who_is_meant(directory: Directory) -> None:
    """As an export has them: even who has another number, and another place, is the same."""
    take(directory, CONTACTS + "noodles,2,李工,13800138001\n")
    head = "enterprise,order,name,phone,id\n"
    take(directory, head + "noodles,1,李工,13800138007,2\nnoodles,2,王伟,13800138000,1\n")
    assert whose(directory) == [(1, "李工", 2), (2, "王伟", 1)]
    # An id that nobody has is given as it is said, once; others are made behind it.
    take(directory, head + "noodles,3,赵,13800138002,40\nnoodles,4,钱,13800138003,40\nnoodles,5,孙,13800138004,\n")
    assert whose(directory)[2] == (3, "赵", 40)
    assert {id_ for _, _, id_ in whose(directory)} == {1, 2, 40, 41, 42}
    wrong = take(directory, head + "noodles,6,周,13800138005,-1\n")
    assert [(one.column, one.what) for one in wrong.problems] == [("id", "-1 is not the number of a contact.")]
    again = take(directory, "".join(directory.export(HOUSE, Sort.CONTACTS)))
    assert counts(again) == [(0, 0, 5, 0)]


def test_a_large_file_with_every_tenth_row_wrong_is_staged_not_held(directory: Directory) -> None:
    """Problems are counted in all and kept up to a bound; progress is told on the way."""
    seen: list[tuple[str, int, int]] = []
    rows = "".join(f"shop-{n},店{n},{'food' if n % 10 == 9 else 'H62'},330106\n" for n in range(12_000))
    report = take(directory, HEAD + rows, skip_bad=True, progress=lambda *at: seen.append(at))
    assert counts(report) == [(10_800, 0, 0, 1_200)]
    assert (report.wrong, report.imported) == (1_200, True)
    assert [p.row for p in report.problems[:2]] == [11, 21]
    assert [done for _, done, _ in seen] == [2_000, 4_000, 6_000, 8_000, 10_000, 12_000, 12_000]


def test_after_a_large_import_postgresql_knows_how_many_there_are(directory: Directory, dsn: str) -> None:
    """Plans made when there were a few would read all of them for every alarm, until it finds out by itself."""
    rows = "".join(f"shop-{n},店{n},H62,330106\n" for n in range(700))
    assert take(directory, HEAD + rows).imported
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT reltuples FROM pg_class WHERE oid = 'enterprises'::regclass").fetchone()
    assert row is not None
    assert row[0] >= 700


def test_the_files_of_the_simulated_city_are_read(directory: Directory) -> None:
    """What the city is made of and what the registry knows of it have one seed."""
    city = register(settle_town(all_trades(), 40, 1))
    report = take(directory, *city.files().values())
    assert report.problems == []
    assert report.imported
    assert {one.kind: one.added for one in report.files} == {
        "districts": len(city.districts),
        "enterprises": 40,
        "zones": len(city.zones),
        "contacts": len(city.contacts),
        "devices": len(city.devices),
    }
    assert sum(one.changed for one in take(directory, *city.files().values()).files) == 0


def test_the_command_imports_exports_and_shows(
    dsn: str, directory: Directory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit codes for scripts, files that only their owner reads, no number on the terminal but in `show`."""
    monkeypatch.setenv("TOCSIN_DSN", dsn)
    runner = CliRunner()
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes("企业编码,设备编码,名称\nnoodles,a,总闸\n".encode("gbk"))
    bad.write_text("enterprise,order,name,phone\nnoodles,2,李,1399900\n", encoding="utf-8")
    shown = runner.invoke(app, ["import", str(good), str(bad), "--dry-run"])
    assert shown.exit_code == 1, shown.output
    assert "GB 18030" in shown.output
    assert "bad.csv row 2, phone" in shown.output
    assert "1399900" not in shown.output
    problems, logins = tmp_path / "problems.csv", tmp_path / "logins.csv"
    held = runner.invoke(app, ["import", str(good), str(bad), "--problems", str(problems), "--logins", str(logins)])
    assert held.exit_code == 1
    assert not logins.exists()
    assert next(csv.DictReader(io.StringIO(problems.read_text(encoding="utf-8-sig"))))["row"] == "2"
    done = runner.invoke(app, ["import", str(good), str(bad), "--skip-bad", "--logins", str(logins), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["imported"] is True
    assert logins.read_text().splitlines()[1].startswith("noodles/a,")
    assert stat.S_IMODE(logins.stat().st_mode) == 0o600
    assert runner.invoke(app, ["import", str(good), "--logins", str(logins)]).exit_code == 1
    folder = tmp_path / "out"
    assert runner.invoke(app, ["export", str(folder)]).exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{sort}.csv" for sort in Sort)
    assert stat.S_IMODE((folder / "contacts.csv").stat().st_mode) == 0o600
    again = runner.invoke(app, ["import", *map(str, folder.iterdir())])
    assert again.exit_code == 0, again.output
    listed = json.loads(runner.invoke(app, ["list", "--trade", "H62", "--json"]).output)
    assert [one["code"] for one in listed] == ["bar", "noodles"]
    assert "老王面馆" in runner.invoke(app, ["list"]).output
    detail = runner.invoke(app, ["show", "noodles"])
    assert "device a: 总闸" in detail.output
    assert json.loads(runner.invoke(app, ["show", "noodles", "--json"]).output)["zones"][0]["zone"] == "kitchen"
