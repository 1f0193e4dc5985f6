"""The dispatcher of what people ask, apart from its services."""

from __future__ import annotations

import threading

import psycopg

from schemas.entries import Payload
from streams.commands import ControlDispatcher


class Unused:
    def append(self, payloads: list[Payload], alongside: object = None) -> int:
        raise AssertionError


def test_a_session_that_was_ended_while_kafka_was_away_is_made_anew() -> None:
    """Rows are held while their entries are on their way, and PostgreSQL suffers that for five seconds only."""
    stop = threading.Event()
    tries: list[str] = []

    class Dispatcher(ControlDispatcher):
        def dispatch(self) -> int:
            tries.append("try")
            stop.set()
            raise psycopg.errors.IdleInTransactionSessionTimeout("terminating connection")

    Dispatcher("", Unused()).run(stop)  # type: ignore[arg-type]
    assert tries == ["try"]
