"""What may be said of enterprises, contacts and trades: each rule has a case, and names its field."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from registry.contacts import normal_phone, problems_of_contact
from registry.enterprises import problems_of_enterprise, problems_of_zone
from registry.errors import shorten
from registry.trades import check_trade, trade_of, trades
from schemas.enterprises import Zone
from schemas.errors import ConfigError
from tests.registry_world import KITCHEN, NOODLES, WANG


def test_what_is_true_has_no_problem() -> None:
    """The shapes of the other tests are good ones."""
    assert problems_of_enterprise(NOODLES) == []
    assert problems_of_contact(WANG) == []
    assert problems_of_zone(KITCHEN) == []
    assert [one.field for one in problems_of_zone(Zone("a b", "", "", "x" * 999, "\t"))] == [
        "enterprise",
        "zone",
        "name",
        "name_en",
        "floor",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "a b"}, "code"),
        ({"code": ""}, "code"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x" * 300}, "name"),
        ({"trade": "restaurant"}, "trade"),
        ({"trade": "C6210"}, "trade"),
        ({"district": "３３"}, "district"),
        ({"longitude": 181.0}, "longitude"),
        ({"longitude": None}, "longitude"),
        ({"latitude": float("nan")}, "latitude"),
        ({"hours": "PH off"}, "hours"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"area_m2": float("inf")}, "area_m2"),
        ({"built": 98}, "built"),
        ({"people": -1}, "people"),
    ],
)
def test_what_cannot_be_true_of_an_enterprise_is_named_by_field(change: dict[str, Any], field: str) -> None:
    """The person sees which field, and what to write."""
    problems = problems_of_enterprise(structs.replace(NOODLES, **change))
    assert [one.field for one in problems] == [field]
    assert all(one.what and one.mend for one in problems)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"order": 0}, "order"),
        ({"order": 1 << 20}, "order"),
        ({"phone": "1234"}, "phone"),
        ({"phone": ""}, "phone"),
        ({"phone": "+861380013800x"}, "phone"),
        ({"channels": ()}, "channels"),
        ({"channels": ("pigeon",)}, "channels"),
        ({"language": "fr"}, "language"),
        ({"least": "black"}, "least"),
        ({"hours": "always"}, "hours"),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_be_true_of_a_contact_is_named_and_shows_no_number(change: dict[str, Any], field: str) -> None:
    """A number that was mistyped is still nearly somebody's."""
    problems = problems_of_contact(structs.replace(WANG, **change))
    assert [one.field for one in problems] == [field]
    assert str(change.get("phone") or "\0") not in str(problems)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("+8613800138000", "+8613800138000"),
        ("13800138000", "+8613800138000"),
        ("138 0013-8000", "+8613800138000"),
        ("8613800138000", "+8613800138000"),
        ("0086 138 0013 8000", "+8613800138000"),
        ("＋86 13800138000", "+8613800138000"),
        ("(0571) 8888-7777", "+8657188887777"),
        ("010-12345678", "+861012345678"),
        ("+44 20 7946 0000", "+442079460000"),
        ("12345", "12345"),
        ("8.6138E+12", "8.6138E+12"),
        ("", ""),
        ("１３８００１３８０００", "１３８００１３８０００"),
    ],
)
def test_a_number_has_one_form_however_it_was_written(written: str, kept: str) -> None:
    """Spreadsheets take the plus away, people put spaces in."""
    assert normal_phone(written) == kept
    assert normal_phone(kept) == kept


def test_a_trade_is_called_by_the_longest_part_that_has_a_name() -> None:
    """A class that the data do not name is still a restaurant's."""
    assert trade_of("H6210").name == "正餐服务"
    assert trade_of("H6299").name_en == "Catering"
    assert trade_of("Z1").name == ""
    assert trade_of("").name_en == ""


def test_the_data_hold_all_sections_and_divisions_in_both_languages() -> None:
    """Twenty sections and ninety-seven divisions; each named part stands under a known one."""
    all_ = trades()
    assert len([one for one in all_ if len(one.code) == 1]) == 20
    assert [int(one.code[1:]) for one in all_ if len(one.code) == 3] == list(range(1, 98))
    known = {one.code for one in all_}
    for one in all_:
        assert one.name, one.code
        assert one.name_en.isascii() or one.name_en in ("Cafés", "Internet cafés")
        assert len(one.code) == 1 or (one.code[0] in known and one.code[:3] in known)
        check_trade(one.code)
    assert {one.code[0] for one in trades("H")} == {"H"}


@pytest.mark.parametrize("code", ["H", "H62", "H621", "H6210", "H6299", "A99", "T97"])
def test_a_code_that_is_well_formed_is_taken(code: str) -> None:
    """The standard grows; what it says of a code that we do not know is not ours to doubt."""
    assert check_trade(code) == code


@pytest.mark.parametrize(
    ("code", "said"),
    [("", "GB/T 4754"), ("6210", "GB/T 4754"), ("U62", "GB/T 4754"), ("h62", "GB/T 4754"), ("H6", "GB/T 4754"),
     ("H62100", "GB/T 4754"), ("H６２", "GB/T 4754"), ("C62", "H62")],
)  # fmt: skip
def test_what_is_no_code_is_refused(code: str, said: str) -> None:
    """A division under another section's letter is a typing error: the right letter is said."""
    with pytest.raises(ConfigError, match=said):
        check_trade(code)


def test_values_in_errors_are_short_and_printable() -> None:
    """An error is one line on a terminal."""
    assert shorten("x" * 100) == "x" * 23 + "…"
    assert shorten("a\nb\x1b") == "a�b�"
