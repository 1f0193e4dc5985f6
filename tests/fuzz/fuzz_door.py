"""Torn sessions against a door that runs, beside a client that behaves, for as long as one likes.

    python -m tests.fuzz.fuzz_door --seconds 600 --seed 1 --bounds-check

A finding is: the door's thread ends, the client that behaves is not answered in order or is cut, or at the end the
door still counts a connection, an unfinished byte or an open file. Exits 1 on any.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path


def fuzz(seconds: float, seed: int) -> int:
    """Run for so long; returns the number of findings."""
    from schemas import mqtt
    from schemas.mqtt import Ack, Publish, Type
    from tests.door_world import TELEMETRY, World
    from tests.fuzz.mqtt_bytes import connect, stream, tear

    rng = random.Random(seed)
    files = _open_files()
    world = World({"packet_size": 4096, "receive_maximum": 50, "foreign_per_minute": 1000})
    sessions = sent = findings = 0
    try:
        witness = world.connected("witness", keep_alive_s=60_000)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not findings:
            strangers = []
            for _ in range(rng.randint(1, 8)):
                version = rng.choice((4, 5))
                hello = mqtt.encode(connect(rng, version), version)
                data = (hello if rng.random() < 0.9 else tear(hello, rng)) + tear(
                    stream(rng, version, rng.randint(0, 40)), rng
                )
                stranger = socket.create_connection(("127.0.0.1", world.door.port), 20)
                strangers.append((stranger, data))
                sessions += 1
                sent += len(data)
            while strangers:
                place = rng.randrange(len(strangers))
                stranger, data = strangers[place]
                cut = rng.randint(0, len(data))
                try:
                    stranger.sendall(data[:cut])
                    if rng.random() < 0.3:
                        stranger.setblocking(False)
                        stranger.recv(1 << 16)
                except OSError:
                    # The door has closed it, or has nothing to say: both are its right.
                    data, cut = b"", 0
                stranger.settimeout(20)
                strangers[place] = (stranger, data[cut:])
                if not data[cut:]:
                    stranger.close()
                    del strangers[place]
            world.clock.now_s += rng.choice((0, 0, 0.3, 3))
            packets = [Publish(TELEMETRY, b'{"value": 7}', 1, packet_id=n) for n in range(1, 20)]
            witness.send(*packets)
            answers = [witness.read() for _ in packets]
            if answers != [Ack(Type.PUBACK, packet.packet_id) for packet in packets] or world.failure is not None:
                findings += 1
                print(f"the client that behaves heard {answers}; the door: {world.failure!r}")
            world.log.payloads.clear()
            world.log.quarantined.clear()
        witness.close()
        counts = world.door.counts
        if world.failure is None:
            world.wait(lambda: counts.connections == 0)
            if counts.unfinished_bytes:
                findings += 1
                print(f"{counts.unfinished_bytes} unfinished bytes of nobody")
    finally:
        world.end()
    if world.failure is not None:
        traceback.print_exception(world.failure)
    if _open_files() != files:
        findings += 1
        print(f"{_open_files() - files} files were left open")
    print(
        f"door: {sessions:,} sessions, {sent:,} bytes, {counts.messages:,} messages, {findings} findings, seed {seed}"
    )
    print(f"  closed: {dict(counts.closed)}\n  refused: {dict(counts.refused)}")
    return findings


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bounds-check", action="store_true", help="compile the kernels with bounds checks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-fuzz-") as cache:
        if arguments.bounds_check:
            os.environ |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache}
        sys.exit(1 if fuzz(arguments.seconds, arguments.seed) else 0)


if __name__ == "__main__":
    main()
