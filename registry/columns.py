"""The registry's files: which columns they have, what stands in a cell, and how it is written. Pure.

A column has the name of its field, or one of its Chinese names. What begins like a formula is written with an
apostrophe before it, since a spreadsheet would run it; reading takes the apostrophe off again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from registry.contacts import normal_contact, normal_phone, problems_of_contact
from registry.devices import check_facts
from registry.enterprises import (
    LONGEST_NAME,
    name_problems,
    problems_of_district,
    problems_of_enterprise,
    problems_of_zone,
    text_problems,
)
from registry.errors import Problem, shorten
from registry.views import Placed
from schemas.enterprises import Contact, District, Enterprise, Flammables, Zone
from schemas.entries import DeviceFacts
from schemas.errors import ConfigError
from schemas.identity import NAME

Cell = Callable[[Any], Any]
"""What stands in a cell (text, or a value of TOML) → the field's value. Raises BadCell."""

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
_BETWEEN = re.compile(r"[;,|、，；\s]+")
_YES = frozenset({"true", "yes", "y", "1", "是", "有"})
_NO = frozenset({"false", "no", "n", "0", "否", "无"})
_FLAMMABLES = {"无": "none", "少量": "some", "大量": "much"}
_FACT_FIELDS = {
    "rated current": "rated_current_a", "period": "period_s", "heat class": "heat_class", "profile": "profiles",
}  # fmt: skip
FACTS = ("rated_current_a", "period_s", "supply", "heat_class", "trade", "profiles", "out_of_service", "gateway")


class BadCell(Exception):
    """A cell that cannot be read: what is wrong, and what to write."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


class Sort(StrEnum):
    """What a file is about, in the order in which files of one import are taken."""

    DISTRICTS = "districts"
    ENTERPRISES = "enterprises"
    ZONES = "zones"
    CONTACTS = "contacts"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class Column:
    """needed: a file without it is refused."""

    field: str
    read: Cell
    names: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """make: a row's values → its shape.  key: the fields that name a row."""

    sort: Sort
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    make: Callable[..., Any]
    problems: Callable[[Any], list[Problem]]


def guarded(text: str) -> str:
    """As it is written into a cell of text."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """A cell of text as it was meant."""
    return cell[1:] if cell.startswith("'") and _GUARDED.match(cell) else cell


def written(value: Any) -> str:
    """A field's value as a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple | list):
        return guarded(";".join(value))
    return guarded(str(value))


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return unguarded(cell.strip())
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    raise BadCell(f"{shorten(cell)!r} is not a text.", "Write it in quotes.")


def _code(cell: Any) -> str:
    """A code of digits that a spreadsheet took for a number."""
    text = _text(cell)
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text


def _number(cell: Any) -> float | None:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        try:
            return float(cell)
        except OverflowError:
            raise BadCell("it is too large a number.", "Leave it empty if not known.") from None
    text = _text(cell)
    if not text:
        return None
    if not _NUMBER.match(text):
        raise BadCell(f"{shorten(text)!r} is not a number.", "Write it like 85.5, or leave it empty if not known.")
    return float(text)


def _whole(cell: Any) -> int | None:
    number = _number(cell)
    if number is None:
        return None
    if not number.is_integer():
        raise BadCell(f"{shorten(cell)!r} is not a whole number.", "Leave it empty if not known.")
    return int(number)


def _order(cell: Any) -> int:
    number = _whole(cell)
    if number is None:
        raise BadCell("it is empty.", "Use 1 to 99; 1 is told first.")
    return number


def _own_number(cell: Any) -> int:
    return _whole(cell) or 0


def _boolean(cell: Any) -> bool | None:
    if isinstance(cell, bool):
        return cell
    text = _text(cell).lower()
    if not text:
        return None
    if text not in _YES | _NO:
        raise BadCell(f"{shorten(text)!r} is neither yes nor no.", "Write true or false, or leave it empty.")
    return text in _YES


def _flag(cell: Any) -> bool:
    return _boolean(cell) or False


def _flammables(cell: Any) -> Flammables | None:
    text = _text(cell).lower()
    try:
        return Flammables(_FLAMMABLES.get(text, text)) if text else None
    except ValueError as error:
        raise BadCell(f"{shorten(text)!r} is not known.", f"Use {', '.join(Flammables)}, or leave it empty.") from error


def _words(cell: Any) -> tuple[str, ...]:
    if isinstance(cell, list):
        return tuple(_text(one) for one in cell)
    return tuple(word for word in _BETWEEN.split(_text(cell)) if word)


def _channels(cell: Any) -> tuple[str, ...]:
    return _words(cell) or ("sms",)


def _or(default: str) -> Cell:
    return lambda cell: _text(cell) or default


def _maybe(cell: Any) -> str | None:
    return _text(cell) or None


def _phone(cell: Any) -> str:
    """Any error about it is said without it."""
    try:
        text = _code(cell)
    except BadCell as error:
        raise BadCell("it is not a phone number.", "Write it in quotes, with its country.") from error
    if re.match(r"[0-9.]+[eE]\+", text):
        raise BadCell("a spreadsheet has made a number of it.", "Make the column one of text, and write it again.")
    return normal_phone(text)


def _problems_of_device(device: Placed) -> list[Problem]:
    found = [
        *name_problems("enterprise", device.enterprise),
        *name_problems("device", device.device),
        *([] if not device.zone or NAME.match(device.zone) else name_problems("zone", device.zone)),
        *text_problems("name", device.name, LONGEST_NAME),
        *text_problems("name_en", device.name_en, LONGEST_NAME),
    ]
    if not found:
        try:
            check_facts(DeviceFacts(device.enterprise, device.device, **{f: getattr(device, f) for f in FACTS}))
        except ConfigError as error:
            field = _FACT_FIELDS.get(error.field, error.field)
            found.append(Problem(field, error.what.removeprefix(f"{error.field}: "), error.mend))
    return found


def _make_contact(**values: Any) -> Contact:
    return normal_contact(Contact(**values))


_NAMES = (
    Column("name", _text, ("名称",), needed=True),
    Column("name_en", _text, ("英文名称", "英文名")),
)
_ENTERPRISE = Column("enterprise", _code, ("企业编码", "企业代码", "单位编码", "企业"), needed=True)

KINDS: dict[Sort, Kind] = {
    kind.sort: kind
    for kind in (
        Kind(
            Sort.DISTRICTS,
            (Column("code", _code, ("区划代码", "行政区划代码", "编码", "代码"), needed=True), *_NAMES),
            ("code",),
            District,
            problems_of_district,
        ),
        Kind(
            Sort.ENTERPRISES,
            (
                Column("code", _code, ("企业编码", "企业代码", "单位编码", "编码", "代码"), needed=True),
                Column("name", _text, ("企业名称", "单位名称", "名称"), needed=True),
                Column("name_en", _text, ("英文名称", "英文名")),
                Column("trade", _text, ("行业代码", "行业", "行业分类"), needed=True),
                Column("district", _code, ("区划代码", "行政区划代码", "区划", "辖区"), needed=True),
                Column("address", _text, ("地址", "详细地址")),
                Column("address_en", _text, ("英文地址",)),
                Column("longitude", _number, ("经度",)),
                Column("latitude", _number, ("纬度",)),
                Column("hours", _text, ("营业时间", "工作时间")),
                Column("timezone", _or("Asia/Shanghai"), ("时区",)),
                Column("area_m2", _number, ("面积", "建筑面积", "面积(m²)", "面积（平方米）", "建筑面积（平方米）")),
                Column("built", _whole, ("建成年份", "建成年代")),
                Column("wired", _whole, ("线路年份", "电气线路年份")),
                Column("open_flame", _boolean, ("明火", "使用明火")),
                Column("flammables", _flammables, ("易燃物", "易燃品")),
                Column("people", _whole, ("人数", "最大人数")),
            ),
            ("code",),
            Enterprise,
            problems_of_enterprise,
        ),
        Kind(
            Sort.ZONES,
            (
                _ENTERPRISE,
                Column("zone", _code, ("区域编码", "区域代码", "编码"), needed=True),
                Column("name", _text, ("区域名称", "名称"), needed=True),
                Column("name_en", _text, ("英文名称", "英文名")),
                Column("floor", _code, ("楼层",)),
            ),
            ("enterprise", "zone"),
            Zone,
            problems_of_zone,
        ),
        Kind(
            Sort.CONTACTS,
            (
                _ENTERPRISE,
                Column("order", _order, ("顺序", "序号"), needed=True),
                Column("name", _text, ("姓名", "联系人", "名称"), needed=True),
                Column("duty", _text, ("职务", "职责")),
                Column("phone", _phone, ("电话", "手机", "手机号", "联系电话")),
                Column("channels", _channels, ("渠道", "通知方式")),
                Column("language", _or("zh"), ("语言",)),
                Column("hours", _text, ("联系时间", "可联系时间")),
                Column("least", _or("orange"), ("最低等级", "最低预警等级")),
                Column("id", _own_number, ("联系人编号",)),
            ),
            ("enterprise", "order"),
            _make_contact,
            problems_of_contact,
        ),
        Kind(
            Sort.DEVICES,
            (
                _ENTERPRISE,
                Column("device", _code, ("设备编码", "设备代码", "设备编号", "设备"), needed=True),
                Column("zone", _code, ("区域编码", "区域代码", "区域")),
                Column("name", _text, ("设备名称", "名称")),
                Column("name_en", _text, ("英文名称", "英文名")),
                Column("rated_current_a", _number, ("额定电流", "额定电流(A)", "额定电流（A）")),
                Column("period_s", _number, ("上报周期", "上报周期(s)", "上报周期（秒）")),
                Column("supply", _maybe, ("供电", "供电方式")),
                Column("heat_class", _maybe, ("感温类别",)),
                Column("trade", _maybe, ("行业",)),
                Column("profiles", _words, ("规则集",)),
                Column("out_of_service", _flag, ("停用",)),
                Column("gateway", _maybe, ("网关", "所属网关")),
            ),
            ("enterprise", "device"),
            Placed,
            _problems_of_device,
        ),
    )
}


def column_of(kind: Kind, heading: str) -> Column | None:
    """The column that a heading names, by its field or by one of its other names."""
    name = heading.strip().lstrip("\ufeff").strip()
    plain = name.lower().replace(" ", "_").replace("-", "_")
    return next((one for one in kind.columns if plain == one.field or name in one.names), None)


def kind_of(headings: Sequence[str]) -> Kind | None:
    """What a file with these headings is about: the kind that knows most of them, if all that it needs is there."""
    known = {kind.sort: {c.field for heading in headings if (c := column_of(kind, heading))} for kind in KINDS.values()}
    most = max(len(fields) for fields in known.values())
    nearest = (
        kind
        for kind in KINDS.values()
        if len(known[kind.sort]) == most and all(c.field in known[kind.sort] for c in kind.columns if c.needed)
    )
    return next(nearest, None)
