"""A consumer's memory on disk: two generations, each whole, of chunks that are written only when they changed.

A generation is a manifest that names its chunks, the generation each was last written in, and their checksums. An
unchanged chunk is shared by both. A generation whose manifest or any chunk does not check out is passed over loudly;
when none is left, that is a stop.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zlib import crc32

import msgspec
import psycopg
import structlog

from schemas.errors import CorruptState, Fenced, ServiceAway
from streams.log.session import connect
from streams.ports import Chunk, Snapshot
from streams.positions import PostgresPositions

_log = structlog.get_logger(__name__)


class _Part(msgspec.Struct, frozen=True, array_like=True):
    """One chunk of a generation: where it is and what it must hash to."""

    name: str
    index: int
    generation: int
    crc: int


class _Manifest(msgspec.Struct, frozen=True, array_like=True):
    position: int
    parts: list[_Part]


_OWN_PAGES = 1 << 15
"""Bytes of a chunk from which on it is worth it."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Manifest)


class PostgresCheckpoints:
    """Port `Checkpoints`, for the consumer that owns `positions`; saves from one thread at a time."""

    def __init__(
        self, dsn: str, positions: PostgresPositions, *, failpoint: Callable[[str], None] = lambda name: None
    ) -> None:
        """failpoint: called with "in_checkpoint" when a generation is written and not yet committed."""
        self._dsn = dsn
        self._failpoint = failpoint
        self._positions = positions
        self._parts: dict[tuple[str, int], _Part] = {}
        self._kept: int | None = None
        """The newest generation that is known to be good."""
        self._connection: psycopg.Connection[Any] | None = None

    def save(self, snapshot: Snapshot) -> None:
        """See the port. The snapshot must not be ahead of the committed position, and the position must be ours.

        Raises Fenced when another owns the position, ServiceAway when PostgreSQL does not answer; the same snapshot
        may then be saved again, and must be before a later one, since it holds only what changed.
        """
        key = (self._positions.consumer, self._positions.partition)
        with self._edge() as connection, connection.transaction():
            row = connection.execute(
                "SELECT coalesce(max(generation), 0) + 1 FROM checkpoints WHERE consumer = %s AND partition = %s", key
            ).fetchone()
            assert row is not None
            generation = int(row[0])
            parts = _write(connection, key, generation, snapshot, self._parts)
            self._forget_all_but(connection, [generation, self._kept], [*parts.values(), *self._parts.values()])
            self._check_owner(connection, snapshot.position)
            self._failpoint("in_checkpoint")
        self._parts, self._kept = parts, generation

    def load(self) -> Snapshot | None:
        """See the port; the chunks can be gone through once. Later saves build on the generation that was loaded."""
        key = (self._positions.consumer, self._positions.partition)
        with self._edge() as connection, connection.transaction():
            rows = connection.execute(
                "SELECT generation, manifest, crc FROM checkpoints WHERE consumer = %s AND partition = %s"
                " ORDER BY generation DESC",
                key, binary=True,
            ).fetchall()  # fmt: skip
            for generation, manifest, crc in rows:
                try:
                    found, chunks = self._read(connection, manifest, crc)
                except CorruptState as error:
                    _log.error("checkpoint_unreadable", consumer=key[0], generation=generation, error=error.what)
                    continue
                self._parts = {(part.name, part.index): part for part in found.parts}
                self._kept = generation
                return Snapshot(found.position, _handed_over(chunks))
        if rows:
            raise CorruptState(
                f"none of the {len(rows)} checkpoints of {key[0]!r} can be read.",
                mend="Restore the database from a backup; a fresh start would forget alarms that stand.",
            )
        return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, connection: psycopg.Connection[Any], manifest: bytes, crc: int) -> tuple[_Manifest, list[Chunk]]:
        if crc32(manifest) != crc:
            raise CorruptState("its manifest does not match its checksum")
        try:
            found = _decoder.decode(manifest)
        except msgspec.MsgspecError as error:
            raise CorruptState(f"its manifest cannot be read: {error}") from error
        # One row after the other: the driver would hold all of them a second time.
        bodies = {
            (name, index, generation): _in_own_pages(body)
            for name, index, generation, body in connection.cursor().stream(
                "SELECT c.name, c.index, c.generation, c.body FROM checkpoint_chunks AS c"
                " JOIN unnest(%s::text[], %s::int[], %s::bigint[]) AS wanted (name, index, generation)"
                " USING (name, index, generation) WHERE c.consumer = %s AND c.partition = %s",
                (*_columns(found.parts), self._positions.consumer, self._positions.partition), binary=True,
            )
        }  # fmt: skip
        chunks = []
        for part in found.parts:
            body = bodies.get((part.name, part.index, part.generation))
            if body is None or crc32(body) != part.crc:
                raise CorruptState(f"its chunk {part.name}[{part.index}] is {'missing' if body is None else 'damaged'}")
            chunks.append(Chunk(part.name, part.index, body))
        return found, chunks

    def _forget_all_but(
        self, connection: psycopg.Connection[Any], generations: list[int | None], parts: list[_Part]
    ) -> None:
        key = (self._positions.consumer, self._positions.partition)
        connection.execute(
            "DELETE FROM checkpoints WHERE consumer = %s AND partition = %s AND NOT generation = ANY(%s)",
            (*key, [generation for generation in generations if generation is not None]),
        )
        connection.execute(
            """
            DELETE FROM checkpoint_chunks AS c WHERE consumer = %s AND partition = %s AND NOT EXISTS (
                SELECT FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS kept (name, index, generation)
                 WHERE (kept.name, kept.index, kept.generation) = (c.name, c.index, c.generation))
            """,
            (*key, *_columns(parts)),
        )

    def _check_owner(self, connection: psycopg.Connection[Any], position: int) -> None:
        # The judging thread may change our number at this very moment; before and after are both ours.
        ours = {*self._positions.owners}
        row = connection.execute(
            "SELECT owner, position FROM positions WHERE consumer = %s AND partition = %s FOR KEY SHARE",
            (self._positions.consumer, self._positions.partition),
        ).fetchone()
        if row is None or row[0] not in ours | {*self._positions.owners}:
            raise Fenced(f"another {self._positions.consumer!r} owns the position.")
        if row[1] < position:
            raise ValueError(f"a checkpoint as of {position} is ahead of the committed position {row[1]}")

    @contextmanager
    def _edge(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            if self._connection is None:
                self._connection = connect(self._dsn, f"tocsin-{self._positions.consumer}-checkpoints")
            yield self._connection
        except (
            psycopg.OperationalError,
            psycopg.errors.IdleInTransactionSessionTimeout,
            psycopg.errors.UniqueViolation,
        ) as error:
            # The time-out: we were held up for seconds within a transaction.
            # A unique violation: an owner of before saved a generation of this number at the same time.
            self.close()
            raise ServiceAway("PostgreSQL", str(error).strip()) from error


def _in_own_pages(body: bytes) -> bytes | memoryview:
    """The same, so that its memory goes back to the system with it and not to a heap that keeps it."""
    if len(body) < _OWN_PAGES:
        return body
    pages = mmap.mmap(-1, len(body), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.write(body)
    return memoryview(pages)


def _handed_over(chunks: list[Chunk]) -> Iterator[Chunk]:
    """Each once, and then held by nobody but who asked for it: a whole memory is large."""
    chunks.reverse()
    while chunks:
        yield chunks.pop()


def replace_checkpoints(
    connection: psycopg.Connection[Any], consumer: str, snapshots: Mapping[int, Snapshot]
) -> None:
    """Within a transaction of the caller's: of all the consumer's checkpoints leave these, by partition."""
    for table in (b"checkpoints", b"checkpoint_chunks"):
        connection.execute(b"DELETE FROM " + table + b" WHERE consumer = %s", (consumer,))
    for partition, snapshot in snapshots.items():
        _write(connection, (consumer, partition), 1, snapshot, {})


def _write(
    connection: psycopg.Connection[Any],
    key: tuple[str, int],
    generation: int,
    snapshot: Snapshot,
    unchanged: Mapping[tuple[str, int], _Part],
) -> dict[tuple[str, int], _Part]:
    """Add a generation: the snapshot's chunks, and of the `unchanged` those it does not replace. Returns its parts."""
    parts = dict(unchanged)
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY checkpoint_chunks (consumer, partition, name, index, generation, body) FROM STDIN (FORMAT binary)"
        ) as copy,
    ):
        copy.set_types(("text", "int4", "text", "int4", "int8", "bytea"))
        for chunk in snapshot.chunks:
            copy.write_row((*key, chunk.name, chunk.index, generation, chunk.body))
            parts[chunk.name, chunk.index] = _Part(chunk.name, chunk.index, generation, crc32(chunk.body))
    manifest = _encoder.encode(_Manifest(snapshot.position, list(parts.values())))
    connection.execute(
        "INSERT INTO checkpoints (consumer, partition, generation, position, manifest, crc)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (*key, generation, snapshot.position, manifest, crc32(manifest)),
    )
    return parts


def _columns(parts: list[_Part]) -> tuple[list[str], list[int], list[int]]:
    return [part.name for part in parts], [part.index for part in parts], [part.generation for part in parts]
