"""The rows of risk when the log moves to other partitions: each enterprise's go to its new keeper.

Engines go on counting their events behind all that were counted before, so one number stands for "all of these are
taken" in each of the new partitions. A history's partition only says who copied it, and stays.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from schemas.errors import ConfigError
from streams.risk_rows import CONSUMER, Connection

CONSUMERS = (CONSUMER,)
_LEFT = """
    SELECT count(*) FROM alarm_events AS e LEFT JOIN positions AS p ON p.consumer = %s AND p.partition = e.partition
     WHERE e.partition < %s AND e.seq > coalesce(p.position, 0)
"""
_CODES = "SELECT enterprise FROM risk UNION SELECT enterprise FROM risk_inbox"
_MAP = "CREATE TEMP TABLE risk_moving (enterprise text PRIMARY KEY, partition integer) ON COMMIT DROP"
_MOVE = (
    "UPDATE risk SET partition = m.partition FROM risk_moving AS m WHERE risk.enterprise = m.enterprise",
    "UPDATE risk_inbox SET partition = m.partition FROM risk_moving AS m WHERE risk_inbox.enterprise = m.enterprise",
)
_PLACE = """
    INSERT INTO positions (consumer, partition, position, owner)
    SELECT %s, partition, %s, %s FROM generate_series(0, %s - 1) AS partition
"""


def check_taken(connection: Connection, partitions: int) -> None:
    """partitions: of before. Raises ConfigError when alarm events wait for the keeper."""
    row = connection.execute(_LEFT, (CONSUMER, partitions)).fetchone()
    if row is not None and row[0]:
        raise ConfigError(
            f"{row[0]} alarm events wait for {CONSUMER}.",
            mend="Start workers and desks, wait until all are taken, stop them, and move then.",
        )


def move_risk(connection: Connection, partition_of: Callable[[str], int], partitions: int, seq: int) -> None:
    """Give the risks to the keepers of `partitions` partitions, which go on behind event number `seq`."""
    codes = connection.execute(_CODES).fetchall()
    connection.execute(_MAP)
    with connection.cursor() as cursor, cursor.copy("COPY risk_moving FROM STDIN") as copy:
        for (code,) in codes:
            copy.write_row((code, partition_of(code)))
    for statement in _MOVE:
        connection.execute(statement)
    connection.execute("DELETE FROM positions WHERE consumer = %s", (CONSUMER,))
    connection.execute(_PLACE, (CONSUMER, seq, secrets.randbits(62), partitions))
