"""The store's edge: what the driver raises is said in our words."""

from __future__ import annotations

import psycopg
import pytest

from schemas.errors import ServiceAway
from streams.store.edge import translated


def test_a_full_disk_says_how_much_is_needed() -> None:
    """Nothing is lost while it is full, and the person who reads it can act."""
    with pytest.raises(ServiceAway) as away, translated(needed_bytes=64_000_000):
        raise psycopg.errors.DiskFull("could not extend file")
    assert "Free at least 122 MB" in away.value.mend


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError, psycopg.errors.AdminShutdown, psycopg.errors.IdleInTransactionSessionTimeout]
)
def test_a_service_that_is_away_may_be_tried_again(error: type[psycopg.Error]) -> None:
    """Whoever follows the log waits and reads its memory anew."""
    with pytest.raises(ServiceAway) as away, translated():
        raise error("gone")
    assert away.value.retry_after_s > 0


def test_what_is_our_own_fault_stays() -> None:
    """Trying a wrong statement again would hide it for ever."""
    with pytest.raises(psycopg.errors.UndefinedTable), translated():
        raise psycopg.errors.UndefinedTable("no such table")
