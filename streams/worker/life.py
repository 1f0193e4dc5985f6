"""What a worker runs for each partition that it has; built by the composition, over the partition's feed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streams.ports import LogReader


class PartitionLife(Protocol):
    """One turn at one partition: from the last checkpoint until it is stopped, or overtaken."""

    def run(self) -> None:
        """Judge until `stop`; called once, in a thread of its own. While PostgreSQL is away, wait for it.

        Raises Fenced when another has taken the partition over: a new life is made if the partition is still ours.
        Whatever else it raises ends the worker.
        """
        ...

    def stop(self) -> None:
        """Ask `run` to commit, to save a checkpoint and to return within some seconds; from any thread."""
        ...

    @property
    def checkpointed(self) -> int:
        """Number of the last entry that a saved checkpoint covers; 0 when there is none."""
        ...


MakeLife = Callable[[int, LogReader], PartitionLife]
"""Called with the partition and the reader of its entries, whenever the partition comes to this worker."""
