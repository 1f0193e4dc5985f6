"""Payloads for properties of the codecs: what devices send, and what is nearly that."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from tests.codec_twins import KEYS
from tests.messages import ARRIVAL_US

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
