"""Print how long after ignition each rule rang in the recorded fires: `python -m tests.acceptance.delays`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import median

from schemas.alarms import Kind
from tests.acceptance.recordings import CEILING, SMOKE, Bell, folder, replayed


def first_by_rule(runs: list[Path], spec: str) -> tuple[dict[str, list[float]], list[Bell]]:
    """(rule → delay of its first orange or red of kind fire in each run where it rang, the first bell of each run)."""
    delays: dict[str, list[float]] = defaultdict(list)
    firsts = []
    for path in runs:
        rung = [b for b in replayed(path, [spec]) if b.rings and b.event.kind is Kind.FIRE]
        for rule, t in {b.event.evidence.rule: b.t for b in reversed(rung)}.items():
            delays[rule].append(t)
        firsts += rung[:1]
    return delays, firsts


def main() -> None:
    fires = sorted(folder("fsri_compartments").glob("*.csv.xz"))
    houses = sorted(folder("nist_smoke_alarms").glob("NIST*.csv.gz"))
    print(f"{'fires':<20} {'rule':<12} {'runs':>5} {'first':>6} {'least':>8} {'median':>8} {'most':>8}")
    for name, runs, spec in (("fsri_compartments", fires, CEILING), ("nist_smoke_alarms", houses, SMOKE)):
        delays, firsts = first_by_rule(runs, spec)
        for rule, found in sorted(delays.items()):
            led = sum(b.event.evidence.rule == rule for b in firsts)
            figures = f"{min(found):>8.0f} {median(found):>8.1f} {max(found):>8.0f}"
            print(f"{name:<20} {rule:<12} {len(found):>5} {led:>6} {figures}")
        found = [b.t for b in firsts]
        figures = f"{min(found):>8.0f} {median(found):>8.1f} {max(found):>8.0f}"
        print(f"{name:<20} {'any':<12} {len(found):>5} {len(found):>6} {figures}")


if __name__ == "__main__":
    main()
