"""The load generator against an endpoint that answers by the book, over real sockets."""

from __future__ import annotations

import json
import select
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ServiceAway
from schemas.mqtt import V311, Ack, Publish, Type, decode, encode
from sensors_sim import loadgen
from sensors_sim.load_plan import LoadPlan, LoadReport


class Endpoint(threading.Thread):
    """Keeps every PUBLISH it is sent, in order, and acknowledges all but the last `withheld` of each connection."""

    def __init__(self, withheld: int = 0, refuse: bool = False) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.received: dict[int, list[Publish]] = {}
        self._withheld, self._refuse = withheld, refuse
        self._waker, self._woken = socket.socketpair()
        self.start()

    def run(self) -> None:
        poll = select.epoll()
        open_: dict[int, tuple[socket.socket, bytearray]] = {}
        poll.register(self.listener, select.EPOLLIN)
        poll.register(self._woken, select.EPOLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._woken.fileno():
                    for connection, _buffer in open_.values():
                        connection.close()
                    poll.close()
                    return
                if fd == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.recv(4096)
                    connection.sendall(b"\x20\x02\x00" + (b"\x05" if self._refuse else b"\x00"))
                    open_[connection.fileno()] = connection, bytearray()
                    poll.register(connection, select.EPOLLIN)
                    continue
                connection, buffer = open_[fd]
                got = connection.recv(65_536)
                if not got:
                    poll.unregister(fd)
                    del open_[fd]
                    connection.close()
                    continue
                buffer += got
                self._take(fd, connection, buffer)

    def _take(self, fd: int, connection: socket.socket, buffer: bytearray) -> None:
        answers = b""
        kept = self.received.setdefault(fd, [])
        while len(buffer) >= 2 and len(buffer) >= 2 + buffer[1]:
            frame = bytes(buffer[: 2 + buffer[1]])
            del buffer[: 2 + buffer[1]]
            packet = decode(frame, V311)
            assert isinstance(packet, Publish)
            kept.append(packet)
            if len(kept) <= 20 or not self._withheld:
                answers += encode(Ack(Type.PUBACK, packet.packet_id), V311)
        connection.sendall(answers)

    def close(self) -> None:
        self._waker.send(b"x")
        self.join(10)
        for each in (self.listener, self._waker, self._woken):
            each.close()


def test_the_file_says_exactly_what_the_endpoint_received(tmp_path: Path) -> None:
    endpoint = Endpoint()
    plan = LoadPlan(
        port=endpoint.port, connections=5, rate=2000, seconds=2.5, devices=7, alarms=9, burst=2, quantum_us=0
    )
    try:
        report, sent = loadgen.start(plan, tmp_path / "sent.npz").wait()
    finally:
        endpoint.close()
    messages = sent.messages()
    assert report.done
    assert (report.faults, report.dead) == (0, 0)
    assert report.sent == report.acknowledged == len(messages) == sum(map(len, endpoint.received.values()))
    assert (messages.acked_us >= messages.sent_us).all()
    assert (messages.sent_us >= messages.intended_us).all()
    keys = [key.rsplit("/", 1)[0] for key in sent.sensors(messages.row)]
    values, said = sent.values(messages), []
    for c in range(plan.connections):
        own = np.flatnonzero(messages.connection == c).tolist()
        assert (np.diff(messages.serial[own]) == 1).all()
        said.append([(keys[i], int(messages.sent_us[i]) // 1000, float(values[i])) for i in own])
    heard = [
        [
            ("/".join(p.topic.split("/")[2:4]), json.loads(p.payload)["ts"], json.loads(p.payload)["temperature"])
            for p in packets
        ]
        for packets in endpoint.received.values()
    ]
    assert sorted(map(str, said)) == sorted(map(str, heard))
    due = sent.due_alarms()
    assert len(due) == plan.alarms == len({key.split("/")[0] for key in due})


def test_no_sensor_speaks_twice_in_one_millisecond(tmp_path: Path) -> None:
    """Two readings of a sensor with one event time would be one reading, and the load a lie."""
    endpoint = Endpoint()
    plan = LoadPlan(port=endpoint.port, connections=2, seconds=0.5, devices=3)
    try:
        _, sent = loadgen.start(plan, tmp_path / "sent.npz").wait()
    finally:
        endpoint.close()
    messages = sent.messages()
    assert len(messages) > 100
    assert len(np.unique(np.stack([messages.row, messages.sent_us // 1000]), axis=1).T) == len(messages)


def test_the_window_bounds_what_is_unacknowledged_and_the_file_shows_it(tmp_path: Path) -> None:
    endpoint = Endpoint(withheld=1)
    plan = LoadPlan(port=endpoint.port, connections=2, seconds=0.5, devices=50, window=10, drain_s=0.1)
    try:
        report, sent = loadgen.start(plan, tmp_path / "sent.npz").wait()
    finally:
        endpoint.close()
    messages = sent.messages()
    assert (report.sent, report.acknowledged) == (60, 40)
    assert (messages.acked_us == -1).sum() == 20
    assert (messages.serial[messages.acked_us == -1] >= 20).all()


@pytest.mark.parametrize("rate", [0.0, 50_000.0])
def test_it_ends_when_as_many_messages_as_asked_for_are_acknowledged(tmp_path: Path, rate: float) -> None:
    """A day has so many readings, however long they take; evenly over the connections, and no lag is left."""
    endpoint = Endpoint()
    plan = LoadPlan(port=endpoint.port, connections=2, seconds=600.0, devices=50, messages=701, rate=rate)
    try:
        report, _ = loadgen.start(plan, tmp_path / "sent.npz").wait()
    finally:
        endpoint.close()
    assert (report.sent, report.acknowledged, report.lag_s) == (702, 702, 0.0)
    assert [len(packets) for packets in endpoint.received.values()] == [351, 351]


def test_a_refused_connection_is_told_and_nothing_is_sent() -> None:
    endpoint = Endpoint(refuse=True)
    reports: list[LoadReport] = []
    try:
        with pytest.raises(ServiceAway, match="refused connection 0: CONNACK 20020005"):
            loadgen.run(LoadPlan(port=endpoint.port, connections=1), reports.append)
    finally:
        endpoint.close()
    assert not reports
