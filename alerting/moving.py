"""The rows of alerting when the log moves to other partitions: alarms and unfinished messages go to other desks.

Engines go on counting their events behind all that were counted before, in any partition; so one number stands for "all
of these are taken" in each of the new ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from alerting.channels.mqtt_events import CONSUMER as MQTT
from alerting.database import Connection
from alerting.desk import CONSUMER as DESK
from schemas.errors import ConfigError

CONSUMERS = (DESK, MQTT)
# Each desk holds the lock of its partition, and a process of several the one of all.
_LOCK = """
    SELECT pg_try_advisory_xact_lock(hashtext('tocsin.desks'), 0) UNION ALL
    SELECT pg_try_advisory_xact_lock(hashtext('tocsin.desk'), partition) FROM generate_series(0, %s - 1) AS partition
"""
# Events of partitions that there are no more were taken before an earlier move.
_LEFT = """
    SELECT count(*) FROM alarm_events AS e LEFT JOIN positions AS p ON p.consumer = %s AND p.partition = e.partition
     WHERE e.partition < %s AND e.seq > coalesce(p.position, 0)
"""
_ENTERPRISES = "SELECT enterprise FROM alarms UNION SELECT enterprise FROM notifications"
_MOVE_ALARMS = """
    UPDATE alarms SET partition = m.partition FROM moving AS m
     WHERE alarms.enterprise = m.enterprise AND alarms.partition <> m.partition
"""
# Finished ones are history: nobody asks for them by partition.
_MOVE_NOTIFICATIONS = """
    UPDATE notifications SET partition = m.partition FROM moving AS m
     WHERE notifications.enterprise = m.enterprise AND notifications.partition <> m.partition
       AND status IN ('planned', 'queued', 'sending')
"""
_MOVE_LADDERS = """
    UPDATE ladders SET partition = m.partition FROM moving AS m
     WHERE ladders.enterprise = m.enterprise AND ladders.partition <> m.partition
"""
_PLACE = """
    INSERT INTO positions (consumer, partition, position, owner)
    SELECT consumer, partition, %s, %s FROM unnest(%s::text[]) AS consumer, generate_series(0, %s - 1) AS partition
"""


def check_idle(connection: Connection, partitions: int) -> None:
    """Take every desk's place until the transaction ends; partitions: of before.

    Raises ConfigError when a desk is at work, or when events were not yet taken.
    """
    rows = connection.execute(_LOCK, [partitions]).fetchall()
    if (False,) in rows:
        raise ConfigError("a desk is at work.", mend="Stop all of them, and move then.")
    for consumer in CONSUMERS:
        left = connection.execute(_LEFT, [consumer, partitions]).fetchone()
        if left is not None and left[0]:
            raise ConfigError(
                f"{left[0]} alarm events wait for {consumer}.",
                mend="Start workers and desks, wait until all are taken, stop them, and move then.",
            )


def last_seq(connection: Connection) -> int:
    """The highest number of an alarm event in any partition, 0 when there is none."""
    row = connection.execute("SELECT coalesce(max(seq), 0) FROM alarm_events").fetchone()
    return int(row[0]) if row else 0


def move_alarms(connection: Connection, partition_of: Callable[[str], int], partitions: int, seq: int) -> None:
    """Give alarms and messages to the desks of `partitions` partitions, which go on behind event number `seq`."""
    enterprises: Iterable[tuple[str]] = connection.execute(_ENTERPRISES).fetchall()
    connection.execute("CREATE TEMP TABLE moving (enterprise text PRIMARY KEY, partition integer) ON COMMIT DROP")
    with connection.cursor() as cursor, cursor.copy("COPY moving FROM STDIN") as copy:
        for (enterprise,) in enterprises:
            copy.write_row((enterprise, partition_of(enterprise)))
    connection.execute(_MOVE_ALARMS)
    connection.execute(_MOVE_NOTIFICATIONS)
    connection.execute(_MOVE_LADDERS)
    connection.execute("DELETE FROM positions WHERE consumer = ANY(%s)", [list(CONSUMERS)])
    connection.execute(_PLACE, [seq, secrets.randbits(62), list(CONSUMERS), partitions])
