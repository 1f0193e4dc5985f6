"""How every part of the house stands, what that is measured by, and what a person does about it.

Most of it is what PostgreSQL knows: positions, beats, what waits. Beside `tocsin up` its own word is asked, too. What
has just been found out is kept for a second, so many pages ask once.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from alerting.database import Connection, Database
from console.words import LANGUAGES, words_of
from schemas.errors import ServiceAway
from schemas.viewers import Act, Viewer

OK, UNKNOWN, WARNING, WRONG = "ok", "unknown", "warning", "wrong"
_WORST = (OK, UNKNOWN, WARNING, WRONG)
_KEPT_S = 1.0
_SILENT_S = 15.0
"""Doors, bridges and the log speak every second or so."""
_STANDS_S = 15.0
_BEHIND_S = 10.0
_BEHIND_ENTRIES = 50_000
_STORE_SILENT_S = 60.0
_UNSAVED_S = 600.0
_LEAST_FREE = 2e9
_FEW_FREE = 10e9

_DATABASE = """
    SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint, pg_database_size(current_database()),
           (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::integer,
           (SELECT topic = '' FROM log_layout)
"""
_LOG = """
    SELECT max(number), extract(epoch FROM clock_timestamp() - max(written_at))::float8 FROM (
        SELECT number, written_at FROM log_entries WHERE partition = 0 ORDER BY number DESC LIMIT 1) AS newest
"""
_POSITIONS = "SELECT consumer, partition, position FROM positions WHERE consumer IN ('engine', 'desk')"
_CHECKPOINT = """
    SELECT max(age) FROM (SELECT extract(epoch FROM clock_timestamp() - max(saved_at))::float8 AS age
                          FROM checkpoints WHERE consumer = 'engine' GROUP BY partition) AS newest
"""
_DESK = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(judged_at)), 0)::float8
    FROM positions p JOIN alarm_events e ON e.partition = p.partition AND e.seq > p.position
    WHERE p.consumer = 'desk'
"""
_OUTBOX = """
    SELECT count(*) FILTER (WHERE status IN ('planned', 'queued', 'sending')),
           count(*) FILTER (WHERE status IN ('planned', 'queued', 'sending') AND overdue)
    FROM notifications WHERE status IN ('planned', 'queued', 'sending')
"""
_FAILED = """
    SELECT count(*) FROM attempts
    WHERE outcome = 'refused' AND started_us > (extract(epoch FROM clock_timestamp()) * 1e6)::bigint - 86400000000
"""
_COMMANDS = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(asked_at)), 0)::float8
    FROM commands WHERE answered_at IS NULL
"""
_STORE = """
    SELECT stored, extract(epoch FROM clock_timestamp() - written_at)::float8, waited_us / 1e6 FROM store_status
"""
_DOORS = "SELECT name, extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM doors ORDER BY name"
_BRIDGES = "SELECT name, extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM bridges ORDER BY name"
_QUARANTINE = """
    SELECT count(*) FROM quarantine WHERE replayed_at IS NULL
       AND arrival_us > (extract(epoch FROM clock_timestamp()) * 1e6)::bigint - 86400000000
"""

Ask = Callable[[], Mapping[str, str]]
"""Parts of the main process → what is wrong with each, "" where nothing is. Raises OSError when it does not answer."""


class PartHealth(msgspec.Struct, frozen=True):
    """standing: ok, unknown, warning or wrong."""

    part: str
    standing: str
    figures: dict[str, float]
    """What it is measured by; the names bear their units."""
    name: dict[str, str]
    """Language → what the part is called."""
    said: dict[str, str]
    """Language → what is wrong."""
    mend: dict[str, str]
    """Language → what to do, empty where nothing is."""


class Health(msgspec.Struct, frozen=True):
    as_of_us: int
    standing: str
    """The worst of all parts."""
    parts: list[PartHealth]


class Found(NamedTuple):
    """What is wrong with a part: a key of the texts, and what is filled in."""

    standing: str
    key: str
    values: Mapping[str, object]


class HouseHealth:
    """Thread-safe. A PostgreSQL that is away is among the answers, not an error."""

    def __init__(
        self,
        dsn: str,
        *,
        ask: Ask | None = None,
        folder: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """ask: of the process beside which this one runs.  folder: on whose disk the data lie, if that is here."""
        self._database = Database(dsn, "tocsin health")
        self._ask = ask
        self._folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._moved: dict[int, tuple[int, float]] = {}
        self._kept: Health | None = None
        self._kept_at = float("-inf")

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def look(self, viewer: Viewer) -> Health:
        """How all stands. Raises NotAllowed."""
        viewer.must(Act.SEE_HEALTH)
        with self._lock:
            if self._kept is None or self._now() - self._kept_at > _KEPT_S:
                self._kept = self._look()
                self._kept_at = self._now()
            return self._kept

    def _look(self) -> Health:
        try:
            with self._database.transaction() as connection:
                parts = list(self._of_database(connection))
        except ServiceAway:
            parts = [_part("postgresql", {}, Found(WRONG, "postgresql_away", {}))]
        parts += self._of_disk()
        parts += self._of_process()
        worst = max((part.standing for part in parts), key=_WORST.index)
        return Health(time.time_ns() // 1000, worst, parts)

    def _of_database(self, connection: Connection) -> Iterator[PartHealth]:
        _, size, used, most, one_process = _one(connection, _DATABASE)
        full = Found(WARNING, "postgresql_full", {"used": used, "most": most}) if used > 0.8 * most else None
        yield _part("postgresql", {"size_bytes": size, "connections": used}, full)
        newest, silent_s = _one(connection, _LOG) if one_process else (None, None)
        if one_process:
            yield _part("log", _told(newest_entry=newest, silent_s=silent_s), _log_of(silent_s))
        yield self._engine(connection, newest)
        events, waiting_s = _one(connection, _DESK)
        late = {"events": events, "seconds": round(waiting_s)}
        yield _part(
            "desk",
            {"events_waiting": events, "oldest_s": waiting_s},
            Found(WRONG, "desk_behind", late) if waiting_s > _BEHIND_S else None,
        )
        yield _outbox(connection)
        waiting, oldest_s = _one(connection, _COMMANDS)
        unanswered = {"count": waiting, "seconds": round(oldest_s)}
        yield _part(
            "commands",
            {"waiting": waiting, "oldest_s": oldest_s},
            Found(WARNING, "commands_wait", unanswered) if oldest_s > _BEHIND_S else None,
        )
        stored, store_silent_s, waited_s = _one(connection, _STORE)
        quiet = {"seconds": round(store_silent_s)}
        yield _part(
            "store",
            {"stored": stored, "silent_s": store_silent_s, "waited_s": float(waited_s)},
            Found(WRONG, "store_silent", quiet) if store_silent_s > _STORE_SILENT_S else None,
        )
        for part, query in (("doors", _DOORS), ("bridges", _BRIDGES)):
            beats = connection.execute(query).fetchall()
            if beats:
                yield _part(part, {"count": len(beats)}, _silent(part, beats))
        (refused,) = _one(connection, _QUARANTINE)
        waits = Found(WARNING, "quarantine_waits", {"count": refused}) if refused else None
        yield _part("quarantine", {"refused_a_day": refused}, waits)

    def _engine(self, connection: Connection, newest: int | None) -> PartHealth:
        """Of all its partitions, the one that stands worst."""
        now = self._now()
        positions = {
            partition: position
            for consumer, partition, position in connection.execute(_POSITIONS).fetchall()
            if consumer == "engine"
        }
        for partition, position in positions.items():
            if self._moved.get(partition, (-1, 0.0))[0] != position:
                self._moved[partition] = (position, now)
        if not positions:
            return _part("engine", {}, Found(UNKNOWN, "unknown", {}))
        still = {partition: now - self._moved[partition][1] for partition in positions}
        worst = max(still, key=lambda partition: still[partition])
        (unsaved_s,) = _one(connection, _CHECKPOINT)
        behind = None if newest is None else max(0, newest - positions.get(0, 0))
        figures = _told(
            partitions=len(positions), still_s=still[worst], entries_behind=behind, checkpoint_age_s=unsaved_s
        )
        found = None
        if still[worst] > _STANDS_S:
            found = Found(WRONG, "engine_stands", {"partition": worst, "seconds": round(still[worst])})
        elif behind is not None and behind > _BEHIND_ENTRIES:
            found = Found(WRONG, "engine_behind", {"partition": 0, "entries": behind})
        elif unsaved_s is not None and unsaved_s > _UNSAVED_S:
            found = Found(WARNING, "engine_unsaved", {"seconds": round(unsaved_s)})
        return _part("engine", figures, found)

    def _of_disk(self) -> list[PartHealth]:
        if self._folder is None:
            return []
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return [_part("disk", {}, Found(UNKNOWN, "unknown", {}))]
        standing = WRONG if free < _LEAST_FREE else WARNING if free < _FEW_FREE else OK
        found = Found(standing, "disk_full", {"free": f"{free / 1e9:.1f}"}) if standing != OK else None
        return [_part("disk", {"free_bytes": free}, found)]

    def _of_process(self) -> list[PartHealth]:
        if self._ask is None:
            return []
        try:
            troubles = {part: words for part, words in self._ask().items() if words}
        except OSError:
            return [_part("process", {}, Found(WRONG, "process_away", {}))]
        words = "; ".join(f"{part}: {said}" for part, said in troubles.items())
        found = Found(WRONG, "process_says", {"words": words}) if troubles else None
        return [_part("process", {"troubles": len(troubles)}, found)]


def _log_of(silent_s: float | None) -> Found | None:
    if silent_s is None:
        return Found(UNKNOWN, "unknown", {})
    return Found(WRONG, "log_silent", {"seconds": round(silent_s)}) if silent_s > _SILENT_S else None


def _outbox(connection: Connection) -> PartHealth:
    waiting, overdue = _one(connection, _OUTBOX)
    (failed,) = _one(connection, _FAILED)
    found = None
    if overdue:
        found = Found(WRONG, "outbox_overdue", {"count": overdue})
    elif failed:
        found = Found(WARNING, "outbox_failed", {"count": failed})
    return _part("outbox", {"waiting": waiting, "overdue": overdue, "failed_a_day": failed}, found)


def _silent(part: str, beats: list[tuple[Any, ...]]) -> Found | None:
    silent = {name: seconds for name, seconds in beats if seconds > _SILENT_S}
    if not silent:
        return None
    values = {"names": ", ".join(silent), "seconds": round(max(silent.values()))}
    return Found(WRONG, f"{part}_silent", values)


def _part(part: str, figures: Mapping[str, float], found: Found | None) -> PartHealth:
    standing, key, values = found or Found(OK, "ok", {})
    said, mend, name = {}, {}, {}
    for language in LANGUAGES:
        words = words_of(language)
        name[language] = words(f"house.part.{part}")
        # Filled in here: what comes from outside may hold braces.
        said[language] = words(f"house.say.{key}", **values)
        mend[language] = words(f"house.mend.{key}") if f"house.mend.{key}" in words else ""
    return PartHealth(part, standing, dict(figures), name, said, mend)


def _told(**figures: float | None) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate has a row"
    return tuple(row)
