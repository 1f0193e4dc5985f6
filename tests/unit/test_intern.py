"""The table of names: dense ids in order of arrival, every hit verified, growth in small steps."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.arena import Column
from ingest.intern import LONGEST_KEY, ByteTable
from schemas.readings import I64, U8

SEED = bytes(range(16))


def laid_out(keys: list[bytes]) -> tuple[U8, I64, I64]:
    ends = np.cumsum([len(key) for key in keys], dtype=np.int64)
    starts = ends - np.array([len(key) for key in keys], np.int64)
    return np.array(bytearray(b"".join(keys)), np.uint8), starts, ends


def test_ids_are_dense_and_in_order_of_arrival() -> None:
    """The door and admission index arrays by them."""
    table = ByteTable(SEED)
    assert [table.add(key) for key in (b"a", b"", b"b", b"a", b"")] == [0, 1, 2, 0, 1]
    assert len(table) == 3
    assert [table.get(i) for i in range(3)] == [b"a", b"", b"b"]


def test_one_call_adds_a_key_that_stands_twice_in_it_once() -> None:
    """A round holds many messages of one new topic."""
    table = ByteTable(SEED)
    assert table.add_many(*laid_out([b"x", b"y", b"x", b"y", b"z"])).tolist() == [0, 1, 0, 1, 2]


def test_unknown_keys_are_minus_one_and_stay_unknown() -> None:
    """Looking up must not add: a stranger's topics must not fill memory."""
    table = ByteTable(SEED)
    table.add(b"known")
    assert table.lookup(*laid_out([b"known", b"unknown", b"know", b"known "])).tolist() == [0, -1, -1, -1]
    assert len(table) == 1
    assert table.find(b"nobody") == -1


def test_a_table_of_fifty_thousand_keys_agrees_with_a_dict() -> None:
    """Through many splits of segments and growths of the arena."""
    rng = np.random.default_rng(1)
    keys = [bytes(rng.integers(97, 100, rng.integers(0, 40), dtype=np.uint8)) for _ in range(50_000)]
    naive: dict[bytes, int] = {}
    expected = [naive.setdefault(key, len(naive)) for key in keys]
    table = ByteTable(SEED)
    for at in range(0, len(keys), 977):
        assert table.add_many(*laid_out(keys[at : at + 977])).tolist() == expected[at : at + 977]
    assert table.lookup(*laid_out(keys)).tolist() == expected
    assert [table.get(i) for i in range(len(table))] == list(naive)


def test_the_seed_changes_where_keys_stand_but_never_their_ids() -> None:
    """Ids must not depend on a secret that differs from start to start."""
    keys = [b"%d" % i for i in range(3000)]
    assert ByteTable(SEED).add_many(*laid_out(keys)).tolist() == list(range(3000))
    assert ByteTable().add_many(*laid_out(keys)).tolist() == list(range(3000))


def test_a_key_outside_its_buffer_is_refused() -> None:
    """The kernel itself reads raw memory, so the bounds are checked before it."""
    table = ByteTable(SEED)
    buffer, starts, ends = laid_out([b"abc"])
    with pytest.raises(IndexError):
        table.lookup(buffer, starts, ends + 1)
    with pytest.raises(IndexError):
        table.lookup(buffer, starts - 1, ends)
    with pytest.raises(IndexError):
        table.get(0)


def test_a_key_of_more_than_65535_bytes_is_refused() -> None:
    """MQTT topics are shorter; a longer key is a mistake."""
    table = ByteTable(SEED)
    assert table.add(b"k" * LONGEST_KEY) == 0
    with pytest.raises(ValueError, match="at most"):
        table.add(b"k" * (LONGEST_KEY + 1))


def test_a_column_keeps_its_content_and_is_zero_beyond_it_when_it_grows() -> None:
    """Empty slots are zero by contract."""
    column = Column(np.int64, 10)
    column.array[:] = 7
    before = len(column)
    column.reserve(before + 1)
    assert len(column) >= 2 * before
    assert (column.array[:before] == 7).all()
    assert not column.array[before:].any()


def test_a_column_that_grows_under_a_view_leaves_the_view_its_memory() -> None:
    """A kernel's arguments may outlive the call, and must never point at memory that was given back."""
    column = Column(np.int64, 10)
    column.array[:] = 7
    view = column.array[:5]
    column.reserve(1 << 18)
    assert (column.array[:512] == 7).all()
    assert not column.array[512:].any()
    column.array[:5] = 1
    assert (view == 7).all()
