"""Torn streams through the compiled scan and the obvious way, for as long as one likes.

    python -m tests.fuzz.fuzz_scan --seconds 600 --seed 1 --bounds-check

Exits 1 and shows the bytes when the two disagree, or when anything is raised. Bounds checks are compiled into a cache
of their own; without them the kernel is the one that runs in production.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time


def fuzz(seconds: float, seed: int) -> int:
    """Run for so long; returns the number of findings."""
    from tests.fuzz.mqtt_bytes import stream, tear
    from tests.scan_twin import compiled, naive

    rng = random.Random(seed)
    tried = messages = findings = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pieces = []
        for _ in range(rng.randint(1, 6)):
            version = rng.choice((4, 5))
            data = stream(rng, version, rng.randint(0, 20)) if rng.random() < 0.9 else rng.randbytes(rng.randint(0, 99))
            pieces.append((tear(data, rng), version))
        sizes = rng.choice((2, 60, 1000, 1 << 18)), rng.choice((1, 5, 10_000)), rng.choice((1, 7, 500))
        limits = *sizes, rng.random() < 0.5
        tried += 1
        told, expected = compiled(pieces, *limits), naive(pieces, *limits)
        messages += len(told.messages)
        if told != expected:
            findings += 1
            print(f"disagree with limits {limits} on {pieces!r}\n  {told}\n  {expected}")
    print(f"scan: {tried:,} inputs, {messages:,} messages found, {findings} findings, seed {seed}")
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
