"""Torn payloads through the compiled reader and the obvious way, for as long as one likes.

    python -m tests.fuzz.fuzz_codec --seconds 600 --seed 1 --bounds-check

Exits 1 and shows the payloads when the two disagree, or when anything is raised. Bounds checks are compiled into a
cache of their own; without them the kernel is the one that runs in production.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_WORDS = (
    b'"ts":', b'"smoke":', b'"temperature.3":', b'"mains":', b"true", b"false", b"null", b"1e22", b"1e-23", b"-0.0",
    b"9007199254740993", b"123456789012345678901", b"NaN", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0073",
    b" ", b"\n", b"\x00", b"\xff", b"\xc3\xa9", b"0", b"00", b".", b"e", b"E+", b"-", b"1790000000000", b"online",
    b'"2026-09-21T14:13:20Z"', b'"2026-09-21T22:13:20.5+08:00"', b"offline", b"9" * 300,
)  # fmt: skip
_ROUND = 500


def usual(keys: Sequence[str], rng: random.Random) -> bytes:
    """A payload as devices send it."""
    objects = []
    for _ in range(rng.choice((1, 1, 1, 3))):
        ts = rng.choice(
            (1790000000000 - rng.randrange(10**6), '"2026-09-21T14:13:20Z"', f"{1789999999999 - rng.random():.3f}")
        )
        numbers = (0, 1, 0.5, rng.uniform(0, 20), rng.randrange(990) / 10, 1e-5 * rng.random())
        flags = {"mains", "call_point"}
        values = [f'"{key}": {rng.choice(("true", "false", 1) if key in flags else numbers)}' for key in keys]
        objects.append("{" + ", ".join([f'"ts": {ts}', *rng.sample(values, rng.choice((1, 1, 2, 4)))]) + "}")
    return (objects[0] if len(objects) == 1 else f"[{','.join(objects)}]").encode()


def mutate(payload: bytes, rng: random.Random) -> bytes:
    """Some of its bytes changed, cut, doubled or replaced by words of the grammar."""
    torn = bytearray(payload)
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
        at = rng.randint(0, len(torn))
        to = min(len(torn), at + rng.choice((0, 1, 1, 2, 5, 20)))
        match rng.randrange(5):
            case 0:
                torn[at:to] = rng.choice(_WORDS)
            case 1:
                torn[at:to] = b""
            case 2:
                torn[at:at] = torn[at:to] * rng.choice((1, 2, 50))
            case 3:
                torn[at:to] = bytes(rng.randrange(256) for _ in range(to - at))
            case _:
                torn[at:to] = b"%d" % rng.getrandbits(rng.choice((3, 10, 40, 64)))
    return bytes(torn[:4096])


def fuzz(seconds: float, seed: int) -> int:
    """Run for so long; returns the number of findings."""
    from tests.codec_twins import KEYS, TOPICS, compiled, known_sensors, obvious
    from tests.messages import Door

    rng = random.Random(seed)
    golden = (Path(__file__).parents[1] / "golden" / "payloads").glob("*.json")
    corpus = [json.loads(path.read_text(encoding="utf-8"))["payload"].encode() for path in sorted(golden)]
    sensors, door = known_sensors(), Door()
    for topic in TOPICS:
        door.batch([(topic, b"")])
    tried = taken = findings = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        messages = [
            (rng.choice((*[TOPICS[0]] * 9, TOPICS[1])), mutate(rng.choice((rng.choice(corpus), usual(KEYS, rng))), rng))
            for _ in range(_ROUND)
        ]
        batch = door.batch(messages)
        for (topic, payload), arrival_us, rows in zip(
            messages, batch.arrival_us.tolist(), compiled(batch, sensors), strict=True
        ):
            tried += 1
            expected = obvious(topic, payload, arrival_us)
            if rows is None:
                if expected and len(payload) < 500 and rng.random() < 0.01:
                    corpus[rng.randrange(len(corpus))] = payload
                continue
            taken += 1
            if rows != expected:
                findings += 1
                print(f"disagree on {topic.rsplit('/')[-1]}: {payload!r}\n  {rows}\n  {expected}")
    print(f"codec: {tried:,} payloads, {taken:,} taken by the compiled reader, {findings} findings, seed {seed}")
    return findings


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
