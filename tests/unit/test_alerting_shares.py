"""How desk processes share the partitions."""

from __future__ import annotations

import pytest

from alerting.desks import Round, share_of, wanted_of


@pytest.mark.parametrize("partitions", [1, 3, 8])
@pytest.mark.parametrize("living", [[7], [7, 9], [3, 7, 9], [1, 3, 7, 9, 11]])
def test_shares_add_up_and_differ_by_one_at_most(partitions: int, living: list[int]) -> None:
    """A partition more than there are is fought over; one less is served by nobody."""
    shares = [share_of(partitions, living, mine) for mine in living]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


def test_two_that_look_at_once_begin_at_different_places() -> None:
    """Both may start at the same moment, and each lock is tried by one of them only."""
    first, second = (wanted_of(8, Round(mine, (5, 6), frozenset()), 4, 0) for mine in (5, 6))
    assert sorted(first + second) == list(range(8))


def test_only_what_nobody_serves_is_wanted_and_no_more_than_the_share() -> None:
    """A partition in service is left alone until it is given up."""
    assert wanted_of(4, Round(5, (5,), frozenset({0, 2})), 3, 1) == [1, 3]
    assert wanted_of(4, Round(5, (5, 6), frozenset({0})), 2, 1) == [1]
    assert wanted_of(4, Round(5, (5, 6), frozenset()), 2, 2) == []
