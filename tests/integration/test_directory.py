"""Who is watched and who is called, on PostgreSQL: what each viewer sees and may change, and what is kept of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from msgspec import structs

from registry.directory import Directory
from registry.errors import InTheWay, NotThere, Stale
from registry.logins import KnownLogins
from registry.store import LoginFollower
from registry.views import EVERYTHING, Wanted, as_contact
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.entries import DeviceFacts, EntryKind, decode
from schemas.errors import ConfigError, ServiceAway
from schemas.identity import id_of
from schemas.viewers import NotAllowed, Viewer
from tests.registry_world import (
    BAR,
    BUREAU,
    DESK,
    FITTER,
    HOUSE,
    KITCHEN,
    NOODLES,
    OWNER,
    TAILOR,
    WANG,
    WEST,
    WEST_DESK,
    panel,
    settle,
    speak,
)
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def directory(dsn: str) -> Iterator[Directory]:
    made = settle(dsn)
    yield made
    made.close()


def codes(directory: Directory, viewer: Viewer, wanted: Wanted = EVERYTHING) -> list[str]:
    return [one.code for one in directory.enterprises(viewer, wanted).enterprises]


def told(dsn: str) -> list[Any]:
    """What waits on its way into the log."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT body FROM control_outbox ORDER BY id").fetchall()
    return [decode(EntryKind.CONTROL, body) for (body,) in rows]


def test_each_viewer_sees_the_enterprises_of_its_scope(directory: Directory) -> None:
    """In the list, by code, and by what belongs to them."""
    for viewer, seen in (
        (HOUSE, ["bar", "noodles", "tailor"]),
        (DESK, ["bar", "noodles", "tailor"]),
        (WEST_DESK, ["bar", "noodles"]),
        (BUREAU, ["bar", "noodles"]),
        (OWNER, ["noodles"]),
        (FITTER, ["noodles", "tailor"]),
    ):
        assert codes(directory, viewer) == seen
        for one in seen:
            assert directory.enterprise(viewer, one).code == one
            directory.zones(viewer, one)
        for one in {"bar", "noodles", "tailor"} - set(seen):
            for look in (directory.enterprise, directory.zones, directory.devices):
                with pytest.raises(NotThere):
                    look(viewer, one)


def test_enterprises_are_found(directory: Directory) -> None:
    """What was typed is text, never a pattern."""
    for wanted, found in (
        (Wanted(districts=["330106"]), ["bar", "noodles"]),
        (Wanted(trade="H62"), ["bar", "noodles"]),
        (Wanted(trade="H6233"), ["bar"]),
        (Wanted(trade="%"), []),
        (Wanted(text="wang"), ["noodles"]),
        (Wanted(text="文三"), ["noodles"]),
        (Wanted(text="TAIL"), ["tailor"]),
        (Wanted(text="100%_"), ["bar"]),
        (Wanted(text="%"), ["bar"]),
        (Wanted(text="\\"), []),
        (Wanted(text="\0"), []),
        (Wanted(codes=["tailor", "nobody"]), ["tailor"]),
        (Wanted(codes=[]), []),
        (Wanted(districts=["330106"], trade="H62", text="面"), ["noodles"]),
    ):
        assert codes(directory, DESK, wanted) == found, wanted


def test_pages_follow_each_other(directory: Directory) -> None:
    """Nothing twice, nothing left out; a cursor of somebody else is refused by name."""
    first = directory.enterprises(DESK, limit=2)
    assert [one.code for one in first.enterprises] == ["bar", "noodles"]
    last = directory.enterprises(DESK, limit=2, cursor=first.next)
    assert [one.code for one in last.enterprises] == ["tailor"]
    assert last.next == ""
    for cursor in ("x", "WzFd", "WyJhIiwiYiJd", "é", first.next * 2):
        with pytest.raises(ConfigError, match="cursor"):
            directory.enterprises(DESK, cursor=cursor)


def test_an_enterprise_is_read_as_it_was_written(directory: Directory) -> None:
    """With the names of its district, and a version that rises."""
    seen = directory.enterprise(OWNER, "noodles")
    assert {name: getattr(seen, name) for name in Enterprise.__struct_fields__} == structs.asdict(NOODLES)
    assert (seen.district_name, seen.district_name_en, seen.version) == ("西湖区", "Xihu", 1)
    assert directory.zones(OWNER, "noodles") == [KITCHEN]
    (wang,) = directory.contacts(OWNER, "noodles")
    assert (as_contact(wang), wang.version) == (structs.replace(WANG, id=1), 1)
    assert directory.districts(OWNER) == [WEST]
    assert [one.code for one in directory.districts(DESK)] == ["330102", "330106"]


def test_two_people_who_change_one_enterprise_do_not_overwrite_each_other(directory: Directory) -> None:
    """The second is told to look again; nothing of the first is lost."""
    seen = directory.enterprise(HOUSE, "noodles").version
    changed = structs.replace(NOODLES, people=50)
    assert directory.put_enterprise(HOUSE, changed, seen).version == seen + 1
    with pytest.raises(Stale) as refused:
        directory.put_enterprise(HOUSE, structs.replace(NOODLES, people=60), seen)
    assert refused.value.version == seen + 1
    with pytest.raises(Stale):
        directory.put_enterprise(HOUSE, NOODLES, 0)
    with pytest.raises(Stale):
        directory.remove_enterprise(HOUSE, "noodles", seen)
    with pytest.raises(Stale):
        directory.put_enterprise(HOUSE, structs.replace(NOODLES, code="new"), 3)
    assert directory.enterprise(HOUSE, "noodles").people == 50
    assert directory.put_enterprise(HOUSE, changed).version == seen + 1, "what is the same is no change"


def test_of_two_who_add_one_code_at_once_one_wins(directory: Directory) -> None:
    """By the version that they saw, or by the code."""
    made, refused = [], []
    gate = threading.Barrier(4)

    def add(number: int) -> None:
        gate.wait()
        try:
            made.append(directory.put_enterprise(HOUSE, structs.replace(BAR, code="new", name=f"{number}"), 0))
        except (Stale, InTheWay) as error:
            refused.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 3)
    kept = directory.changes(HOUSE, "new").changes
    assert [one.after and one.after["name"] for one in kept] == [made[0].name]


def test_every_change_is_kept_with_who_when_before_and_after(directory: Directory) -> None:
    """A year later somebody asks who moved the shop."""
    directory.put_enterprise(HOUSE, structs.replace(NOODLES, people=50))
    directory.put_zone(HOUSE, structs.replace(KITCHEN, floor="2"))
    directory.put_contact(OWNER, structs.replace(WANG, name="王芳"))
    directory.remove_contact(OWNER, "noodles", 1)
    directory.remove_zone(HOUSE, "noodles", "kitchen")
    page = directory.changes(OWNER, "noodles")
    said = [(one.who, one.what, one.key, one.before is None, one.after is None) for one in page.changes]
    assert said == [
        ("house", "zone", "kitchen", False, True),
        ("owner", "contact", "1", False, True),
        ("owner", "contact", "1", False, False),
        ("house", "zone", "kitchen", False, False),
        ("house", "enterprise", "noodles", False, False),
        ("house", "contact", "1", True, False),
        ("house", "zone", "kitchen", True, False),
        ("house", "enterprise", "noodles", True, False),
    ]
    moved = page.changes[4]
    assert moved.before is not None
    assert moved.after is not None
    assert (moved.before["people"], moved.after["people"]) == (40, 50)
    assert moved.before["flammables"] == "some"
    first = directory.changes(OWNER, "noodles", limit=3)
    rest = directory.changes(OWNER, "noodles", limit=100, cursor=first.next)
    assert first.changes + rest.changes == page.changes


def test_who_may_not_see_contacts_sees_no_name_and_no_number_in_the_changes(directory: Directory) -> None:
    """The changes are no way around it; what is outside the scope is not in them either."""
    shown = str(directory.changes(FITTER))
    assert "13800138000" not in shown
    assert "王伟" not in shown
    assert "'duty': 'owner'" in shown
    assert "13800138000" in str(directory.changes(OWNER))
    assert {one.enterprise for one in directory.changes(FITTER).changes} == {"noodles", "tailor"}
    assert {one.enterprise for one in directory.changes(HOUSE).changes} == {"", "noodles", "tailor", "bar"}


def test_what_a_role_may_not_do_is_refused(directory: Directory) -> None:
    """Each act by those who may do it."""
    for viewer in (DESK, BUREAU, OWNER, FITTER):
        for change in (
            lambda v: directory.put_enterprise(v, NOODLES),
            lambda v: directory.put_district(v, WEST),
            lambda v: directory.put_zone(v, KITCHEN),
            lambda v: directory.remove_zone(v, "noodles", "kitchen"),
            lambda v: directory.remove_enterprise(v, "noodles"),
            lambda v: directory.remove_device(v, "noodles", "panel"),
        ):
            with pytest.raises(NotAllowed):
                change(viewer)
    for viewer in (BUREAU, FITTER):
        with pytest.raises(NotAllowed):
            directory.put_contact(viewer, WANG)
    with pytest.raises(NotAllowed):
        directory.contacts(FITTER, "noodles")
    with pytest.raises(NotAllowed):
        directory.claim(OWNER, panel())
    with pytest.raises(NotAllowed):
        directory.put_device(DESK, panel())
    assert len(directory.changes(HOUSE).changes) == 7


def test_what_is_outside_the_scope_cannot_be_changed(directory: Directory, dsn: str) -> None:
    """It is not there, whatever is asked of it."""
    speak(dsn, "bar", "panel", "smoke")
    stranger = structs.replace(WANG, enterprise="bar")
    for change in (
        lambda: directory.put_contact(OWNER, stranger),
        lambda: directory.remove_contact(OWNER, "bar", 1),
        lambda: directory.swap_contacts(OWNER, "bar", 1, 2),
        lambda: directory.contacts(OWNER, "bar"),
        lambda: directory.put_contact(WEST_DESK, structs.replace(WANG, enterprise="tailor")),
        lambda: directory.claim(FITTER, panel("bar")),
        lambda: directory.put_device(FITTER, panel("bar")),
    ):
        with pytest.raises(NotThere):
            change()
    directory.put_contact(WEST_DESK, stranger)


def test_what_cannot_be_true_is_refused_by_field_and_nothing_is_changed(directory: Directory) -> None:
    """Each rule has its case in tests/unit/test_registry_checks.py; a district is known or not."""
    for change, field in (
        (lambda: directory.put_enterprise(HOUSE, structs.replace(NOODLES, district="999999")), "district"),
        (lambda: directory.put_enterprise(HOUSE, structs.replace(NOODLES, name="a\0b")), "name"),
        (lambda: directory.put_contact(OWNER, structs.replace(WANG, phone="1234")), "phone"),
        (lambda: directory.put_zone(HOUSE, structs.replace(KITCHEN, name="")), "name"),
        (lambda: directory.put_district(HOUSE, District("x", "x")), "code"),
        (lambda: directory.put_device(HOUSE, panel(zone="attic")), "zone"),
        (lambda: directory.put_device(HOUSE, panel(supply="sun")), "supply"),
        (lambda: directory.put_device(HOUSE, panel(device="a/b")), "device"),
    ):
        with pytest.raises(ConfigError) as refused:
            change()
        assert refused.value.field == field
    assert len(directory.changes(HOUSE).changes) == 7


def test_contacts_change_places_both_or_neither(directory: Directory) -> None:
    """Who is told second becomes the first; nobody is lost on the way, and both changes are kept."""
    second = structs.replace(WANG, order=2, name="李工")
    directory.put_contact(OWNER, second)
    directory.swap_contacts(OWNER, "noodles", 1, 2)
    assert [(one.order, one.name) for one in directory.contacts(OWNER, "noodles")] == [(1, "李工"), (2, WANG.name)]
    with pytest.raises(NotThere):
        directory.swap_contacts(OWNER, "noodles", 1, 3)
    with pytest.raises(NotAllowed):
        directory.swap_contacts(BUREAU, "noodles", 1, 2)
    assert [one.name for one in directory.contacts(OWNER, "noodles")] == ["李工", WANG.name]
    changes = directory.changes(OWNER, "noodles").changes[:2]
    moved = [(one.key, one.before and one.before["order"], one.after and one.after["id"]) for one in changes]
    assert moved == [("2", 1, 1), ("1", 2, 2)], "who has moved, not what a place has become"


def test_a_contact_stays_who_it_is_in_every_place_and_no_id_is_given_twice(directory: Directory, dsn: str) -> None:
    """What was told to somebody is theirs: not of who takes their place, nor of who comes after they went."""

    def ids() -> list[tuple[int, str, int]]:
        return [(one.order, one.name, one.id) for one in directory.contacts(OWNER, "noodles")]

    directory.put_contact(OWNER, structs.replace(WANG, order=2, name="李工", phone="+8613800138001"))
    directory.swap_contacts(OWNER, "noodles", 1, 2)
    assert ids() == [(1, "李工", 2), (2, "王伟", 1)]
    directory.put_contact(OWNER, structs.replace(WANG, order=2, name="王玮"))
    directory.put_contact(
        OWNER, structs.replace(WANG, order=1, name="李工", phone="+8613800138009", duty="night guard")
    )
    assert ids() == [(1, "李工", 2), (2, "王玮", 1)], "one of both mended: the same person"
    directory.put_contact(OWNER, structs.replace(WANG, order=2, name="赵", phone="+8613800138002"))
    assert ids() == [(1, "李工", 2), (2, "赵", 3)], "another name and another number: another person"
    directory.remove_contact(OWNER, "noodles", 2)
    directory.put_contact(OWNER, structs.replace(WANG, order=2, name="钱", phone="+8613800138003"))
    assert ids() == [(1, "李工", 2), (2, "钱", 4)]
    former = {(one.id, one.name) for one in directory.former_contacts(OWNER, "noodles")}
    assert former == {(1, "王玮"), (3, "赵")}
    directory.remove_enterprise(HOUSE, "noodles")
    directory.put_enterprise(HOUSE, NOODLES)
    assert directory.put_contact(HOUSE, WANG).id == 5
    assert directory.put_contact(HOUSE, structs.replace(WANG, enterprise="tailor")).id == 1, "each has its own"


def test_of_two_who_change_one_contact_the_second_is_told(directory: Directory) -> None:
    """As of an enterprise: the version that was seen, and what the first one did stays."""
    seen = directory.contacts(OWNER, "noodles")[0]
    mended = directory.put_contact(OWNER, structs.replace(seen, duty="night guard"), seen.version)
    assert mended.version > seen.version
    for change in (
        lambda: directory.put_contact(OWNER, structs.replace(seen, duty="cook"), seen.version),
        lambda: directory.put_contact(OWNER, seen, 0),
        lambda: directory.put_contact(OWNER, structs.replace(seen, order=2), seen.version),
        lambda: directory.remove_contact(OWNER, "noodles", 1, seen.version),
    ):
        with pytest.raises(Stale):
            change()
    assert directory.contacts(OWNER, "noodles") == [mended]
    assert directory.put_contact(OWNER, mended, mended.version) == mended, "what is the same is no change"
    other = directory.put_contact(OWNER, structs.replace(WANG, order=2, name="李工", phone="+8613800138001"), 0)
    directory.swap_contacts(OWNER, "noodles", 1, 2, (mended.version, other.version))
    with pytest.raises(Stale):
        directory.swap_contacts(OWNER, "noodles", 1, 2, (mended.version, other.version))
    with pytest.raises(Stale):
        directory.put_contact(OWNER, mended, mended.version)
    assert [one.name for one in directory.contacts(OWNER, "noodles")] == ["李工", "王伟"]
    directory.remove_contact(OWNER, "noodles", 2, directory.contact(OWNER, "noodles", 2).version)
    with pytest.raises(NotThere):
        directory.contact(OWNER, "noodles", 2)


def test_a_console_of_before_numbers_contacts_too(directory: Directory, dsn: str) -> None:
    """While a house is upgraded, one writes places over each other: nobody is taken for another by that."""
    put = """
        INSERT INTO contacts (enterprise, "order", name, phone) VALUES ('noodles', %s, %s, %s)
        ON CONFLICT (enterprise, "order") DO UPDATE SET name = excluded.name, phone = excluded.phone
    """
    with psycopg.connect(dsn) as connection:
        connection.execute(put, (2, "李工", "+8613800138001"))
    before = directory.contacts(OWNER, "noodles")
    with psycopg.connect(dsn) as connection:  # as it swapped two
        connection.execute(put, (1, "李工", "+8613800138001"))
        connection.execute(put, (2, "王伟", "+8613800138000"))
    after = directory.contacts(OWNER, "noodles")
    assert len({one.id for one in (*before, *after)}) == 4
    assert min(one.version for one in after) > max(one.version for one in before)


def test_a_phone_number_is_kept_in_one_form(directory: Directory) -> None:
    """However it was written, the carrier wants E.164."""
    kept = directory.put_contact(OWNER, structs.replace(WANG, order=2, phone="138 0013-8000"))
    assert kept.phone == "+8613800138000"
    assert directory.contacts(OWNER, "noodles")[1].phone == "+8613800138000"


def test_an_enterprise_goes_with_its_zones_and_contacts_but_not_from_under_its_devices(directory: Directory) -> None:
    """All of it is kept in the changes; devices that speak on would be nobody's."""
    directory.put_device(HOUSE, panel(zone="kitchen"))
    with pytest.raises(InTheWay, match="1 devices"):
        directory.remove_enterprise(HOUSE, "noodles")
    with pytest.raises(InTheWay):
        directory.remove_zone(HOUSE, "noodles", "kitchen")
    directory.remove_device(HOUSE, "noodles", "panel")
    directory.remove_enterprise(HOUSE, "noodles")
    with pytest.raises(NotThere):
        directory.enterprise(HOUSE, "noodles")
    gone = directory.changes(HOUSE, "noodles").changes[:3]
    assert sorted((one.what, one.key) for one in gone) == [
        ("contact", "1"),
        ("enterprise", "noodles"),
        ("zone", "kitchen"),
    ]
    assert all(one.after is None and one.before for one in gone)


def test_a_device_has_the_trade_of_its_enterprise_and_the_engine_hears_of_it(directory: Directory, dsn: str) -> None:
    """Rules are overridden by trade; a trade of its own stays."""
    directory.put_device(HOUSE, panel(rated_current_a=32.0, zone="kitchen", name="总闸"))
    directory.put_device(HOUSE, panel(device="oven", trade="oven"))
    directory.put_enterprise(HOUSE, structs.replace(NOODLES, trade="H6220"))
    assert told(dsn) == [
        DeviceFacts("noodles", "panel", rated_current_a=32.0, trade="H6210"),
        DeviceFacts("noodles", "oven", trade="oven"),
        DeviceFacts("noodles", "panel", rated_current_a=32.0, trade="H6220"),
    ]
    shown = directory.devices(OWNER, "noodles").devices
    assert [(one.device, one.zone_name, one.name, one.trade) for one in shown] == [
        ("oven", "", "", "oven"),
        ("panel", "厨房", "总闸", "H6220"),
    ]


def test_a_device_is_added_with_a_login_that_works_and_changed_without_one(directory: Directory, dsn: str) -> None:
    """Its secret is shown once, and stands nowhere."""
    added = directory.put_device(FITTER, panel())
    assert added.username == "noodles/panel"
    logins = KnownLogins()
    follower = LoginFollower(dsn, logins)
    follower.refresh()
    follower.close()
    assert logins.check("noodles/panel", added.password.encode()) is not None
    with pytest.raises(NotAllowed):
        directory.put_device(FITTER, panel(period_s=60.0))
    again = directory.put_device(HOUSE, panel(period_s=60.0))
    assert (again.username, again.password, again.device.period_s) == ("", "", 60.0)
    assert added.password not in str(directory.changes(HOUSE))
    kept = directory.changes(HOUSE, "noodles").changes
    assert [(one.who, one.what) for one in kept[:3]] == [
        ("house", "device"),
        ("fitter", "login"),
        ("fitter", "device"),
    ]


def test_devices_that_speak_unasked_are_listed_until_they_are_claimed(directory: Directory, dsn: str) -> None:
    """With what they said last, so that a person knows which box it is."""
    speak(dsn, "noodles", "box-1", "current.L1", "temperature")
    speak(dsn, "noodles", "box-2", "smoke")
    speak(dsn, "stranger", "box-3", "smoke")
    speak(dsn, "bar", "panel", "smoke")
    directory.put_device(HOUSE, panel("bar"))
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO last_values VALUES (%s, '2026-11-30 10:00Z', 21.5, 0)", (id_of("noodles/box-1/temperature"),)
        )
    found = directory.unclaimed(HOUSE).devices
    assert [(one.enterprise, one.device, one.known_enterprise) for one in found] == [
        ("noodles", "box-1", True),
        ("noodles", "box-2", True),
        ("stranger", "box-3", False),
    ]
    assert [(one.sensor, one.value) for one in found[0].newest] == [("temperature", 21.5)]
    assert [one.device for one in directory.unclaimed(FITTER).devices] == ["box-1", "box-2"]
    first = directory.unclaimed(FITTER, limit=1)
    assert [one.device for one in directory.unclaimed(FITTER, cursor=first.next).devices] == ["box-2"]
    assert directory.unclaimed(HOUSE, enterprise="stranger").devices == [found[2]]
    claimed = directory.claim(FITTER, panel(device="box-1", zone="kitchen", name="灶台"))
    assert claimed.device.sensors == ["current.L1", "temperature"]
    assert (claimed.device.zone_name, claimed.username, claimed.password) == ("厨房", "", "")
    assert [one.device for one in directory.unclaimed(FITTER).devices] == ["box-2"]
    with pytest.raises(InTheWay, match="claimed already"):
        directory.claim(FITTER, panel(device="box-1"))
    with pytest.raises(NotThere):
        directory.claim(FITTER, panel(device="never-spoke"))
    assert directory.claim(FITTER, panel(device="box-2"), login=True).password
    assert directory.claim(HOUSE, panel("stranger", "box-3")).device.trade is None


def test_keys_that_can_be_nobodys_are_not_there(directory: Directory) -> None:
    """They come from addresses that anybody may type."""
    for key in ("", "\0", "a/b", "x" * 65, "é"):
        for look in (
            lambda k: directory.enterprise(HOUSE, k),
            lambda k: directory.zones(HOUSE, k),
            lambda k: directory.contacts(HOUSE, k),
            lambda k: directory.device(HOUSE, k, k),
            lambda k: directory.remove_device(HOUSE, "noodles", k),
            lambda k: directory.remove_zone(HOUSE, "noodles", k),
            lambda k: directory.remove_enterprise(HOUSE, k),
            lambda k: directory.put_zone(HOUSE, Zone("nobody", "z", "z")),
            lambda k: directory.remove_contact(HOUSE, "noodles", 40_000),
        ):
            with pytest.raises(NotThere):
                look(key)
    assert directory.changes(HOUSE, "\0").changes == []


def test_an_absent_database_is_a_service_away() -> None:
    """The caller decides whether to try again."""
    with pytest.raises(ServiceAway):
        Directory("host=127.0.0.1 port=1 dbname=x").enterprises(HOUSE)


def test_names_of_the_world_are_kept_as_they_are(directory: Directory) -> None:
    """Also those that look like a formula or like markup."""
    for name in ("=HYPERLINK()", "<b>x</b>", "'quoted'", "🔥", "Ａ"):
        directory.put_district(HOUSE, District("11", name))
        assert directory.districts(HOUSE)[0].name == name
    contact = Contact(enterprise="tailor", order=1, name="<script>", channels=("journal",))
    assert as_contact(directory.put_contact(HOUSE, contact)) == structs.replace(contact, id=1)
    assert TAILOR.code == "tailor"


def test_what_is_put_under_an_enterprise_that_goes_in_the_very_moment_is_not_there(
    directory: Directory, dsn: str
) -> None:
    """The one who was quicker wins, and the other is told as if it had been gone before."""
    outcomes: list[Exception] = []

    def put() -> None:
        try:
            directory.put_zone(HOUSE, Zone("tailor", "back", "后间"))
        except NotThere as error:
            outcomes.append(error)

    with psycopg.connect(dsn) as removing:
        removing.execute("DELETE FROM enterprises WHERE code = 'tailor'")
        thread = threading.Thread(target=put)
        thread.start()
        with psycopg.connect(dsn, autocommit=True) as looking:
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            until(lambda: looking.execute(waits).fetchone() == (1,), "the other one waits")
        removing.commit()
        thread.join()
    assert [str(error) for error in outcomes] == ["there is no enterprise tailor."]
