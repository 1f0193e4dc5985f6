"""The table of odd input, line by line: what is admitted, what is refused, and the code of the answer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ingest.admission import AHEAD_US, LONGEST_FIELD, MOST_REJECTS, admit_status, admit_telemetry
from ingest.answers import encode_errors
from ingest.ports import Refused
from schemas.measures import MEASURES
from schemas.readings import Origin, Quality
from schemas.rejects import CLOCK_CODES, Code
from tests.messages import ARRIVAL_US

Values = dict[str, float]
Codes = list[tuple[str, str]]


def admitted(payload: bytes) -> tuple[Values, Codes]:
    outcome = admit_telemetry(payload, ARRIVAL_US)
    return {r.key: r.value for r in outcome.readings}, [(r.code, r.field) for r in outcome.rejects]


@pytest.mark.parametrize(
    ("payload", "code", "field"),
    [
        pytest.param(b"smoke=1", "not_json", "", id="not JSON"),
        pytest.param(b'{"smoke":1', "not_json", "", id="cut off"),
        pytest.param(b'{"smoke":1}}', "not_json", "", id="more behind it"),
        pytest.param(b"{'smoke':1}", "not_json", "", id="single quotes"),
        pytest.param(b'{"smoke":1,}', "not_json", "", id="a comma too many"),
        pytest.param(b'{"smoke":01}', "not_json", "", id="a leading zero"),
        pytest.param(b'{"smoke":.5}', "not_json", "", id="no digit before the point"),
        pytest.param(b'{"smoke":+1}', "not_json", "", id="a plus"),
        pytest.param(b'{"smoke":0x10}', "not_json", "", id="hexadecimal"),
        pytest.param(b'{"smoke":1}\x00', "not_json", "", id="a NUL behind it"),
        pytest.param(b'\xef\xbb\xbf{"smoke":1}', "not_json", "", id="a byte order mark"),
        pytest.param(b"3.5", "not_object", "", id="a number"),
        pytest.param(b'"online"', "not_object", "", id="text"),
        pytest.param(b"null", "not_object", "", id="null"),
        pytest.param(b'{"smoke":"\xff"}', "utf8", "", id="bad UTF-8"),
        pytest.param(b'{"\xed\xa0\x80":1}', "utf8", "", id="a surrogate in UTF-8"),
        pytest.param(b"", "empty", "", id="empty"),
        pytest.param(b" \r\n", "empty", "", id="only white space"),
        pytest.param(b"{}", "empty", "", id="an empty object"),
        pytest.param(b'{"ts":1790000000000}', "empty", "", id="only a time"),
        pytest.param(b"[]", "empty", "", id="an empty array"),
        pytest.param(b"[{}]", "empty", "[0]", id="an empty object in an array"),
        pytest.param(b"[" * 100_000, "nested", "", id="nested deep"),
        pytest.param(b'{"smoke":' * 100_000, "nested", "", id="objects nested deep"),
        pytest.param(b'{"smoke":NaN}', "not_finite", "smoke", id="NaN"),
        pytest.param(b'{"smoke":-Infinity}', "not_finite", "smoke", id="Infinity"),
        pytest.param(b'{"value":1e400}', "too_large", "value", id="1e400"),
        pytest.param(b'{"value":' + b"9" * 5000 + b"}", "too_large", "value", id="five thousand digits"),
        pytest.param(b'{"smoke":"0.4"}', "text", "smoke", id="a number as text"),
        pytest.param(b'{"smoke":null}', "type", "smoke", id="null for a value"),
        pytest.param(b'{"smoke":[1]}', "type", "smoke", id="an array for a value"),
        pytest.param(b'{"smoke":{"v":1}}', "type", "smoke", id="an object for a value"),
        pytest.param(b'{"smoke":true}', "type", "smoke", id="a boolean for a number"),
        pytest.param(b'{"mains":0.5}', "flag", "mains", id="half a flag"),
        pytest.param(b'{"mains":2}', "flag", "mains", id="two for a flag"),
        pytest.param(b'{"Smoke":1}', "unknown_measure", "Smoke", id="another case"),
        pytest.param(b'{"":1}', "unknown_measure", "", id="an empty key"),
        pytest.param(b'{"smoke.":1}', "channel", "smoke.", id="an empty channel"),
        pytest.param(b'{"smoke.a.b":1}', "channel", "smoke.a.b", id="two channels"),
        pytest.param(b'{"smoke.abcdefghijklmnopq":1}', "channel", "smoke.abcdefghijklmnopq", id="a long channel"),
        pytest.param(b'{"smoke":1,"smoke":1}', "duplicate", "smoke", id="duplicate keys"),
        pytest.param(b'{"smoke":1,"sm\\u006fke":2}', "duplicate", "smoke", id="duplicate keys, one escaped"),
        pytest.param(b'{"smoke":200}', "physical", "smoke", id="outside anything physical"),
        pytest.param(b'{"temperature":-300}', "physical", "temperature", id="below absolute zero"),
        pytest.param(b"[3]", "not_object", "[0]", id="an array of numbers"),
        pytest.param(b'[[{"smoke":1}]]', "not_object", "[0]", id="an array in an array"),
    ],
)
def test_odd_input_is_refused_with_its_code_and_field(payload: bytes, code: str, field: str) -> None:
    """Nothing of it becomes a reading, and the answer names what to mend."""
    outcome = admit_telemetry(payload, ARRIVAL_US)
    assert outcome.readings == []
    assert [(reject.code, reject.field) for reject in outcome.rejects] == [(code, field)]
    (reject,) = outcome.rejects
    assert reject.reason.endswith(".")
    assert reject.mend.endswith(".")
    assert reject.code in set(Code)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'"gas":NaN', "not_finite"),
        (b'"gas":1e400', "too_large"),
        (b'"gas":"1"', "text"),
        (b'"gas":1,"gas":2', "duplicate"),
        (b'"fumes":1', "unknown_measure"),
        (b'"meta":{"deep":[{"er":1}]}', "unknown_measure"),
        (b'"gas":99999', "physical"),
    ],
)
def test_good_fields_of_the_same_object_go_on(bad: bytes, code: str) -> None:
    """A smoke reading is not lost for a neighbour's mistake."""
    for payload in (b'{"smoke":1,' + bad + b',"co":2}', b"{" + bad + b',"smoke":1,"co":2}'):
        values, codes = admitted(payload)
        assert values == {"smoke": 1.0, "co": 2.0}
        assert [one for one, _ in codes] == [code]


def test_good_objects_of_an_array_go_on() -> None:
    """One torn entry of a back-fill does not cost the others."""
    values, codes = admitted(b'[{"ts":1789999990000,"smoke":1},7,{"ts":1789999990000,"co":"x","gas":3}]')
    assert values == {"smoke": 1.0, "gas": 3.0}
    assert codes == [("not_object", "[1]"), ("text", "[2].co")]


def test_booleans_are_admitted_for_every_flag_and_negative_zero_for_every_number() -> None:
    """Both are what devices send."""
    for measure in MEASURES:
        if measure.flag:
            assert admitted(b'{"%s":true,"%s.b":false}' % ((measure.name.encode(),) * 2)) == (
                {measure.name: 1.0, f"{measure.name}.b": 0.0},
                [],
            )
        low, high = measure.physical
        if low <= 0.0 <= high:
            values, codes = admitted(b'{"%s":-0.0}' % measure.name.encode())
            assert math.copysign(1.0, values[measure.name]) == 1.0, "as 0.0, so that equal values are equal bits"
            assert codes == []


def test_a_saturated_sensor_is_admitted_and_marked() -> None:
    """It may be a hazard: outside the instrument's range, within the physical."""
    outcome = admit_telemetry(b'{"temperature":150.5,"temperature.2":150,"gas":-6}', ARRIVAL_US)
    assert [(r.key, r.value, r.quality) for r in outcome.readings] == [
        ("temperature", 150.5, Quality.OUT_OF_RANGE),
        ("temperature.2", 150.0, Quality.GOOD),
        ("gas", -6.0, Quality.OUT_OF_RANGE),
    ]
    assert outcome.rejects == ()


def test_a_large_number_is_read_exactly() -> None:
    """Rounded once, to the nearest float64."""
    values, _ = admitted(b'{"value":0.1000000000000000055511151231257827,"value.b":9007199254740993,"value.c":1e-400}')
    assert values == {"value": 0.1, "value.b": 9007199254740992.0, "value.c": 0.0}


@pytest.mark.parametrize(
    ("ts", "event_us"),
    [
        pytest.param(b"1790000000000", ARRIVAL_US, id="epoch milliseconds"),
        pytest.param(b"1789999999999.5", ARRIVAL_US - 500, id="half a millisecond"),
        pytest.param(b"1.79e12", ARRIVAL_US, id="with an exponent"),
        pytest.param(b'"2026-09-21T14:13:20Z"', ARRIVAL_US, id="RFC 3339"),
        pytest.param(b'"2026-09-21t22:13:20.000001999+08:00"', ARRIVAL_US + 1, id="an offset, nanoseconds"),
        pytest.param(b'"2016-12-31T23:59:60Z"', 1_483_228_800_000_000, id="a leap second"),
        pytest.param(b"946684800000", 946_684_800_000_000, id="the year 2000 itself"),
        pytest.param(b"1790000300000", ARRIVAL_US + AHEAD_US, id="300 s ahead"),
        pytest.param(b"1700000000000", 1_700_000_000_000_000, id="years behind: never rewritten"),
    ],
)
def test_a_usable_time_is_the_event_time(ts: bytes, event_us: int) -> None:
    """Lateness is the engine's verdict, not admission's."""
    outcome = admit_telemetry(b'{"smoke":1,"ts":%s}' % ts, ARRIVAL_US)
    assert [(r.event_us, r.quality) for r in outcome.readings] == [(event_us, Quality.GOOD)]
    assert outcome.rejects == ()


@pytest.mark.parametrize(
    ("ts", "code", "mend"),
    [
        pytest.param(b"1790000000", "ts_unit", "1,000", id="seconds"),
        pytest.param(b"1790000000.25", "ts_unit", "1,000", id="seconds with a fraction"),
        pytest.param(b"1790000000000000", "ts_unit", "1,000", id="microseconds"),
        pytest.param(b"1790000000000000000", "ts_unit", "1,000,000", id="nanoseconds"),
        pytest.param(b"0", "ts_before_2000", "clock", id="the epoch"),
        pytest.param(b"946684799999", "ts_before_2000", "clock", id="1999"),
        pytest.param(b"-1e999999999999999999999", "ts_before_2000", "clock", id="beyond all units, before"),
        pytest.param(b'"1999-12-31T23:59:59Z"', "ts_before_2000", "clock", id="1999 as text"),
        pytest.param(b"1790000300001", "ts_ahead", "clock", id="more than 300 s ahead"),
        pytest.param(b'"2026-09-21T14:18:20.001Z"', "ts_ahead", "clock", id="ahead, as text"),
        pytest.param(b"1e999999999999999999999", "ts_ahead", "clock", id="beyond all units"),
        pytest.param(b'"yesterday"', "ts_unreadable", "RFC 3339", id="words"),
        pytest.param(b'"2026-02-30T00:00:00Z"', "ts_unreadable", "RFC 3339", id="no such day"),
        pytest.param(b'"2026-09-21T14:13:20"', "ts_unreadable", "RFC 3339", id="no zone"),
        pytest.param(b'"1790000000000"', "ts_unreadable", "RFC 3339", id="a number as text"),
        pytest.param(b"null", "ts_unreadable", "RFC 3339", id="null"),
        pytest.param(b"true", "ts_unreadable", "RFC 3339", id="a boolean"),
        pytest.param(b"[1]", "ts_unreadable", "RFC 3339", id="an array"),
        pytest.param(b"NaN", "ts_unreadable", "RFC 3339", id="NaN"),
        pytest.param(b'1790000000000,"ts":1790000000000', "ts_unreadable", "once", id="twice"),
    ],
)
def test_no_good_value_is_refused_for_its_clock(ts: bytes, code: str, mend: str) -> None:
    """Admitted as of the arrival with quality clock, and told how to mend it; nothing of it is quarantined."""
    outcome = admit_telemetry(b'{"ts":%s,"smoke":1,"gas":200}' % ts, ARRIVAL_US)
    assert [(r.key, r.event_us, r.quality) for r in outcome.readings] == [
        ("smoke", ARRIVAL_US, Quality.CLOCK),
        ("gas", ARRIVAL_US, Quality.CLOCK),
    ]
    (reject,) = outcome.rejects
    assert (reject.code, reject.field) == (code, "ts")
    assert mend in reject.mend
    assert reject.code in CLOCK_CODES


def test_an_array_is_a_back_fill_whose_objects_have_their_own_times() -> None:
    """Without times its readings collide at the arrival; then the device is told, once."""
    outcome = admit_telemetry(b'[{"ts":1789999990000,"smoke":1},{"ts":1789999991000,"smoke":2}]', ARRIVAL_US)
    assert [(r.event_us - ARRIVAL_US, r.origin) for r in outcome.readings] == [
        (-10_000_000, Origin.REPLAY),
        (-9_000_000, Origin.REPLAY),
    ]
    assert outcome.rejects == ()
    values, codes = admitted(b'[{"smoke":1},{"smoke":2},{"smoke":3},{"gas":1}]')
    assert (len(values), codes) == (2, [("ts_missing", "ts")])
    assert admitted(b'[{"smoke":1},{"gas":2},{"ts":1789999990000,"smoke":3}]')[1] == []


def test_a_status_is_one_of_two_words() -> None:
    """`online` is a measure like any other, and the last will speaks it."""
    for word, value in ((b"online", 1.0), (b"offline", 0.0)):
        (reading,) = admit_status(word, ARRIVAL_US).readings
        assert (reading.measure.name, reading.value, reading.event_us) == ("online", value, ARRIVAL_US)
    for word in (b"Online", b"", b'"online"', b"online\n", b"\xff"):
        outcome = admit_status(word, ARRIVAL_US)
        assert ([reject.code for reject in outcome.rejects], outcome.readings) == (["status"], [])


def test_an_answer_says_where_the_json_breaks() -> None:
    """In the parser's own words, which never quote the payload."""
    for payload, words in (
        (b'{"smoke":1}x', "at character 11: extra data."),
        (b'{"smoke":}', "at character 9: expecting value."),
        (b'{"smo\nke":1}', "at character 5: invalid control character."),
        (b'{"smoke', "at character 1: unterminated string starting."),
    ):
        (reject,) = admit_telemetry(payload, ARRIVAL_US).rejects
        assert reject.reason == f"The payload is not JSON {words}"


def test_an_answer_is_bounded_and_names_what_refuses_first() -> None:
    """A payload of 256 KiB may hold twenty thousand mistakes."""
    objects = b",".join(b'{"ts":0,"smoke":1,"x%d":1}' % i for i in range(100))
    rejects = admit_telemetry(b"[" + objects + b"]", ARRIVAL_US).rejects
    assert len(rejects) == MOST_REJECTS + 1
    assert {reject.code for reject in rejects[:-1]} == {"unknown_measure"}
    assert (rejects[-1].code, rejects[-1].reason[:4]) == ("more", "180 ")
    only_clocks = admit_telemetry(b"[" + b",".join([b'{"ts":0,"smoke":1}'] * 100) + b"]", ARRIVAL_US).rejects
    assert {reject.code for reject in only_clocks} <= CLOCK_CODES, "a message that is all admitted is not quarantined"


def test_an_answer_holds_no_payload_but_a_short_printable_key() -> None:
    """It is stored, logged and shown."""
    key = b"k\\u0000\\ud800\\n" + b"x" * 100
    (reject,) = admit_telemetry(b'{"%s":"secret"}' % key, ARRIVAL_US).rejects
    assert reject.field == "k" + "�" * 3 + "x" * (LONGEST_FIELD - 4)
    assert "secret" not in reject.reason + reject.mend
    refused = Refused(0, "shop", "kitchen", "t", b"", ARRIVAL_US, (reject,))
    assert encode_errors(refused).startswith(
        b'{"arrival":1790000000000000,"rejects":[{"code":"unknown_measure","field":'
    )


def test_every_measure_is_read_by_its_name_and_with_a_channel() -> None:
    """The table of measures is the only list of them."""
    for measure in MEASURES:
        low, high = measure.physical
        inside: Any = min(max(0.0, low), high)
        payload = b'{"%s":%g,"%s.L1":%g}' % (measure.name.encode(), inside, measure.name.encode(), inside)
        assert admitted(payload) == ({measure.name: inside, f"{measure.name}.L1": inside}, [])
