"""The engine's memory as chunks of bytes, and back.

Sensors go by chunks of 4,096 slots, those that were written to since the last snapshot; so do devices and the arena of
names. Watch records and timers go whole (few sensors have one), as do alarms, counters, the pack and what only Python
holds. Plans, tables of ids and due times are worked out anew on restoring: they follow from the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from schemas.errors import CorruptState
from scoring import slots
from scoring.layout import (
    CHANGED,
    CHUNK_BITS,
    COUNTERS,
    DEVICES,
    JUDGED,
    NONE,
    SENSORS,
    TIMER,
    TIMER_CLASS,
    VERSION,
    WATCH,
    WATCH_TOP,
    Array,
)
from scoring.watches import put_watches
from streams.alarm_book import Alarm
from streams.engine_silence import SilentDevice
from streams.plans import Facts, Plans
from streams.ports import Chunk, Snapshot

if TYPE_CHECKING:
    from streams.engine import Engine

CHUNK = 1 << CHUNK_BITS
_ARENA_CHUNK = 1 << 20
_TOGETHER = 8
"""Chunks that are copied at a time: two megabytes, a millisecond of the judge's."""


class Trunk(msgspec.Struct, array_like=True):
    """Everything of a snapshot that is not an array."""

    version: int
    now: int
    seq: int
    counters: list[int]
    arena: int
    mixed: bool
    holes: list[tuple[int, int]]
    clock_onset: int | None
    pack_version: str
    pack_toml: str
    facts: list[Facts]
    names: list[tuple[int, str]]
    silent: dict[int, SilentDevice]
    alarms: list[Alarm]


_Body = bytes | memoryview
_Bodies = dict[str, dict[int, _Body]]
_encode = msgspec.msgpack.Encoder().encode
_trunk = msgspec.msgpack.Decoder(Trunk)


def save(engine: Engine, position: int) -> Snapshot:
    """What changed since the last call, in chunks.

    Records of sensors and devices are frozen, and copied when their chunk is asked for. What is written once and never
    again is not copied at all.
    """
    frozen = _Frozen(engine, _whole(engine))
    return Snapshot(position, frozen, frozen.release)


class _Frozen:
    """The chunks of one snapshot, as often as they are asked for until its release or the next snapshot."""

    def __init__(self, engine: Engine, whole: list[Chunk]) -> None:
        self._engine = engine
        self._whole = whole
        self._mixed = engine.roster.mixed
        self._sensors = engine.roster.sensors
        self._devices = engine.roster.devices
        self._sensor_chunks, self._device_chunks = engine.roster.freeze()
        engine.frozen = self

    def __iter__(self) -> Iterator[Chunk]:
        for copy, indices in ((self._of_sensors, self._sensor_chunks), (self._of_devices, self._device_chunks)):
            for at in range(0, len(indices), _TOGETHER):
                yield from self._engine.visits.visit(partial(self._copies, copy, indices[at : at + _TOGETHER]))
        yield from self._whole

    def release(self) -> None:
        self._engine.visits.visit(self._release)

    def _release(self) -> None:
        if self._engine.frozen is self:
            self._engine.frozen = None
            self._engine.roster.thaw()

    def _copies(self, copy: Callable[[int], Iterator[Chunk]], indices: Sequence[int]) -> list[Chunk]:
        if self._engine.frozen is not self:
            raise ValueError("a snapshot was asked for its chunks after its release or after the next one")
        return [chunk for index in indices for chunk in copy(index)]

    def _of_sensors(self, index: int) -> Iterator[Chunk]:
        rows, extra = self._engine.roster.sensors_as_frozen(index, _within(self._sensors, index), mixed=self._mixed)
        yield Chunk("sensors", index, _lasting(rows))
        if self._mixed:
            yield Chunk("extra", index, _lasting(extra))

    def _of_devices(self, index: int) -> Iterator[Chunk]:
        rows = self._engine.roster.devices_as_frozen(index, _within(self._devices, index))
        yield Chunk("devices", index, _lasting(rows))


def _within(count: int, index: int) -> int:
    """How many of the first `count` slots lie in a chunk."""
    return min(count - (index << CHUNK_BITS), CHUNK)


def _whole(engine: Engine) -> list[Chunk]:
    """What does not change any more, and copies of what is small."""
    roster, m = engine.roster, engine.roster.memory
    chunks: list[Chunk] = []
    for index, span in _changed(roster.cold_dirty, roster.sensors):
        chunks.append(Chunk("ids", index, _lasting(roster.sensor_table.ids[span])))
        chunks.append(Chunk("cold", index, _lasting(m.cold[span])))
    for index in np.flatnonzero(roster.device_dirty & CHANGED).tolist():
        span = slice(index << CHUNK_BITS, min(roster.devices, (index + 1) << CHUNK_BITS))
        chunks.append(Chunk("device ids", index, _lasting(roster.device_table.ids[span])))
    first, last = roster.arena_saved // _ARENA_CHUNK, -(-roster.arena_used // _ARENA_CHUNK)
    for index in range(first, last) if roster.arena_used > roster.arena_saved else ():
        end = min(roster.arena_used, (index + 1) * _ARENA_CHUNK)
        chunks.append(Chunk("arena", index, _lasting(roster.arena[index * _ARENA_CHUNK : end])))
    roster.arena_saved = roster.arena_used
    chunks += _save_watches(m.watches[: int(m.head[WATCH_TOP])], m.timers)
    plans = roster.plans
    trunk = Trunk(
        VERSION,
        engine.now,
        engine.book.seq,
        m.head[:COUNTERS].tolist(),
        roster.arena_used,
        roster.mixed,
        engine.holes,
        engine.clock_onset,
        plans.version,
        plans.toml,
        [plans.facts_of(number) for number in range(plans.selections)],
        roster.names,
        engine.silence.silent,
        list(engine.book.alarms()),
    )
    chunks.append(Chunk("trunk", 0, _encode(trunk)))
    return chunks


def _lasting(array: Array) -> memoryview:
    return array.view(np.uint8).data


def _changed(dirty: Array, count: int) -> Iterator[tuple[int, slice]]:
    """The chunks that are marked, each with its slots below `count`; the marks are taken away."""
    for index in np.flatnonzero(dirty).tolist():
        dirty[index] = 0
        yield index, slice(index << CHUNK_BITS, min(count, (index + 1) << CHUNK_BITS))


def _save_watches(watches: Array, timers: Array) -> list[Chunk]:
    used = watches[watches["slot"] != NONE]
    sizes = used["size"].astype(np.int64) * TIMER_CLASS
    starts = np.repeat(used["timers"].astype(np.int64) - (np.cumsum(sizes) - sizes), sizes)
    blocks = timers[starts + np.arange(len(starts))]
    return [Chunk("watches", 0, used.tobytes()), Chunk("timers", 0, blocks.tobytes())]


def load(engine: Engine, snapshot: Snapshot) -> None:
    """Fill a fresh engine. Raises CorruptState when the chunks are not a memory of this layout."""
    bodies: _Bodies = {}
    for chunk in snapshot.chunks:
        bodies.setdefault(chunk.name, {})[chunk.index] = chunk.body
    try:
        trunk = _trunk.decode(bodies["trunk"][0])
        if trunk.version != VERSION:
            raise CorruptState(
                f"the checkpoint has layout {trunk.version}, this program layout {VERSION}.",
                mend="Start the version that wrote it, or remove the checkpoints to judge the log anew.",
            )
        _load(engine, trunk, bodies)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, KeyError, IndexError) as error:
        raise CorruptState(f"a checkpoint of the engine cannot be read: {error}") from error


def _load(engine: Engine, trunk: Trunk, bodies: _Bodies) -> None:
    roster, m = engine.roster, engine.roster.memory
    if roster.devices:
        raise ValueError("only a fresh engine can be restored")
    sensors, devices = trunk.counters[SENSORS], trunk.counters[DEVICES]
    _fill(m.sensors, sensors, bodies.get("sensors", {}), CHUNK)
    _fill(m.cold, sensors, bodies.get("cold", {}), CHUNK)
    _fill(m.devices, devices, bodies.get("devices", {}), CHUNK)
    _fill(roster.arena, trunk.arena, bodies.get("arena", {}), _ARENA_CHUNK)
    if trunk.mixed:
        for index, body in bodies.get("extra", {}).items():
            rows = np.frombuffer(body, np.float32).reshape(-1, 2)
            m.extra[index << CHUNK_BITS : (index << CHUNK_BITS) + len(rows)] = rows
    for table, count, name in ((roster.sensor_table, sensors, "ids"), (roster.device_table, devices, "device ids")):
        ids: Array = np.zeros(count, np.int64)
        _fill(ids, count, bodies.get(name, {}), CHUNK)
        if slots.add(table, ids, 0) < count:
            raise ValueError(f"it has more {name} than this engine has room for")
    m.head[[SENSORS, DEVICES]] = sensors, devices
    m.head[JUDGED:COUNTERS] = trunk.counters[JUDGED:]
    roster.arena_used = roster.arena_saved = trunk.arena
    roster.mixed = trunk.mixed
    roster.load_names(trunk.names)
    if trunk.pack_version != roster.plans.version:
        roster.plans = Plans(engine.read_pack(trunk.pack_toml, trunk.pack_version) if trunk.pack_version else None)
    roster.select_all(trunk.facts)
    _load_watches(engine, bodies["watches"][0], bodies["timers"][0])
    m.dirty[:] = 0
    roster.cold_dirty[:] = 0  # devices go whole into the next snapshot: their selections are numbered anew
    engine.now = engine.book.now = trunk.now
    engine.book.seq = trunk.seq
    engine.holes = trunk.holes
    engine.clock_onset = trunk.clock_onset
    engine.silence.silent = trunk.silent
    engine.book.load(trunk.alarms)
    engine.look_at_devices(judge=False)


def _fill(array: Array, count: int, bodies: dict[int, _Body], chunk: int) -> None:
    """array[:count] from its chunks, each of which goes. Raises ValueError if one is missing or of another length."""
    for index in range(-(-count // chunk)):
        span = slice(index * chunk, min(count, (index + 1) * chunk))
        rows = np.frombuffer(bodies.pop(index, b""), array.dtype)
        if len(rows) < span.stop - span.start:
            raise ValueError(f"chunk {index} has {len(rows)} rows, not {span.stop - span.start}")
        array[span] = rows[: span.stop - span.start]


def _load_watches(engine: Engine, watches: _Body, timers: _Body) -> None:
    m = engine.roster.memory
    m.sensors["watch"][: engine.roster.sensors] = NONE
    put_watches(m, np.frombuffer(watches, WATCH).copy(), np.frombuffer(timers, TIMER).copy())
