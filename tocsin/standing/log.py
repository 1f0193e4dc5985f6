"""How the log of rows stands for its writer."""

from __future__ import annotations

from streams.log.postgres import PostgresLogWriter
from tocsin.metrics import Station
from tocsin.standing import Standing


def rows_standing(writer: PostgresLogWriter) -> Standing:
    def trouble() -> str:
        return "a commit's outcome is unknown" if writer.settling else ""

    return Standing(
        "log",
        trouble,
        [
            Station("log", lambda: {"settled_total": writer.settled}),
            Station("log", gauges=lambda: {"head": writer.head}, partition=0),
        ],
    )
