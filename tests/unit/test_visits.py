"""Visits to what another thread works on."""

from __future__ import annotations

import threading

import pytest

from streams.visits import Visits

LONG_S = 30.0


def test_a_resting_worker_is_visited_at_once() -> None:
    assert Visits().visit(threading.current_thread) is threading.current_thread()


def test_a_busy_worker_makes_the_visit_itself_at_the_end_of_its_piece() -> None:
    """Nobody looks while a piece is half done, and the worker is not stopped for the visitor to wake."""
    visits, at_work, go_on, seen = Visits(), threading.Event(), threading.Event(), []

    def look() -> str:
        seen.append(whole.is_set())
        return threading.current_thread().name

    def work() -> None:
        with visits:
            at_work.set()
            go_on.wait(LONG_S)
            whole.set()

    whole = threading.Event()
    worker = threading.Thread(target=work, name="worker")
    worker.start()
    assert at_work.wait(LONG_S)
    threading.Timer(0.05, go_on.set).start()
    visits.visit(look)
    worker.join(LONG_S)
    assert seen == [True]


def test_a_visit_is_made_though_the_worker_never_rests() -> None:
    """A judge that is behind takes one entry after the other."""
    visits, done = Visits(), threading.Event()

    def work() -> None:
        while not done.is_set():
            with visits:
                pass

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert [visits.visit(lambda i=i: i) for i in range(100)] == list(range(100))  # type: ignore[misc]
    finally:
        done.set()
        worker.join(LONG_S)


def test_what_goes_wrong_in_a_visit_is_the_visitors() -> None:
    visits = Visits()
    with pytest.raises(ZeroDivisionError):
        visits.visit(lambda: 1 / 0)
    with visits:
        pass
