"""The rows of streams when the log moves to other partitions: positions, checkpoints, what waits to enter, the layout.

Everything here happens in one transaction of the caller's, so a log has moved or it has not.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from schemas.entries import DeviceFacts, EntryKind, decode
from schemas.errors import ConfigError
from streams.checkpoints import replace_checkpoints
from streams.ports import Snapshot

Connection = psycopg.Connection[Any]
PartitionOf = Callable[[str], int]
"""An enterprise's partition, of the new number."""

_CONTROL = "SELECT id, body FROM control_outbox WHERE logged_number IS NULL AND refused IS NULL FOR UPDATE"
_PACKS = """
    INSERT INTO rule_pack_activations (partition, number, version)
    SELECT partition, number, %s FROM unnest(%s::int[], %s::bigint[]) AS there (partition, number)
"""
_POSITIONS = """
    INSERT INTO positions (consumer, partition, position, owner)
    SELECT %s, partition, number, %s FROM unnest(%s::int[], %s::bigint[]) AS there (partition, number)
"""


def hold(connection: Connection) -> None:
    """Keep everybody from moving a position and from letting anything into the log, until the transaction ends."""
    # The layout first: who asks for something holds its row before that of what is asked.
    connection.execute("SELECT FROM log_layout FOR UPDATE")
    connection.execute("LOCK TABLE positions, commands, control_outbox IN EXCLUSIVE MODE")


def place_consumers(connection: Connection, consumers: Sequence[str], numbers: Mapping[int, int]) -> None:
    """Let the consumers go on behind `numbers`, by partition, and nowhere else; who owned a position is fenced."""
    connection.execute("DELETE FROM positions WHERE consumer = ANY(%s)", (list(consumers),))
    for consumer in consumers:
        owner = secrets.randbits(62)
        connection.execute(_POSITIONS, (consumer, owner, list(numbers), list(numbers.values())))


def place_engines(connection: Connection, snapshots: Mapping[int, Snapshot], pack: str) -> None:
    """Leave these memories of the engines, by partition; pack: the version that all of them judge by."""
    replace_checkpoints(connection, "engine", snapshots)
    # The newest activation is the one with the highest number, and numbers begin anew.
    connection.execute("DELETE FROM rule_pack_activations")
    if pack:
        numbers = [snapshot.position for snapshot in snapshots.values()]
        connection.execute(_PACKS, (pack, list(snapshots), numbers))


def place_waiting(connection: Connection, partition_of: PartitionOf) -> None:
    """Let what is asked for and not yet in the log enter it where it belongs.

    Raises ConfigError when a pack waits: it must have reached all partitions before they are others.
    """
    rows = connection.execute(
        "SELECT c.key, coalesce(e.enterprise, '') FROM commands AS c"
        " LEFT JOIN alarm_events AS e ON e.key = c.alarm_key AND e.step = 1 WHERE c.logged_number IS NULL"
    ).fetchall()
    for key, enterprise in rows:
        connection.execute("UPDATE commands SET partition = %s WHERE key = %s", (partition_of(enterprise), key))
    for number, body in connection.execute(_CONTROL, binary=True).fetchall():
        payload = decode(EntryKind.CONTROL, body)
        if not isinstance(payload, DeviceFacts):
            raise ConfigError(
                "a rule pack waits to be activated.", mend="Start the workers, wait until it is, and move then."
            )
        partition = partition_of(payload.enterprise)
        connection.execute("UPDATE control_outbox SET partition = %s WHERE id = %s", (partition, number))


def write_layout(connection: Connection, topic: str, partitions: int) -> None:
    """Say which topic is the log from now on."""
    connection.execute("UPDATE log_layout SET topic = %s, partitions = %s", (topic, partitions))
