"""Chores at their pace."""

from __future__ import annotations

import threading

from schemas.errors import ServiceAway
from tocsin.housekeeping import Chore, Housekeeping


def test_a_chore_that_has_to_wait_is_done_later_and_holds_up_no_other() -> None:
    """PostgreSQL away for one of them must not end the thread that does all."""
    tried, done, both = [], [], threading.Event()

    def away() -> None:
        tried.append(1)
        raise ServiceAway("PostgreSQL", "it is away")

    def do() -> None:
        done.append(1)
        if len(done) >= 2 and len(tried) >= 2:
            both.set()

    housekeeping = Housekeeping(Chore(0.01, away), Chore(0.01, do))
    thread = threading.Thread(target=housekeeping.run)
    thread.start()
    assert both.wait(10.0)
    housekeeping.stop()
    thread.join(10.0)
    assert not thread.is_alive()
