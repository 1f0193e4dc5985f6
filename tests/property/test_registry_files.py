"""Whatever the registry may hold is read back from its own files, and hours agree with a calendar minute by minute."""

from __future__ import annotations

import string
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.columns import KINDS, Sort
from registry.contacts import normal_contact, problems_of_contact
from registry.exporting import write_csv
from registry.importing import read
from registry.views import Placed
from schemas.enterprises import Contact, District, Enterprise, Flammables, Zone
from schemas.hours import DAYS, is_open, next_change, parse_hours

NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12)
HARD = st.sampled_from(["=", "'", "+86", "-1", "@", '"', ",", ";", "\t", " ", "'=", "\u3000", "\ufeff", "1e5", "🔥"])
TEXT = (
    st.lists(HARD | st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=6), max_size=5)
    .map(lambda parts: "".join(parts).replace("\t", "").strip())
)  # fmt: skip
NAMED = TEXT.filter(bool)
POSITIVE = st.none() | st.floats(1e-6, 1e8)
PLACES = st.none() | st.tuples(st.floats(-180, 180), st.floats(-90, 90))
YEARS = st.none() | st.integers(1000, 2100)
HOURS = st.sampled_from(["", "24/7", "off", "Mo-Fr 08:00-18:00; Sa 09:00-12:00", "Mo-Su 17:00-02:00"])


@st.composite
def enterprises(draw: st.DrawFn) -> Enterprise:
    place = draw(PLACES)
    return Enterprise(
        code=draw(NAMES), name=draw(NAMED), name_en=draw(TEXT), trade=draw(st.sampled_from(["H6210", "C", "C18"])),
        district=draw(st.text("0123456789", min_size=2, max_size=12)), address=draw(TEXT), address_en=draw(TEXT),
        longitude=place and place[0], latitude=place and place[1], hours=draw(HOURS), area_m2=draw(POSITIVE),
        built=draw(YEARS), wired=draw(YEARS), open_flame=draw(st.none() | st.booleans()),
        flammables=draw(st.none() | st.sampled_from(Flammables)), people=draw(st.none() | st.integers(0, 10_000_000)),
    )  # fmt: skip


CONTACTS = st.builds(
    Contact,
    enterprise=NAMES,
    order=st.integers(1, 99),
    name=NAMED,
    duty=TEXT,
    phone=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
    channels=st.lists(st.sampled_from(["sms", "voice", "webhook", "journal"]), min_size=1, max_size=4, unique=True).map(
        tuple
    ),
    language=st.sampled_from(["zh", "en"]),
    hours=HOURS,
    least=st.sampled_from(["blue", "yellow", "orange", "red"]),
    id=st.integers(0, 2**31 - 1),
).map(normal_contact)
DEVICES = st.builds(
    Placed,
    enterprise=NAMES,
    device=NAMES,
    zone=st.just("") | NAMES,
    name=TEXT,
    name_en=TEXT,
    rated_current_a=POSITIVE,
    period_s=POSITIVE,
    supply=st.none() | st.sampled_from(["mains", "gateway", "battery"]),
    heat_class=st.none() | st.sampled_from(["A1", "A2S"]),
    trade=st.none() | NAMES,
    profiles=st.lists(NAMES, max_size=3).map(tuple),
    gateway=st.none() | st.just("gateway-7"),
    out_of_service=st.booleans(),
)
ROWS: dict[Sort, st.SearchStrategy[Any]] = {
    Sort.DISTRICTS: st.builds(District, st.text("0123456789", min_size=2, max_size=12), NAMED, TEXT),
    Sort.ENTERPRISES: enterprises(),
    Sort.ZONES: st.builds(Zone, NAMES, NAMES, NAMED, TEXT, TEXT),
    Sort.CONTACTS: CONTACTS,
    Sort.DEVICES: DEVICES,
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_exported_is_imported_unchanged(data: st.DataObject) -> None:
    """Names that look like formulas, numbers to the last digit, quotes and separators."""
    sort = data.draw(st.sampled_from(Sort))
    key = KINDS[sort].key
    rows = data.draw(st.lists(ROWS[sort], max_size=5, unique_by=lambda row: tuple(getattr(row, k) for k in key)))
    text = "".join(write_csv(sort, rows))
    (table,) = read("x.csv", text.encode(), sort)
    found = list(table.rows())
    assert [row.problems for row in found] == [[]] * len(rows)
    assert [row.value for row in found] == rows


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.sampled_from([None, *Sort]))
def test_no_file_is_an_accident(data: bytes, sort: Sort | None) -> None:
    """It is read, or refused with words; never a defect."""
    from schemas.errors import ConfigError

    for name in ("x.csv", "x.toml"):
        try:
            for table in read(name, data, sort):
                for row in table.rows():
                    assert (row.value is None) == bool(row.problems)
        except ConfigError as error:
            assert error.field == name


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(Sort), st.lists(st.lists(TEXT, max_size=20), max_size=4))
def test_any_cells_under_good_headings_are_read_or_named(sort: Sort, rows: list[list[str]]) -> None:
    """A row has a value or problems, each with its row and its column."""
    import csv
    import io

    out = io.StringIO()
    headings = [column.field for column in KINDS[sort].columns]
    csv.writer(out).writerows([headings, *rows])
    (table,) = read("x.csv", out.getvalue().encode(), sort)
    for row in table.rows():
        assert (row.value is None) == bool(row.problems)
        for problem in row.problems:
            assert problem.row == row.number
            assert problem.column in ("", *headings)
        if row.value is not None and sort is Sort.CONTACTS:
            assert problems_of_contact(row.value) == []


@st.composite
def weeks(draw: st.DrawFn) -> tuple[str, list[set[int]]]:
    """Hours as text, and for each day the minutes (of the week) that its own intervals cover."""
    rules, cover = [], [set[int]() for _ in DAYS]
    for _ in range(draw(st.integers(1, 3))):
        days = sorted(draw(st.sets(st.integers(0, 6), min_size=1)))
        spans = draw(st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)), max_size=2))
        times = [f"{s // 60:02}:{s % 60:02}-{(s + n) // 60:02}:{(s + n) % 60:02}" for s, n in spans]
        rules.append(f"{','.join(DAYS[day] for day in days)} {','.join(times) or 'off'}")
        for day in days:
            cover[day] = {(day * 1440 + s + minute) % 10080 for s, n in spans for minute in range(n)}
    return "; ".join(rules), cover


@settings(max_examples=60, deadline=None)
@given(weeks(), st.integers(0, 10079))
def test_hours_agree_with_a_calendar_of_minutes(week: tuple[str, list[set[int]]], at: int) -> None:
    """Open is what any day's intervals cover, and the next change is the first minute that is otherwise."""
    text, cover = week
    hours = parse_hours(text)
    assert hours is not None
    covered = set().union(*cover)
    monday = datetime(2026, 11, 30)
    now = monday + timedelta(minutes=at)
    assert is_open(hours, now) == (at in covered)
    change = next((n for n in range(1, 10081) if ((at + n) % 10080 in covered) != (at in covered)), None)
    assert next_change(hours, now) == (None if change is None else now + timedelta(minutes=change))
