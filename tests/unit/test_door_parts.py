"""The door's parts one by one: filters, the tree of subscriptions, rights, PUBACK bytes, fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.door import repeats, sockets
from ingest.door import scan as scanning
from ingest.door.access import NOBODY, Rights, is_filter, may_publish, may_read
from ingest.door.limits import Counts
from ingest.door.repeats import Fingerprints
from ingest.door.scan import Found
from ingest.door.session import Session, Subscriptions, matches
from ingest.door.warm_up import compile_kernels
from ingest.intern import ByteTable
from ingest.saved import SessionKey
from schemas import mqtt
from schemas.mqtt import Ack, Subscription, Type
from schemas.principals import ANONYMOUS, Principal
from tests.door_world import TELEMETRY, door_world

words = st.sampled_from(["a", "b", "", "+", "#"])
names = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4).map("/".join)
filters = st.lists(words, min_size=1, max_size=4).map("/".join).filter(is_filter)


@pytest.mark.parametrize(
    ("wanted", "topic", "fits"),
    [("a/#", "a", True), ("a/#", "a/b/c", True), ("a/+", "a", False), ("+", "a", True), ("+/+", "/a", True),
     ("+", "/a", False), ("#", "a/b", True), ("a/+/c", "a//c", True), ("a", "a/", False)],
)  # fmt: skip
def test_filters_match_as_the_standard_says(wanted: str, topic: str, fits: bool) -> None:
    """MQTT 3.1.1, 4.7.1."""
    assert matches(wanted, topic) is fits


@given(st.lists(st.tuples(st.integers(0, 2), filters, st.booleans()), max_size=20), names)
def test_the_tree_is_matching_one_by_one(story: list[tuple[int, str, bool]], topic: str) -> None:
    """Also after subscriptions were taken back."""
    tree = Subscriptions()
    sessions = [Session(SessionKey("p", str(n)), ANONYMOUS, 0, 9, Counts(), lambda _: None) for n in range(3)]
    for number, wanted, is_added in story:
        if is_added:
            tree.add(sessions[number], Subscription(wanted))
        else:
            tree.remove(sessions[number], wanted)
    found = sorted(session.key.client_id for session, _ in tree.matching(topic))
    assert found == [s.key.client_id for s in sessions if any(matches(w, topic) for w in s.subscriptions)]
    for session in sessions:
        tree.clear(session)
    assert tree.matching(topic) == []


def test_what_may_be_published() -> None:
    device = Principal("d", devices=frozenset({"e/d"}))
    allowed = ["tocsin/v1/e/d/telemetry", "tocsin/v1/e/d/status"]
    refused = ["tocsin/v1/e/d/errors", "tocsin/v1/e/d/command", "tocsin/v1/e/x/telemetry", "tocsin/v1/e/alarms",
               "tocsin/v1/e/d", "tocsin/v2/e/d/telemetry", "tocsin/v1/e/d/telemetry/x", "a"]  # fmt: skip
    assert [topic for topic in allowed + refused if may_publish(device, topic)] == allowed
    assert may_publish(ANONYMOUS, refused[2])
    assert not may_publish(ANONYMOUS, refused[0])


@given(filters, st.sampled_from(["errors", "command", "status", "telemetry"]))
def test_a_filter_that_may_be_read_reaches_no_other_device(wanted: str, leaf: str) -> None:
    wanted = wanted.replace("a", "e").replace("b", "d")
    full = f"tocsin/v1/{wanted}"
    owner = Principal("o", devices=frozenset({"e/d"}), alarms=frozenset({"e"}))
    if may_read(owner, full):
        for other in (f"tocsin/v1/e/x/{leaf}", f"tocsin/v1/f/d/{leaf}", "tocsin/v1/f/alarms"):
            assert not matches(full, other)


def test_verdicts_belong_to_one_login() -> None:
    """A number that is used again would be another's right; a foreign topic takes no room."""
    rights = Rights(ByteTable(bytes(16)))
    one, other = Principal("1", devices=frozenset({"e/d"})), Principal("2")
    buffer = np.frombuffer(bytearray(b"tocsin/v1/e/d/statustocsin/v1/e/x/statusa+"), np.uint8)
    starts, ends = np.array([0, 20, 40], np.int64), np.array([20, 40, 42], np.int64)
    first, second = rights.enter(one), rights.enter(other)
    for _ in range(2):
        checked = rights.check(buffer, starts, ends, np.full(3, first, np.int32))
        assert (checked.topic_id.tolist(), checked.foreign, checked.malformed) == ([0, -1, -1], [1], [2])
    assert rights.check(buffer, starts[:1], ends[:1], np.full(1, second, np.int32)).foreign == [0]
    assert rights.check(buffer, starts[:1], ends[:1], np.full(1, NOBODY, np.int32)).topic_id.tolist() == [0]
    assert rights.is_status(np.zeros(1, np.int32)).tolist() == [1]
    assert len(rights.topics) == 1
    assert rights.enter(one) == first
    rights.leave(first)
    rights.leave(first)
    assert rights.enter(one) not in (first, second)


acks = st.tuples(st.integers(-1, 3), st.integers(0, 2), st.integers(1, 65535), st.sampled_from([0, 0x87]))


@settings(deadline=None)
@given(st.lists(acks, max_size=50), st.lists(st.sampled_from([4, 5]), min_size=4, max_size=4))
def test_pubacks_are_the_packets_one_by_one(rows: list[tuple[int, int, int, int]], versions: list[int]) -> None:
    columns = [
        np.array([row[k] for row in rows], kind) for k, kind in enumerate((np.int32, np.uint8, np.int32, np.uint8))
    ]
    out = sockets.acknowledge(*columns, np.array(versions, np.uint8))
    for place, version in enumerate(versions):
        wanted = [
            mqtt.encode(Ack(Type.PUBACK, number, reason), version)
            for connection, qos, number, reason in rows
            if connection == place and qos == 1
        ]
        assert out.bytes[out.start[place] : out.end[place]].tobytes() == b"".join(wanted)


def test_a_puback_for_nobodys_connection_is_refused() -> None:
    one = np.ones(1, np.uint8)
    with pytest.raises(IndexError):
        sockets.acknowledge(np.array([1], np.int32), one, one.astype(np.int32), one, one)


def test_unfinished_bytes_that_are_not_there_are_refused() -> None:
    """Before compiled code copies them."""
    with pytest.raises(IndexError):
        sockets.receive(
            np.zeros(1, np.int32), np.zeros(1, np.uint8), np.array([5], np.int64), np.zeros(4, np.uint8),
            np.zeros(64, np.uint8), 64, 16,
        )  # fmt: skip


def test_fingerprints_tell_topic_payload_and_id_apart() -> None:
    """The cut between topic and payload counts too."""
    buffer = np.frombuffer(bytearray(b"abcabcabc"), np.uint8)
    found = Found(8)
    rows = [
        ((0, 1), (1, 3), 1),
        ((3, 4), (4, 6), 1),
        ((0, 2), (2, 3), 1),
        ((0, 1), (1, 3), 2),
        ((0, 1), (1, 2), 1),
        ((1, 2), (2, 3), 1),
    ]
    for topic, payload, packet_id in rows:
        found.add(0, topic, payload, 1, packet_id)
    marks = [tuple(mark) for mark in Fingerprints().of(buffer, found, np.arange(6)).tolist()]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 5


def test_a_warm_door_compiles_nothing_more() -> None:
    """Every signature that a round uses is there before the first client: none is stalled by a compiler."""
    kernels = [
        value
        for module in (scanning, sockets, repeats)
        for value in vars(module).values()
        if hasattr(value, "signatures") and value.__module__ == module.__name__
    ]
    compile_kernels()
    before = {one.__name__: len(one.signatures) for one in kernels}
    with door_world() as world:
        for version in (mqtt.V311, mqtt.V5):
            client = world.connected(str(version), version)
            whole, cut = (mqtt.encode(mqtt.Publish(TELEMETRY, b"1234", 1, packet_id=n), version) for n in (1, 2))
            client.raw(whole + cut[:-3])
            client.send(mqtt.Bare(Type.PINGREQ))
            client.read()
    assert {one.__name__: len(one.signatures) for one in kernels} == before
    assert all(before.values())
