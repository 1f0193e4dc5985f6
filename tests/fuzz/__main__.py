"""`./dev test fuzz`: every fuzzer, once with bounds checks and once without, one after the other.

    python -m tests.fuzz --seconds 600

Each gets its share of the seconds; exits 1 when one of them finds something.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

FUZZERS = ("fuzz_scan", "fuzz_door", "fuzz_codec")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all of them, of each of the two forms")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    share = str(asked.seconds / len(FUZZERS))
    worst = 0
    for form in (["--bounds-check"], []):
        for fuzzer in FUZZERS:
            command = [sys.executable, "-m", f"tests.fuzz.{fuzzer}", "--seconds", share, "--seed", str(asked.seed)]
            print(f"{fuzzer}, bounds checks {'on' if form else 'off'}, {share} s", flush=True)
            worst = max(worst, subprocess.run([*command, *form]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
