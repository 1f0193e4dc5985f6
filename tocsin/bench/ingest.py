"""`tocsin bench ingest`: QoS 1 messages through socket, log, engine and store, sustained; and history beside it.

What counts as sustained: `tocsin.bench.load`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import msgspec
import numpy as np
from rich.console import Console

from schemas.readings import I64
from sensors_sim.frames import device_of
from sensors_sim.load_plan import LoadPlan
from streams.store.edge import session
from streams.store.queries import history
from tocsin.bench.history import DAY_US, fill
from tocsin.bench.load import Case, Target, learn, measure, sustain
from tocsin.bench.report import Options, Row
from tocsin.bench.service import tocsin_up
from tocsin.settings import connect_dsn

PAST = 100_000_000
SECONDS = 60.0
QUERIES = 200
_console = Console(stderr=True, highlight=False)


def _cases(seed: int) -> list[Case]:
    few = LoadPlan(connections=4, devices=25_000, burst=20, seed=seed)
    many = LoadPlan(connections=2000, devices=50, window=100, seed=seed + 1)
    wide = LoadPlan(connections=4, devices=250, readings=100, window=500, seed=seed + 2)
    return [
        Case("ingest.4_connections", few, 150_000, 600_000),
        Case("ingest.2000_connections", many, 20_000, 120_000),
        Case("ingest.100_readings_a_message", wide, 300_000, 800_000),
    ]


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    data = options.keep / "ingest"
    few, *others = _cases(options.seed)
    known = [device_of(row, few.plan.rows) for row in range(few.plan.rows)]
    past = int(PAST * options.scale)
    ids = fill(data, known, past, _progress(past))
    rows: list[Row] = []
    seconds = max(5.0, SECONDS * options.scale)
    with tocsin_up(data) as service:
        target = Target(service.running.mqtt_port, connect_dsn(data), data, service.rss_bytes)
        # First, while the store holds the past and little else.
        rows.append(_ask(target, few, ids, options.seed, seconds, past))
        for case in (few, *others):
            rows.append(measure(target, case, seconds))
    return rows


def _ask(target: Target, case: Case, ids: I64, seed: int, seconds: float, past: int) -> Row:
    """History while the load runs at the rate that the case needs: at the highest rate both cores are taken."""
    plan = msgspec.structs.replace(case.plan, port=target.port)
    learn(plan, target.folder)
    questions = _Questions(target.dsn, ids, seed)
    asking = threading.Thread(target=questions.ask, args=(seconds,))
    asking.start()
    outcome = sustain(plan, case.needed, seconds, target.folder)
    asking.join()
    return questions.row(past, f"at {case.needed:,.0f}/s, lag {outcome.lag_s:.2f} s")


def _progress(past: int) -> Callable[[int], None]:
    told = time.monotonic()

    def progress(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 5.0:
            told = time.monotonic()
            _console.print(f"  a past of {past:,} readings: {done:,} are in the log")

    return progress


class _Questions:
    """Asks for the last 24 hours of random sensors, one after the other, while the load runs."""

    def __init__(self, dsn: str, ids: I64, seed: int) -> None:
        self._dsn = dsn
        self._chosen = random.Random(seed).choices(ids.tolist(), k=QUERIES)  # noqa: S311  a draw for a bench
        self.took_ms: list[float] = []
        self.found = 0

    def ask(self, seconds: float) -> None:
        """Spread over the run, so that every state of the open parts is met."""
        pause = threading.Event()
        with session(self._dsn, "tocsin-bench-questions") as connection:
            for sensor in self._chosen:
                now_us = time.time_ns() // 1000
                begun = time.perf_counter()
                found = history(connection, sensor, now_us - DAY_US, now_us)
                self.took_ms.append((time.perf_counter() - begun) * 1e3)
                self.found += len(found)
                pause.wait(0.9 * seconds / QUERIES)

    def row(self, past: int, load: str) -> Row:
        each = self.found // max(1, len(self.took_ms))
        note = f"{load}; {len(self.took_ms)} sensors, {each} readings each, {past:,} stored"
        p99 = float(np.quantile(self.took_ms, 0.99))
        p50 = float(np.quantile(self.took_ms, 0.5))
        return Row("ingest.history_24h_p99", p99, "ms", 50, 10, smaller=True, note=f"{note}; p50 {p50:.1f} ms")
