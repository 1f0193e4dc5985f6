"""The open-loop load generator: prepared frames over many connections, in a process of its own.

`start(plan, file)` runs it beside the caller; `python -m sensors_sim.loadgen PLAN FILE` is that process: it prints a
`LoadReport` as JSON each second and writes a `Sent` file at the end.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import ServiceAway
from schemas.mqtt import V311, Connect, encode
from sensors_sim import frames, libc
from sensors_sim.load_kernel import EVENTS, RECEIVE_BYTES, pump
from sensors_sim.load_plan import LoadPlan, LoadReport
from sensors_sim.load_tables import Block, Conn, Count, Setting
from sensors_sim.sent import Sent

I64 = npt.NDArray[np.int64]

_SLICE_US = 200_000
_LEAD_IN_US = 50_000
_ALARMS_FROM_S, _ALARM_APART_US = 2.0, 1_000_000
_SOCKET_BYTES = 1 << 20
_ALL = 1 << 62


@dataclass(slots=True)
class LoadProcess:
    """A load generator at work."""

    process: subprocess.Popen[bytes]
    file: Path

    def reports(self) -> Iterator[LoadReport]:
        """One a second; the last is `done`. Raises ServiceAway when the generator could not finish."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                yield msgspec.json.decode(line, type=LoadReport)
        if self.process.wait():
            raise ServiceAway("loadgen", "the load generator failed; its own words are on stderr.")

    def wait(self) -> tuple[LoadReport, Sent]:
        """Wait for the end. Raises ServiceAway like `reports`."""
        *_, last = self.reports()
        return last, Sent.load(self.file)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def start(plan: LoadPlan, file: Path) -> LoadProcess:
    """Start a generator in a process of its own; it writes `file` when it is done."""
    command = [sys.executable, "-m", __name__, msgspec.json.encode(plan).decode(), str(file)]
    return LoadProcess(subprocess.Popen(command, stdout=subprocess.PIPE), file)


def run(plan: LoadPlan, report: Callable[[LoadReport], None]) -> Sent:
    """Run `plan` here. Raises ServiceAway when the endpoint does not take the connections."""
    prepared = frames.build(plan.rows, plan.alarms, plan.readings, with_ts=plan.with_ts)
    _warm_up(prepared)
    with ExitStack() as opened:
        poll = opened.enter_context(select.epoll())
        sockets: list[socket.socket] = []
        for index in range(plan.connections):
            try:
                one = opened.enter_context(socket.create_connection((plan.host, plan.port), timeout=10.0))
                _log_in(plan, index, one)
            except OSError as error:
                raise ServiceAway("mqtt", f"connection {index} to {plan.host}:{plan.port}: {error}.") from error
            poll.register(one.fileno(), select.EPOLLIN)
            sockets.append(one)
        return _Load(plan, prepared, sockets, poll.fileno(), time.time_ns() // 1000 + _LEAD_IN_US).run(report)


def _log_in(plan: LoadPlan, index: int, connected: socket.socket) -> None:
    """Send CONNECT and wait for its answer; the socket does not block afterwards."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
    connected.sendall(encode(Connect(f"load-{plan.seed}-{index}", keep_alive_s=600), V311))
    answer = connected.recv(4, socket.MSG_WAITALL)
    if answer != b"\x20\x02\x00\x00":
        raise ServiceAway("mqtt", f"{plan.host}:{plan.port} refused connection {index}: CONNACK {answer.hex()}.")
    connected.setblocking(False)


class _Load:
    """The arrays of one run and the slices of work on them."""

    def __init__(
        self, plan: LoadPlan, prepared: frames.Frames, sockets: list[socket.socket], epoll: int, start_us: int
    ) -> None:
        k = len(sockets)
        self._plan, self._frames, self._start_us = plan, prepared, start_us
        self._stop_us = start_us + int(plan.seconds * 1e6)
        self._conns = np.zeros((k, len(Conn)), np.int64)
        self._conns[:, Conn.FD] = [each.fileno() for each in sockets]
        self._conns[:, Conn.FIRST_ROW] = self._conns[:, Conn.NEXT_ROW] = np.arange(k) * plan.devices
        self._conns[:, Conn.END_ROW] = (np.arange(k) + 1) * plan.devices
        # spread evenly over one interval, in an order that does not follow the descriptors
        turn = np.random.default_rng(plan.seed).permutation(k)
        self._conns[:, Conn.PHASE_US] = start_us + turn * plan.interval_ns // (1000 * k)
        self._due_us = np.zeros(k, np.int64)
        self._tails = np.zeros((k, 4), np.uint8)
        self._conn_of_fd = np.full(int(self._conns[:, Conn.FD].max()) + 1, -1, np.int32)
        self._conn_of_fd[self._conns[:, Conn.FD]] = np.arange(k)
        self._settings = np.zeros(len(Setting), np.int64)
        self._settings[:] = (
            plan.interval_ns, plan.burst, plan.window, plan.quantum_us, self._stop_us, prepared.id_at,
            prepared.ts_at, epoll, -(-plan.messages // k) if plan.messages else _ALL,
        )  # fmt: skip
        self._alarms = _alarms(plan, start_us)
        self._blocks = np.zeros((max(65_536, 4 * k), len(Block)), np.int64)
        self._acks = np.zeros((max(65_536, 4 * k), 3), np.int64)
        self._counts = np.zeros(len(Count), np.int64)
        self._events = np.zeros(EVENTS * libc.EPOLL_WORDS, np.int32)
        self._inbox = np.zeros(RECEIVE_BYTES, np.uint8)
        self._cpu_s = time.process_time()
        self._kept: tuple[list[I64], list[I64]] = [], []

    def run(self, report: Callable[[LoadReport], None]) -> Sent:
        told = now = self._start_us
        drained = self._stop_us + int(self._plan.drain_s * 1e6)
        while self._is_sending(now) or (self._unacknowledged() and now < drained):
            limit = self._stop_us if self._is_sending(now) else now + 10_000
            self._pump(min(now + _SLICE_US, limit))
            now = time.time_ns() // 1000
            if now - told >= 1_000_000:
                told = now
                report(self.report(now))
        report(self.report(now, done=True))
        blocks, acks = (np.concatenate(kept) for kept in self._kept)
        return Sent(self._plan, blocks, acks, self._conns[:, Conn.PHASE_US].copy(), self._alarms)

    def _pump(self, until_us: int) -> None:
        pump(
            until_us, self._frames.rows, self._frames.value_at, self._conns, self._due_us, self._tails,
            self._conn_of_fd, self._settings, self._alarms, self._blocks, self._acks, self._counts, self._events,
            self._inbox,
        )  # fmt: skip
        self._kept[0].append(self._blocks[: self._counts[Count.BLOCKS]].copy())
        self._kept[1].append(self._acks[: self._counts[Count.ACKS]].copy())
        self._counts[Count.BLOCKS] = self._counts[Count.ACKS] = 0

    def _is_sending(self, now: int) -> bool:
        alive = self._conns[self._conns[:, Conn.DEAD] == 0]
        return now < self._stop_us and bool((alive[:, Conn.ORDINAL] < self._settings[Setting.MOST]).any())

    def _unacknowledged(self) -> bool:
        alive = self._conns[self._conns[:, Conn.DEAD] == 0]
        return bool((alive[:, Conn.ACKED] < alive[:, Conn.SERIAL]).any())

    def report(self, now: int, *, done: bool = False) -> LoadReport:
        conns, plan = self._conns, self._plan
        lag_us = 0
        if plan.interval_ns:
            at = min(now, self._stop_us)
            next_due = conns[:, Conn.PHASE_US] + conns[:, Conn.ORDINAL] // plan.burst * plan.interval_ns // 1000
            late = (at - next_due)[conns[:, Conn.ORDINAL] < self._settings[Setting.MOST]]
            lag_us = max(0, int(late.max(initial=0)))
        return LoadReport(
            seconds=(now - self._start_us) / 1e6,
            sent=int(conns[:, Conn.SERIAL].sum()),
            acknowledged=int(conns[:, Conn.ACKED].sum()),
            alarms_sent=int(self._counts[Count.NEXT_ALARM]),
            lag_s=lag_us / 1e6,
            dead=int((conns[:, Conn.DEAD] != 0).sum()),
            faults=int(conns[:, Conn.FAULTS].sum()),
            cpu_s=time.process_time() - self._cpu_s,
            done=done,
        )


def _alarms(plan: LoadPlan, start_us: int) -> I64:
    """(2 · alarms, 3): intended time, connection and row of the messages that alarm, by time."""
    rng = np.random.default_rng(plan.seed)
    end_s = max(plan.seconds - 1.0, _ALARMS_FROM_S)
    second = start_us + (1e6 * np.sort(rng.uniform(_ALARMS_FROM_S, end_s, plan.alarms))).astype(np.int64)
    connection = rng.integers(0, plan.connections, plan.alarms)
    row = plan.rows + np.arange(plan.alarms)
    both = np.concatenate(
        [np.stack([at, connection, row], axis=1) for at in (second - _ALARM_APART_US, second)]
    ).astype(np.int64)
    return both[np.argsort(both[:, 0], kind="stable")]


def _warm_up(prepared: frames.Frames) -> None:
    """Compile before the clock starts: a pass over no connection."""
    none = np.zeros((0, len(Conn)), np.int64)
    poll = select.epoll()
    settings = np.zeros(len(Setting), np.int64)
    settings[Setting.EPOLL] = poll.fileno()
    pump(
        0, prepared.rows, prepared.value_at, none, np.zeros(0, np.int64), np.zeros((0, 4), np.uint8),
        np.zeros(1, np.int32), settings,
        np.zeros((0, 3), np.int64), np.zeros((1, len(Block)), np.int64), np.zeros((1, 3), np.int64),
        np.zeros(len(Count), np.int64), np.zeros(EVENTS * libc.EPOLL_WORDS, np.int32), np.zeros(8, np.uint8),
    )  # fmt: skip
    poll.close()


def main(arguments: list[str]) -> None:
    plan, file = arguments

    def tell(report: LoadReport) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        if not report.done:
            sys.stdout.buffer.flush()

    run(msgspec.json.decode(plan, type=LoadPlan), tell).save(Path(file))


if __name__ == "__main__":
    main(sys.argv[1:])
