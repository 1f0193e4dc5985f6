"""A log of one partition for a consumer that takes several at once: the reading store of one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.entries import Entry
from streams.ports import LogReader


class OnePartition:
    """Port `PartitionsReader` over a `LogReader`, and raises what that raises."""

    def __init__(self, reader: LogReader, partition: int = 0) -> None:
        """partition: the one that `reader` reads."""
        self._reader = reader
        self._partition = partition

    @property
    def partitions(self) -> Sequence[int]:
        return (self._partition,)

    def read(self, after: Mapping[int, int], limit: int = 64) -> Sequence[Entry]:
        return self._reader.read(after[self._partition], limit)

    def wait(self, after: Mapping[int, int], timeout_s: float) -> bool:
        return self._reader.wait(after[self._partition], timeout_s)
