"""From an engine's commit of an alarm to its arrival at a webhook, with a desk process of its own.

`python -m tests.benchmarks.desk_latency [ALARMS_A_SECOND] [SECONDS] [DESKS]`: eight partitions, each alarm a first red
of an enterprise of its own, committed by the engine's own statement; webhook sink and PostgreSQL on the same machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from msgspec import structs

from schemas.alarms import Grade, State
from sensors_sim import webhook_sink
from streams.positions import PostgresPositions
from tests import desk_process
from tests.alerting_world import event
from tocsin.migrate import migrate
from tocsin.postgres import EmbeddedPostgres

_PARTITIONS = 8
_USUAL = (100, 20, 1)


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    rate, seconds, desks = [*given, *_USUAL[len(given) :]]
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        migrate(server.dsn())
        sink = webhook_sink.start(Path(folder) / "arrivals.jsonl")
        processes = [desk_process.start(server.dsn(), sink.url, _PARTITIONS) for _ in range(desks)]
        try:
            time.sleep(3.0)
            committed = _feed(server.dsn(), rate, seconds)
            time.sleep(3.0)
        finally:
            for process in processes:
                desk_process.end(process)
            arrivals = sink.arrivals()
            sink.stop()
    came = {arrival.notification().enterprise: arrival.at_us for arrival in arrivals}
    took_ms = np.array([(came[who] - at_us) / 1e3 for who, at_us in committed.items() if who in came])
    p50, p99, worst = np.quantile(took_ms, [0.5, 0.99, 1.0])
    print(
        f"{rate} alarms/s for {seconds} s, {desks} desk processes: {len(committed)} committed, {len(arrivals)} came; "
        f"committed to webhook p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms"
    )


def _feed(dsn: str, rate: int, seconds: int) -> dict[str, int]:
    """enterprise → when its alarm was committed, µs."""
    positions = [PostgresPositions(dsn, "engine", partition=partition) for partition in range(_PARTITIONS)]
    places = [one.load() for one in positions]
    committed: dict[str, int] = {}
    begun = time.monotonic()
    for number in range(rate * seconds):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        partition = number % _PARTITIONS
        raised = event(State.RAISED, Grade.RED, enterprise=f"shop-{number}")
        now = time.time_ns() // 1000
        places[partition] += 1
        raised = structs.replace(raised, partition=partition, seq=places[partition], received_us=now)
        positions[partition].commit(places[partition] - 1, places[partition], [raised])
        committed[raised.enterprise] = time.time_ns() // 1000
    for one in positions:
        one.close()
    return committed


if __name__ == "__main__":
    main()
