"""Files of the registry: what is understood, and what is said of what is not, by row and column."""

from __future__ import annotations

from typing import Any

import pytest

from registry.columns import KINDS, Sort, column_of, guarded, kind_of, unguarded
from registry.exporting import BOM, write_csv
from registry.importing import Table, read
from registry.views import Placed
from schemas.enterprises import Contact, District, Enterprise, Flammables, Zone
from schemas.errors import ConfigError
from tests.registry_world import KITCHEN, NOODLES, WANG, WEST

HEAD = "code,name,trade,district"
GOOD = f"{HEAD}\nnoodles,老王面馆,H6210,330106\n"


def one(data: str | bytes, file: str = "x.csv") -> Table:
    (table,) = read(file, data.encode() if isinstance(data, str) else data)
    return table


def said(data: str | bytes, file: str = "x.csv") -> list[tuple[int, str, str]]:
    """(row, column, what) of everything that is wrong."""
    return [(p.row, p.column, p.what) for row in one(data, file).rows() for p in row.problems]


def values(data: str | bytes, file: str = "x.csv") -> list[Any]:
    rows = list(one(data, file).rows())
    assert [row.problems for row in rows if row.problems] == []
    return [row.value for row in rows]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (GOOD.encode(), "UTF-8"),
        (GOOD.encode("utf-8-sig"), "UTF-8 with BOM"),
        (GOOD.encode("gbk"), "GB 18030"),
        (GOOD.replace("老", "㐀𠀀").encode("gb18030"), "GB 18030"),
        (GOOD.encode("utf-16"), "UTF-16"),
    ],
)
def test_the_encoding_is_found_and_said(data: bytes, encoding: str) -> None:
    """Spreadsheets in China write GBK; who imports does not know what that is."""
    table = one(data)
    assert table.encoding == encoding
    (row,) = table.rows()
    assert row.value.name.endswith("王面馆")


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_and_the_ends_of_lines_are_found(delimiter: str, name: str, end: str) -> None:
    """Also with quotes in which the others stand."""
    text = GOOD.replace(",", delimiter).replace("老王面馆", '"a,;b ""c"""').replace("\n", end)
    table = one(text)
    (row,) = table.rows()
    assert (table.delimiter, row.value.name) == (name, 'a,;b "c"')


def test_chinese_headings_are_understood() -> None:
    """In any order, with a column that nobody knows, which is named."""
    table = one(
        "备注,单位名称,企业编码,行业代码,区划代码,明火,易燃物,面积,营业时间,latitude,经度\n"
        "x,老王面馆,noodles,H6210,330106,是,少量,85.5,24/7,30.27,120.13\n"
    )
    (row,) = table.rows()
    assert row.problems == []
    assert row.value == Enterprise(
        code="noodles",
        name="老王面馆",
        trade="H6210",
        district="330106",
        open_flame=True,
        flammables=Flammables.SOME,
        area_m2=85.5,
        hours="24/7",
        longitude=120.13,
        latitude=30.27,
    )
    assert table.notes == ["the column '备注' is not known and is left out."]
    assert "is address meant?" in one(GOOD.replace("district", "district,addres")).notes[0]


@pytest.mark.parametrize(
    ("headings", "sort"),
    [
        ("code name", Sort.DISTRICTS),
        ("编码 名称", Sort.DISTRICTS),
        ("code name trade district", Sort.ENTERPRISES),
        ("企业编码 企业名称 行业代码 区划代码", Sort.ENTERPRISES),
        ("enterprise zone name", Sort.ZONES),
        ("企业编码 区域编码 名称 楼层", Sort.ZONES),
        ("enterprise order name phone", Sort.CONTACTS),
        ("企业编码 顺序 姓名 电话", Sort.CONTACTS),
        ("enterprise device", Sort.DEVICES),
        ("enterprise device zone name", Sort.DEVICES),
        ("企业编码 设备编码 区域编码 名称", Sort.DEVICES),
    ],
)
def test_what_a_file_is_about_is_found_by_its_headings(headings: str, sort: Sort) -> None:
    """Its name says nothing: people call them all `导出 (2).csv`."""
    found = kind_of(headings.split())
    assert found is not None
    assert found.sort is sort


def test_every_wrong_cell_is_named_by_row_and_column_with_what_to_write() -> None:
    """As the spreadsheet counts, and as the file calls the column."""
    text = (
        "企业编码,名称,行业,辖区,面积,建成年份,明火,经度,纬度\n"
        "a b,,restaurant,杭州,many,98,maybe,1,\n"
        "\n"
        "ok,好,H62,330106,,,,,\n"
        "ok,再,H62,330106,,1998.5,,200,30\n"
    )
    assert said(text) == [
        (2, "面积", "'many' is not a number."),
        (2, "明火", "'maybe' is neither yes nor no."),
        (5, "建成年份", "'1998.5' is not a whole number."),
    ]
    assert said(text.replace("many", "").replace("maybe", "").replace("1998.5", "")) == [
        (2, "企业编码", "'a b' cannot stand in a topic."),
        (2, "名称", "it is empty."),
        (2, "行业", "'restaurant': it is not a code of GB/T 4754."),
        (2, "辖区", "'杭州' is not the code of a district."),
        (2, "纬度", "one of longitude and latitude alone is no place."),
        (2, "建成年份", "98 is not a year."),
        (5, "经度", "200 is outside -180 to 180."),
    ]
    for row in one(text).rows():
        assert all(problem.mend for problem in row.problems)


def test_the_second_of_two_rows_with_one_key_is_refused() -> None:
    """Which of them is meant, a person must say."""
    assert said(GOOD + "noodles,b,H62,330106\nnoodles,c,H62,330106\n") == [
        (3, "code", "noodles stands in row 2 too."),
        (4, "code", "noodles stands in row 2 too."),
    ]
    assert said("enterprise,order,name,channels\na,1,x,journal\na,2,y,journal\na,01,z,journal\n") == [
        (4, "order", "a/1 stands in row 2 too.")
    ]


def test_no_phone_number_stands_in_an_error() -> None:
    """Errors are shown, written into files and sent to helpers."""
    text = (
        "enterprise,order,name,phone\na,1,x,138001380001380013800\na,2,x,1.38001E+10\na,3,x,13800138oo0\n"
        "13800138000,1,x,\n"
    )
    found = said(text)
    assert [(row, column) for row, column, _ in found] == [(2, "phone"), (3, "phone"), (4, "phone"), (5, "phone")]
    assert "1380" not in str([what for _, _, what in found])
    assert "number of it" in found[1][2]
    toml = '[[contacts]]\nenterprise = "a"\norder = 1\nname = "x"\nphone = 1.5\n'
    assert "1.5" not in str(said(toml, "x.toml"))


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("13800138000", "+8613800138000"),
        ("'+8613800138000", "+8613800138000"),
        ("+8613800138000", "+8613800138000"),
        ("8613800138000", "+8613800138000"),
        ("138 0013 8000", "+8613800138000"),
        ("13800138000.0", "+8613800138000"),
    ],
)
def test_a_number_is_read_as_spreadsheets_leave_it(cell: str, kept: str) -> None:
    """They take the plus away, or put an apostrophe before it."""
    (contact,) = values(f"enterprise,order,name,phone\na,1,x,{cell}\n")
    assert contact.phone == kept


def test_rows_that_cannot_be_taken_apart_are_named() -> None:
    """The rows before them are good; behind a quote that is open nothing can be trusted."""
    assert said(GOOD + "b,b,H62,330106,too,many\n") == [(3, "", "it has 6 cells, the headings are 4.")]
    assert said(GOOD + 'b,"b"c,H62,330106\nd,d,H62,330106\n') == [
        (3, "", "there is text behind the quote that ends a cell.")
    ]
    assert said(GOOD + 'b,"b,H62,330106\nd,d,H62,330106\n') == [
        (3, "", "a quote is not closed; nothing behind it was read.")
    ]
    assert said(GOOD + "b\n") == [(3, column, "it is empty.") for column in ("name", "trade", "district")]
    assert said(GOOD + "b,b,H62,330106,,,\n") == [], "empty cells behind the last are what spreadsheets leave"
    assert said(f"{HEAD}\nb,{'x' * 20_000},H62,330106\n") == [(2, "name", "it has 20000 characters.")]
    assert said(f"{HEAD}\nb,a\0b,H62,330106\n")[0][:2] == (2, "name")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "no headings"),
        (b"\n\n", "no headings"),
        (b"a,b,c\n1,2,3\n", "not those of a file"),
        (b"code,name,trade\nx,y,z\n", "has district too"),
        (b"code,name,address\nx,y,z\n", "has trade, district too"),
        (b"code,code,name\n", "one column"),
        ("code,编码,name\n".encode(), "one column"),
        (b"\xff\xff\xff", "neither UTF-8 nor GB 18030"),
        (b"code,name\n1,\x81\n", "row 2"),
        (b"\xef\xbb\xbfcode,\xff", "though it says so"),
        (b"\xff\xfe\x00", "though it says so"),
        (b"PK\x03\x04\x14\x00", "workbook"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_says_why(data: bytes, what: str) -> None:
    """By its name, since there may be several."""
    try:
        table = one(data, "city.csv")
    except ConfigError as error:
        assert what in str(error)
        assert error.field == "city.csv"
        assert error.mend
    else:
        pytest.fail(f"it was read as {table.kind.sort}")


def test_a_file_may_be_said_to_be_something() -> None:
    """And then lacks what that needs."""
    with pytest.raises(ConfigError, match=r"zone \(区域编码\)"):
        read("x.csv", GOOD.encode(), Sort.ZONES)
    assert read("x.csv", GOOD.encode(), Sort.DISTRICTS)[0].kind.sort is Sort.DISTRICTS


def test_toml_has_all_kinds_in_one_file() -> None:
    """With the types of TOML; a number where a text is meant is what people write."""
    tables = read(
        "registry.toml",
        """
        [[enterprises]]
        code = "noodles"
        name = "老王面馆"
        trade = "H6210"
        district = 330106
        area_m2 = 85
        open_flame = true
        colour = "red"
        [[contacts]]
        enterprise = "noodles"
        order = 1
        name = "王伟"
        phone = 13800138000
        channels = ["sms", "voice"]
        [[contacts]]
        enterprise = "noodles"
        order = 1.5
        name = true
        """.encode(),
    )
    assert [table.kind.sort for table in tables] == [Sort.ENTERPRISES, Sort.CONTACTS]
    (noodles,) = tables[0].rows()
    assert noodles.value == Enterprise(
        code="noodles", name="老王面馆", trade="H6210", district="330106", area_m2=85.0, open_flame=True
    )
    assert tables[0].notes == ["enterprises: the key 'colour' is not known and is left out."]
    wang, bad = tables[1].rows()
    assert wang.value == Contact(
        enterprise="noodles", order=1, name="王伟", phone="+8613800138000", channels=("sms", "voice")
    )
    assert [(p.row, p.column) for p in bad.problems] == [(2, "name"), (2, "order")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[shops]]\n", "shops"),
        ("[enterprises]\n", "enterprises"),
        ("enterprises = [1]\n", "list of tables"),
        ("x = [\n", "Invalid value"),
        ("code = 1\n", "code"),
    ],
)
def test_toml_that_is_something_else_is_refused(text: str, what: str) -> None:
    """With what may stand there."""
    with pytest.raises(ConfigError, match=what):
        read("x.toml", text.encode())


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+86", "'+86"),
        ("-x", "'-x"),
        ("@SUM", "'@SUM"),
        ("'=x", "''=x"),
        ("'x", "'x"),
        ("'", "'"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_what_begins_like_a_formula_has_an_apostrophe_in_files(text: str, cell: str) -> None:
    """A spreadsheet would run it; the import takes it off again, and nothing else."""
    assert guarded(text) == cell
    assert unguarded(cell) == text


def test_what_was_written_is_read_back() -> None:
    """Of every kind, with all that is hard: formulas, quotes, separators, numbers, nothing."""
    panel = Placed(
        enterprise="noodles", device="-panel", name="=1+1", rated_current_a=32.5, period_s=60.0, profiles=("co.us", "b")
    )
    rows: dict[Sort, list[Any]] = {
        Sort.DISTRICTS: [WEST, District("11", "@北京", "'Beijing")],
        Sort.ENTERPRISES: [NOODLES, Enterprise(code="x", name='=a,"b";c', trade="C18", district="11")],
        Sort.ZONES: [KITCHEN, Zone("x", "-1", "+1", "", "-1")],
        Sort.CONTACTS: [WANG],
        Sort.DEVICES: [panel, Placed(enterprise="x", device="y", out_of_service=True)],
    }
    assert set(rows) == set(KINDS)
    for sort, kept in rows.items():
        text = "".join(write_csv(sort, kept))
        assert text.startswith(BOM)
        (table,) = read(f"{sort}.csv", text.encode())
        assert table.kind.sort is sort
        found = list(table.rows())
        assert [row.problems for row in found] == [[] for _ in kept]
        assert [row.value for row in found] == kept
        again = "".join(write_csv(sort, [row.value for row in found]))
        assert again == text
        for cell in text.replace("\r\n", ",").split(","):
            assert not cell.strip('"').startswith(("=", "+", "@"))


def test_every_column_has_one_name_in_its_kind() -> None:
    """Else a heading would mean two."""
    for kind in KINDS.values():
        names = [name for column in kind.columns for name in (column.field, *column.names)]
        assert len(names) == len(set(names)), kind.sort
        for column in kind.columns:
            for name in (column.field, column.field.upper(), f" {column.field} ", *column.names):
                assert column_of(kind, name) is column


@pytest.mark.parametrize("text", ["enterprises = " + "[" * 5000, "[[enterprises]]\narea_m2 = " + "9" * 5000])
def test_toml_that_overtaxes_its_reader_is_refused_in_words(text: str) -> None:
    """It was a failure of ours: `internal`, without a word about the file."""
    with pytest.raises(ConfigError):
        read("x.toml", text.encode())


def test_a_number_that_no_measure_holds_is_wrong_by_row_and_column() -> None:
    (table,) = read("x.toml", b"[[enterprises]]\narea_m2 = " + b"9" * 400)
    (row,) = table.rows()
    assert ("area_m2", "it is too large a number.") in [(one.column, one.what) for one in row.problems]
