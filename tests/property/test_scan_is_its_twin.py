"""The compiled scan says what the naive one says, of frames, of pieces of frames, and of any bytes at all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.door.scan import Found, Passes, Stop, scan
from schemas import mqtt
from schemas.mqtt import Ack, Bare, Publish, Subscribe, Subscription, Type
from schemas.mqtt_fields import Prop
from tests.scan_twin import compiled, naive

topics = st.text("ab/é", min_size=1, max_size=6)
properties = st.sampled_from([{}, {}, {Prop.MESSAGE_EXPIRY: 60}, {Prop.USER: [("a", "b" * 130)]}])
publishes = st.builds(
    Publish, topics, st.binary(max_size=200), st.integers(0, 2), st.booleans(),
    packet_id=st.integers(1, 65535), properties=properties,
)  # fmt: skip
controls = st.sampled_from(
    [
        Bare(Type.PINGREQ),
        Ack(Type.PUBACK, 7),
        Subscribe(3, (Subscription("a"),)),
        Publish("a", b"x", 1, dup=True, packet_id=9),
    ]
)
packets = st.lists(st.one_of(publishes, publishes, publishes, controls), max_size=12)
versions = st.sampled_from([mqtt.V311, mqtt.V5])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, int]:
    """Frames, sometimes with a byte changed or the end cut off."""
    version = draw(versions)
    data = bytearray(b"".join(mqtt.encode(packet, version) for packet in draw(packets)))
    for _ in range(draw(st.integers(0, 2))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data), version


limits = st.tuples(st.integers(2, 300), st.integers(1, 20), st.integers(1, 40), st.booleans())


@settings(deadline=None)
@given(st.lists(streams(), min_size=1, max_size=4), limits)
def test_compiled_is_naive_over_frames(pieces: list[tuple[bytes, int]], limit: tuple[int, int, int, bool]) -> None:
    assert compiled(pieces, *limit) == naive(pieces, *limit)


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=300), versions), min_size=1, max_size=4), limits)
def test_compiled_is_naive_over_any_bytes(pieces: list[tuple[bytes, int]], limit: tuple[int, int, int, bool]) -> None:
    assert compiled(pieces, *limit) == naive(pieces, *limit)


@given(packets, versions, st.lists(st.integers(0, 2000), max_size=10))
@settings(deadline=None)
def test_cuts_do_not_matter(sent: list[mqtt.Packet], version: int, cuts: list[int]) -> None:
    """However a stream is cut, the same frames come out in the same order; control frames are stepped over here."""
    data = b"".join(mqtt.encode(packet, version) for packet in sent)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assert _frames([data], version) == _frames([data[a:b] for a, b in pairwise(places)], version)


def _frames(pieces: list[bytes], version: int) -> list[object]:
    frames: list[object] = []
    tail = b""
    for piece in pieces:
        tail += piece
        while True:
            told = compiled([(tail, version)], 1000, 50, 50)
            frames += [message[1:] for message in told.messages]
            stop, at, end = told.ends[0]
            if stop is not Stop.CONTROL:
                tail = tail[at:]
                break
            frames.append(tail[at:end])
            tail = tail[end:]
    return [*frames, tail]


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 9), (3, 2)])
def test_a_range_outside_the_buffer_is_refused(start: int, end: int) -> None:
    """Before the compiled code sees it."""
    passes = Passes(
        np.zeros(1, np.int32), np.array([start], np.int64), np.array([end], np.int64), np.full(1, 4, np.uint8)
    )
    with pytest.raises(IndexError):
        scan(np.zeros(8, np.uint8), passes, Found(4), 100, 10)
