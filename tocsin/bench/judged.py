"""How far the judging is, as its committed positions say."""

from __future__ import annotations

import time

from streams.log.kafka_topics import ends_of
from streams.store.edge import Connection, session
from tocsin.layout import layout_of
from tocsin.local.cluster import LocalCluster
from tocsin.settings import Settings

_POSITIONS = "SELECT partition, position FROM positions WHERE consumer = 'engine'"
_LOOK_S = 0.1


def judged(connection: Connection) -> dict[int, int]:
    """Partition → number of the last entry whose verdict is committed."""
    return dict(connection.execute(_POSITIONS).fetchall())


def unjudged(cluster: LocalCluster, patience_s: float) -> int:
    """Entries that stand in the log now and are not judged `patience_s` later."""
    dsn = cluster.postgres.dsn()
    layout = layout_of(Settings.told(kafka=cluster.kafka.servers, dsn=dsn))
    ends = ends_of(layout.servers, layout.topic, range(layout.partitions), layout.config)
    until = time.monotonic() + patience_s
    with session(dsn, "tocsin-bench") as connection:
        while True:
            positions = judged(connection)
            behind = sum(max(0, end.last - positions.get(partition, 0)) for partition, end in ends.items())
            if not behind or time.monotonic() >= until:
                return behind
            time.sleep(_LOOK_S)
