"""The load generator's file: what was sent when, and when it was acknowledged, in a few bytes a run of messages.

`Sent.messages()` unfolds it to one row a message; values need not be stored, since `frames.decimals` knows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from sensors_sim import frames
from sensors_sim.load_plan import LoadPlan
from sensors_sim.load_tables import Ack, Block

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Messages:
    """n messages in the order in which they were handed to their sockets; columns of equal length.

    intended_us: when the message should have left.  sent_us: when it did, and (whole ms) its `ts`.
    acked_us: -1 if it never was.  alarm: number in the file's alarms, -1 for an ordinary message.
    """

    connection: I64
    serial: I64
    row: I64
    intended_us: I64
    sent_us: I64
    acked_us: I64
    alarm: I64

    def __len__(self) -> int:
        return len(self.serial)


@dataclass(frozen=True, slots=True)
class Sent:
    """blocks: (b, 6) `load_tables.Block`.  acks: (c, 3) `load_tables.Ack`.  phase_us: (connections,)
    alarms: (a, 3) intended time, connection, row; the second message of a row is the one that alarms."""

    plan: LoadPlan
    blocks: I64
    acks: I64
    phase_us: I64
    alarms: I64

    def save(self, path: Path) -> None:
        plan = np.frombuffer(msgspec.json.encode(self.plan), np.uint8)
        with path.open("wb") as file:
            np.savez(file, plan=plan, blocks=self.blocks, acks=self.acks, phase_us=self.phase_us, alarms=self.alarms)

    @classmethod
    def load(cls, path: Path) -> Sent:
        """Raises OSError or ValueError when the file is not there or not ours."""
        with np.load(path) as file:
            plan = msgspec.json.decode(file["plan"].tobytes(), type=LoadPlan)
            return cls(plan, file["blocks"], file["acks"], file["phase_us"], file["alarms"])

    def messages(self) -> Messages:
        """One row a message; costs 56 bytes each."""
        blocks = self.blocks
        counts = blocks[:, Block.COUNT]
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)

        def unfold(column: int) -> I64:
            return np.repeat(blocks[:, column], counts)

        connection, serial = unfold(Block.CONNECTION), unfold(Block.SERIAL) + within
        first, sent_us = unfold(Block.ORDINAL), unfold(Block.SENT_US)
        alarm = np.where(first < 0, -1 - first, -1)
        interval_ns = self.plan.interval_ns
        if interval_ns:
            ordinal = np.maximum(first, 0) + within
            intended = self.phase_us[connection] + ordinal // self.plan.burst * interval_ns // 1000
        else:
            intended = sent_us.copy()
        if len(self.alarms):
            intended = np.where(alarm >= 0, self.alarms[np.maximum(alarm, 0), 0], intended)
        return Messages(
            connection, serial, unfold(Block.ROW) + within, intended, sent_us, self._acked(connection, serial), alarm
        )

    def _acked(self, connection: I64, serial: I64) -> I64:
        acked_us = np.full(len(serial), -1, np.int64)
        by_connection = np.argsort(connection, kind="stable")
        starts = np.searchsorted(connection[by_connection], np.arange(len(self.phase_us) + 1))
        acks = self.acks[np.argsort(self.acks[:, Ack.CONNECTION], kind="stable")]
        ack_starts = np.searchsorted(acks[:, Ack.CONNECTION], np.arange(len(self.phase_us) + 1))
        for c in range(len(self.phase_us)):
            own, theirs = by_connection[starts[c] : starts[c + 1]], acks[ack_starts[c] : ack_starts[c + 1]]
            which = np.searchsorted(theirs[:, Ack.ACKED], serial[own], side="right")
            known = which < len(theirs)
            acked_us[own[known]] = theirs[which[known], Ack.AT_US]
        return acked_us

    def values(self, messages: Messages, reading: int = 0) -> F64:
        """Value of reading number `reading` of each message, as it stood in the payload."""
        cents = (messages.serial * 7 + messages.row * 13 + reading * 29) % 100
        whole = np.where(messages.alarm >= 0, frames.ALARM, frames.QUIET)
        return whole + cents / 100.0

    def sensors(self, rows: I64, reading: int = 0) -> list[str]:
        """Sensor key of reading number `reading` of each of `rows`."""
        quiet, name = self.plan.rows, frames.sensors_of(self.plan.readings)[reading]
        return ["/".join((*frames.device_of(int(row), quiet), name)) for row in rows]

    def due_alarms(self) -> dict[str, int]:
        """Sensor key → intended µs of the message that completes its alarm, of alarms whose messages all were sent."""
        numbers = -1 - self.blocks[self.blocks[:, Block.ORDINAL] < 0, Block.ORDINAL]
        rows = self.alarms[numbers, 2]
        complete = np.unique(rows)[np.unique(rows, return_counts=True)[1] == 2]
        due: dict[int, int] = {}
        for intended_us, _, row in self.alarms[numbers].tolist():
            due[row] = max(due.get(row, 0), intended_us)
        return {key: due[int(row)] for key, row in zip(self.sensors(complete), complete, strict=True)}
