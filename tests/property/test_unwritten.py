"""Changes that gather while PostgreSQL is away end where each of them by itself would have ended."""

from __future__ import annotations

import random
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from ingest.saved import (
    ClientCame,
    Delivered,
    IdReleased,
    IdStored,
    Queued,
    Retained,
    SessionBegun,
    SessionGone,
    SessionKept,
    SessionKey,
    SessionMoved,
    SubscriptionGone,
    SubscriptionKept,
    WillGone,
    WillKept,
)
from ingest.unwritten import Row, Unwritten
from tests.door_world import MemoryStore

KEYS = [SessionKey("shop", name) for name in ("kitchen", "bar")]
TURNS = 60


class Life:
    """What a door says of a few clients, one change after the other."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._live: set[SessionKey] = set()
        self._number = 0
        self._queued: list[tuple[SessionKey, int]] = []

    def next(self) -> Row:
        rng, key = self._rng, self._rng.choice(KEYS)
        self._number += 1
        if rng.random() < 0.3:
            return rng.choice(
                [
                    ClientCame(key, self._number, rng.random() < 0.5),
                    WillKept(key, "t", bytes([self._number % 256]), 1, True, 0, 60.0, 0),
                    WillGone(key),
                    Retained(rng.choice("ab"), rng.choice([b"", b"online", b"offline"]), 1),
                ]
            )
        if key not in self._live:
            self._live.add(key)
            return SessionBegun(key, self._number)
        if rng.random() < 0.15:
            self._live.discard(key)
            self._queued = [one for one in self._queued if one[0] != key]
            return rng.choice([SessionGone(key), SessionGone(key, False), SessionMoved(key, "other")])
        waiting = [one for one in self._queued if one[0] == key]
        if waiting and rng.random() < 0.3:
            self._queued.remove(waiting[0])
            return Delivered(*waiting[0])
        if rng.random() < 0.3:
            self._queued.append((key, self._number))
            return Queued(key, self._number, "t", b"", False)
        return rng.choice(
            [
                SessionKept(key, 60, rng.choice([None, self._number])),
                SubscriptionKept(key, rng.choice("ab"), self._number % 2, False, False),
                SubscriptionGone(key, rng.choice("ab")),
                IdStored(key, rng.randint(1, 2)),
                IdReleased(key, rng.randint(1, 2)),
            ]
        )


@given(st.integers(0, 1 << 30))
def test_gathered_changes_end_where_single_ones_do(seed: int) -> None:
    """However they were gathered, taken, lost and put back."""
    rng = random.Random(seed)
    life, one_by_one, together, unwritten = Life(rng), MemoryStore(), MemoryStore(), Unwritten()
    for _ in range(TURNS):
        change = life.next()
        one_by_one.write(None, [change])
        unwritten.add([change])
        if rng.random() < 0.2:
            taken = unwritten.take()
            if rng.random() < 0.5:
                unwritten.put_back(taken)
            else:
                together.write(None, taken)
    together.write(None, unwritten.take())
    assert _sorted(one_by_one) == _sorted(together)
    assert not unwritten


def _sorted(store: MemoryStore) -> list[list[str]]:
    saved = store.load()
    return [sorted(map(repr, getattr(saved, field.name))) for field in fields(saved)]


def test_what_is_known_of_clients_is_bounded() -> None:
    """A client may make up an id for each connection, for as long as PostgreSQL is away."""
    unwritten = Unwritten(most=10)
    unwritten.add([SessionBegun(KEYS[0], 60), WillKept(KEYS[0], "t", b"", 0, False, 0, 1.0, 0)])
    unwritten.add(ClientCame(SessionKey("shop", str(number)), number, False) for number in range(100))
    unwritten.add(Retained(str(number), b"x", 0) for number in range(100))
    left = unwritten.take()
    assert left[0] == SessionBegun(KEYS[0], 60)
    assert [change.at_us for change in left if isinstance(change, ClientCame)] == list(range(90, 100))
    assert sum(isinstance(change, Retained) for change in left) == 10
    assert unwritten.forgotten == 181
