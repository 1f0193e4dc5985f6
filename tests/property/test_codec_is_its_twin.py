"""The compiled reader and admission agree on everything that the compiled one takes, and it takes all that is usual."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.codec_twins import KEYS, TOPICS, compiled, disagreements, known_sensors, obvious
from tests.messages import ARRIVAL_US, Door

SENSORS = known_sensors()
TELEMETRY, STATUS = TOPICS

space = st.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])
digits = st.text("0123456789", min_size=0, max_size=22)
numbers = st.one_of(
    st.builds("{}{}.{}e{}{}".format, st.sampled_from(["", "-"]), digits, digits, st.sampled_from("+-"), digits),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits, digits),
    st.floats(allow_nan=True).map(json.dumps),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(-400, 400).map(repr),
)
others = st.sampled_from(["true", "false", "null", '"1"', "[]", "{}", "truefalse", "tru", "01", "-", "1.", "NaN"])
moments = st.datetimes(
    datetime(1999, 12, 1), datetime(2027, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9.5))])
)
times = st.one_of(
    st.integers(ARRIVAL_US // 1000 - 10**6, ARRIVAL_US // 1000 + 400_000).map(str),
    st.floats(ARRIVAL_US / 1000 - 1e6, ARRIVAL_US / 1000 + 4e5).map(repr),
    moments.map(lambda moment: f'"{moment.isoformat()}"'),
    moments.map(lambda moment: f'"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"'),
    st.text("0123456789-:TZ+.", max_size=27).map(lambda text: f'"{text}"'),
    numbers,
    others,
)
keys = st.one_of(
    st.sampled_from([*KEYS, "ts"]), st.sampled_from(["", "temperature.4", "smok", "t\\u0073", "smoke\t", "é"])
)
fields = st.one_of(
    st.tuples(st.sampled_from(KEYS), st.one_of(numbers, others)),
    st.tuples(st.just("ts"), times),
    st.tuples(keys, others),
)


@st.composite
def objects(draw: st.DrawFn) -> str:
    parts = [
        f'{draw(space)}"{key}"{draw(space)}:{draw(space)}{value}{draw(space)}' for key, value in draw(st.lists(fields))
    ]
    return "{" + ",".join(parts) + "}"


payloads = st.one_of(
    objects(),
    st.builds("{}[{}]{}".format, space, st.lists(objects(), max_size=4).map(" , ".join), space),
    st.text(max_size=30),
)


@st.composite
def torn(draw: st.DrawFn) -> bytes:
    """A payload some of whose bytes were changed, lost or doubled."""
    payload = bytearray(draw(payloads).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(payload)))
        payload[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(payload)


messages = st.lists(st.one_of(st.tuples(st.just(TELEMETRY), torn()), st.tuples(st.just(STATUS), torn())), max_size=8)


@settings(deadline=None, max_examples=400)
@given(messages)
@example([(TELEMETRY, b'{"value":9007199254740993}'), (TELEMETRY, b'{"value":-0.0}'), (STATUS, b"offline")])
@example([(TELEMETRY, b'[{"ts":1790000000000,"smoke":1},{"smoke":1}]')])
def test_what_the_compiled_reader_takes_admission_takes_without_a_word(batch: list[tuple[str, bytes]]) -> None:
    """The obvious way is the meaning; the compiled one is only faster."""
    door = Door()
    for topic in TOPICS:
        door.batch([(topic, b"")])
    assert disagreements(door.batch(batch), batch, SENSORS) == []


usual_values = st.one_of(
    st.floats(-1e6, 1e6).filter(lambda value: value == 0.0 or abs(value) > 1e-9).map(repr),
    st.floats(-50, 150).map("{:.2f}".format),
    st.integers(-999, 999).map(str),
)
usual_times = st.one_of(
    st.integers(ARRIVAL_US // 1000 - 10**6, ARRIVAL_US // 1000).map(str),
    st.floats(-1e6, 0).map(lambda seconds: f"{ARRIVAL_US / 1000 + seconds:.3f}"),
    st.floats(-1e6, 0).map(
        lambda seconds: json.dumps(
            (datetime.fromtimestamp(ARRIVAL_US / 1e6, UTC) + timedelta(seconds=seconds)).isoformat()
        )
    ),
)


@settings(deadline=None)
@given(st.lists(st.tuples(usual_times, st.just("value"), usual_values), min_size=1), st.booleans())
def test_the_compiled_reader_takes_whatever_is_usual(readings: list[tuple[str, str, str]], is_array: bool) -> None:
    """Or every message of a fleet would quietly cost a hundred times as much."""
    each = [f'{{"ts": {ts}, "{key}": {value}}}' for ts, key, value in readings]
    texts = [f"[{', '.join(each)}]"] if is_array else each
    batch = [(TELEMETRY, text.encode()) for text in texts]
    rows = compiled(Door().batch(batch), SENSORS)
    assert rows == [obvious(topic, payload, ARRIVAL_US + place) for place, (topic, payload) in enumerate(batch)]
