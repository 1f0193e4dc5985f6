"""The compiled reader and admission agree on everything that the compiled one takes, and it takes all that is usual."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.codec_twins import TOPICS, compiled, disagreements, known_sensors, obvious
from tests.messages import ARRIVAL_US, Door
from tests.payloads import torn

SENSORS = known_sensors()
TELEMETRY, STATUS = TOPICS

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
