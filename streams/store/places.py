"""How far the store has come in each partition of the log: rows of `positions`, moved all at once and fenced.

A place is {partition: number of the last entry}. The one whose `owner` stands in the rows may move them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.errors import Fenced
from streams.store.edge import Connection

Place = dict[int, int]

# In order of partition, so that two who do it at once wait for each other and do not lock crosswise.
_TAKE_OVER = """
    INSERT INTO positions (consumer, partition, owner)
    SELECT %s, partition, %s FROM unnest(%s::int[]) AS partition ORDER BY partition
    ON CONFLICT (consumer, partition) DO UPDATE SET owner = excluded.owner
    RETURNING partition, position
"""
_MOVE = """
    UPDATE positions AS held SET position = wanted.position
      FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS wanted (partition, expected, position)
     WHERE held.consumer = %s AND held.partition = wanted.partition AND held.position = wanted.expected
       AND held.owner = %s
"""
_RAISE = """
    INSERT INTO positions AS held (consumer, partition, position)
    SELECT %s, partition, position FROM unnest(%s::int[], %s::bigint[]) AS told (partition, position)
    ON CONFLICT (consumer, partition) DO UPDATE SET position = greatest(held.position, excluded.position)
    RETURNING partition, position
"""


def take_over(connection: Connection, consumer: str, partitions: Sequence[int], owner: int) -> Place:
    """The committed place; waits for a commit of the former owner that is under way, and refuses later ones."""
    return dict(connection.execute(_TAKE_OVER, (consumer, owner, list(partitions))).fetchall())


def move(connection: Connection, consumer: str, expected: Place, wanted: Place, owner: int) -> None:
    """Raises Fenced, with nothing moved once the transaction is rolled back, when another owner is at work."""
    moved = connection.execute(
        _MOVE, (list(wanted), [expected[p] for p in wanted], list(wanted.values()), consumer, owner)
    )
    if moved.rowcount != len(wanted):
        raise Fenced(
            "another store has taken over the readings.",
            mend="Only one Tocsin may run on a database; end the other one.",
        )


def raise_to(connection: Connection, consumer: str, place: Mapping[int, int]) -> Place:
    """Move what lies behind `place`, without a fence: for what only ever grows. Returns where it stands then."""
    return dict(connection.execute(_RAISE, (consumer, list(place), list(place.values()))).fetchall())
