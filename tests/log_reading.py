"""Reads a log on until what a test wrote into it is there: one read may return a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import overload

from schemas.entries import Entry
from streams.ports import LogReader, PartitionsReader
from tests.waiting import until


@overload
def read_all(reader: LogReader, after: int, count: int) -> list[Entry]: ...
@overload
def read_all(reader: PartitionsReader, after: Mapping[int, int], count: int) -> list[Entry]: ...
def read_all(reader: LogReader | PartitionsReader, after: int | Mapping[int, int], count: int) -> list[Entry]:
    """The first `count` entries above `after`, in the order they come; fails when they do not come."""
    found: list[Entry] = []

    def read_on() -> bool:
        behind = {entry.partition: entry.number for entry in found}
        place = {**after, **behind} if isinstance(after, Mapping) else max(behind.values(), default=after)
        found.extend(reader.read(place, count - len(found)))  # type: ignore[arg-type]  # each kind its own place
        return len(found) == count

    until(read_on, f"{count} entries are there")
    return found
