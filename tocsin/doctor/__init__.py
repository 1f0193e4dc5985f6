"""Looks at every part and says what is wrong and how to mend it. Changes nothing.

Where TOCSIN_KAFKA is set it looks at a cluster, from wherever it runs; else at the one process of a data directory.
"""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.doctor.findings import MOST_CHECKPOINT_AGE_S, MOST_LAG_S, Finding, Verdict
from tocsin.doctor.one_process import examine_one_process
from tocsin.settings import Settings

__all__ = ["MOST_CHECKPOINT_AGE_S", "MOST_LAG_S", "Finding", "Verdict", "examine"]


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding after the other, cheap parts first."""
    if not settings.kafka:
        return examine_one_process(settings)
    from tocsin.doctor.cluster import examine_cluster  # noqa: PLC0415  one process has no client of Kafka

    return examine_cluster(settings)
