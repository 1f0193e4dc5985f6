"""How a worker stands: how many partitions it has, and what of Kafka's records it keeps apart."""

from __future__ import annotations

from streams.worker.app import Worker
from tocsin.metrics import Station
from tocsin.standing import Standing


def worker_standing(worker: Worker) -> Standing:
    def counters() -> dict[str, float]:
        return {
            "refused_kept": float(worker.quarantined),
            "unreadable": float(worker.unreadable),
            "partitions_overtaken": float(worker.partitions.overtaken),
        }

    def gauges() -> dict[str, float]:
        return {"partitions": float(len(worker.partitions.owned()))}

    return Standing("worker", worker.trouble, [Station("worker", counters, gauges)])
