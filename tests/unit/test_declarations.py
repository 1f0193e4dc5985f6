"""Names as numbers, and the bytes of a `Sensors` entry as columns: compiled, against what they mean."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.entries import EntryKind, Sensor, Sensors, decode, encode
from schemas.errors import CorruptState
from schemas.identity import VECTORS, id_of
from scoring.blake2b import number_of, scratch_of
from scoring.declarations import Declarations, declarations, head_of, picked

texts = st.one_of(st.text(max_size=40), st.text(min_size=250, max_size=300))
sensors = st.builds(Sensor, st.integers(-(1 << 63), (1 << 63) - 1), texts, texts, texts, texts, texts)


def compiled_id_of(text: str) -> int:
    data = text.encode()
    return int(number_of(np.frombuffer(bytearray(data + b" "), np.uint8), 0, len(data), scratch_of()))


def as_sensors(told: Declarations) -> list[Sensor]:
    rows = zip(told.ids.tolist(), told.starts.tolist(), told.ends.tolist(), strict=True)
    return [
        Sensor(number, *(told.body[a:b].tobytes().decode() for a, b in zip(starts, ends, strict=True)))
        for number, starts, ends in rows
    ]


def test_names_have_the_numbers_of_every_other_implementation() -> None:
    """A door and a bridge in another language must agree."""
    assert [compiled_id_of(text) for text, _ in VECTORS] == [number for _, number in VECTORS]


def test_a_compiled_number_is_the_same_for_every_length_of_name() -> None:
    """Around the ends of a block most of all."""
    for length in (*range(140), 255, 256, 257, 383, 384, 385):
        text = "n" * length
        assert compiled_id_of(text) == id_of(text)


@given(st.lists(sensors))
def test_the_columns_of_an_entry_are_its_sensors(told: list[Sensor]) -> None:
    """Whatever their lengths and ids are."""
    assert as_sensors(declarations(Sensors(told))) == told


def test_an_entry_of_an_earlier_form_is_read_all_the_same() -> None:
    """Old logs stay readable: what was left out has its default, keys that we do not know are passed over."""
    body = msgspec.msgpack.encode({"later": 1, "sensors": [[7, "shop", "kitchen", "smoke"]]})
    entry = decode(EntryKind.SENSORS, body)
    assert isinstance(entry, Sensors)
    assert as_sensors(declarations(entry)) == [Sensor(7, "shop", "kitchen", "smoke")]
    assert encode(entry) == body


def test_an_entry_is_what_msgspec_makes_of_its_fields() -> None:
    """The bytes are the contract with every log that was ever written."""
    told = [Sensor(id_of("shop/panel/current.L1"), "shop", "panel", "current", "L1", "A")]
    assert encode(Sensors(told)) == msgspec.msgpack.encode({"sensors": told})
    assert decode(EntryKind.SENSORS, encode(Sensors(told))) == Sensors(told)


def test_a_head_and_sensors_behind_it_are_an_entry() -> None:
    """The intake writes the sensors one by one and their number last."""
    told = [Sensor(number, "shop", "d", "smoke") for number in (1, 2)]
    body = head_of(2) + b"".join(msgspec.msgpack.encode(sensor) for sensor in told)
    assert as_sensors(declarations(Sensors.of_body(body, 2))) == told
    assert decode(EntryKind.SENSORS, body) == Sensors(told)


@given(st.lists(sensors, min_size=1, max_size=20), st.data())
def test_some_sensors_of_an_entry_are_an_entry(told: list[Sensor], data: st.DataObject) -> None:
    """An entry is cut by partition, and where it is too long for a record, without an object a sensor."""
    which = data.draw(st.lists(st.integers(0, len(told) - 1)))
    some = picked(declarations(Sensors(told)), np.array(which, np.int64))
    assert list(some) == [told[i] for i in which]
    again = picked(declarations(some), np.arange(len(some)))
    assert decode(EntryKind.SENSORS, encode(again)) == some


def test_an_id_beyond_64_bits_is_corrupt() -> None:
    """It could name nothing; a stop is better than another sensor's place."""
    with pytest.raises(CorruptState):
        declarations(Sensors([Sensor(1 << 63, "shop", "d", "smoke")]))


def test_an_entry_that_is_cut_short_is_corrupt() -> None:
    """Its reader is told at once, not when the first sensor is asked for."""
    with pytest.raises(CorruptState):
        decode(EntryKind.SENSORS, encode(Sensors([Sensor(1, "shop", "d", "smoke")]))[:-1])
