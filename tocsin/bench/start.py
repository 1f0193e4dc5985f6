"""`tocsin bench start`: from `tocsin up` until the first reading is judged and stored.

Warm: a data directory that has run before, kernels cached. Cold: an empty data directory and an empty Numba cache.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import ServiceAway
from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import run as load
from streams.store.edge import session
from streams.store.queries import status
from tocsin.bench.report import Options, Row
from tocsin.bench.service import tocsin_up
from tocsin.settings import connect_dsn

_PATIENCE_S = 120.0


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    data = options.keep / "start"
    with tempfile.TemporaryDirectory(prefix="tocsin-cache-") as cache:
        cold_s = _until_stored(data, {"NUMBA_CACHE_DIR": cache})
    # The kernels that are cached beside the code, and a directory that has run before.
    _until_stored(data, {})
    warm_s = min(_until_stored(data, {}) for _ in range(2))
    return [
        Row("start.warm", warm_s, "s", 3, 1.5, smaller=True, note="first reading judged and stored; best of two"),
        Row("start.cold", cold_s, "s", 30, 10, smaller=True, note="empty data directory, empty Numba cache"),
    ]


def _until_stored(data: Path, environment: Mapping[str, str]) -> float:
    """Seconds from the start of the process until a reading that was sent to it is in the store."""
    begun = time.monotonic()
    with tocsin_up(data, environment=environment) as service:
        with session(connect_dsn(data), "tocsin-bench") as connection:
            before = status(connection).stored
            plan = LoadPlan(port=service.running.mqtt_port, connections=1, rate=10.0, seconds=0.1, devices=1)
            ready_s = time.monotonic() - begun
            load(plan, lambda report: None)
            sent = time.monotonic()
            while status(connection).stored == before:
                if time.monotonic() - sent > _PATIENCE_S:
                    raise ServiceAway("store", "the reading was not stored")
                time.sleep(0.01)
        # The generator's own start is not ours: what counts is ready, then sent until stored.
        return ready_s + time.monotonic() - sent
