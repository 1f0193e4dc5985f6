"""What a process and its children have used so far, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of CPU of a process and of all that it started, those that have ended included."""
    used = 0.0
    for one in with_children(pid):
        fields = _stat(one)
        if fields:
            # utime, stime, and those of children that were waited for: fields 14 to 17 of proc(5).
            used += sum(int(field) for field in fields[11:15]) / _TICKS
    return used


def own_cpu_s(pid: int) -> float:
    """Seconds of CPU of one process."""
    return sum(int(field) for field in _stat(pid)[11:13]) / _TICKS


def rss_bytes(pid: int) -> int:
    """Resident memory of one process, 0 when it is gone."""
    return _bytes_of(pid, "status", "VmRSS:")


def pss_bytes(pid: int) -> int:
    """The same, what it shares with others counted in parts; 0 when it is gone."""
    return _bytes_of(pid, "smaps_rollup", "Pss:")


def command_of(pid: int) -> str:
    """The words it was started with, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def with_children(pid: int) -> list[int]:
    """The process and all that it started, directly or not."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += parents.get(one, [])
    return found


def _bytes_of(pid: int, name: str, line: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(found.split()[1]) * 1024 for found in lines if found.startswith(line)), 0)


def _stat(pid: int) -> list[str]:
    """The fields behind the program's name, which may hold anything; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
