"""Memory and processor time of everything that runs, by name, while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from tocsin.bench.processes import command_of, cpu_s, own_cpu_s, pss_bytes, rss_bytes, with_children

POSTGRES = "postgres"
_EVERY_S = 2.0
_STORE = "streams.store"


@dataclass(frozen=True, slots=True)
class Used:
    """first_bytes, peak_bytes: memory at first, and at its most.  cpu_s: processor time since the watch began."""

    first_bytes: int
    peak_bytes: int
    cpu_s: float


class Watch:
    """A thread that looks every two seconds, within a `with`.

    roots: name → process of what was started.  A process of the reading store counts under a name of its own;
    PostgreSQL is the sum of its processes, each with its share of what they have in common.
    """

    def __init__(self, roots: Callable[[], Mapping[str, int]]) -> None:
        self._roots = roots
        self._firsts: dict[str, int] = {}
        self._peaks: dict[str, int] = {}
        self._cpu_before: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._cpu_before = self._cpu()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def used(self) -> dict[str, Used]:
        """By name, the most processor time first."""
        self._look()
        cpu = {name: used - self._cpu_before.get(name, 0.0) for name, used in self._cpu().items()}
        names = sorted(self._peaks, key=lambda name: -cpu.get(name, 0.0))
        return {name: Used(self._firsts[name], self._peaks[name], cpu.get(name, 0.0)) for name in names}

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        for name, root in self._roots().items():
            if name == POSTGRES:
                self._see(name, sum(map(pss_bytes, with_children(root))))
                continue
            self._see(name, rss_bytes(root))
            for child in with_children(root)[1:]:
                if _STORE in command_of(child):
                    self._see(f"{name}.store", rss_bytes(child))

    def _see(self, name: str, size: int) -> None:
        self._firsts.setdefault(name, size)
        self._peaks[name] = max(self._peaks.get(name, 0), size)

    def _cpu(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, root in self._roots().items():
            if name == POSTGRES:
                found[name] = cpu_s(root)
                continue
            found[name] = own_cpu_s(root)
            for child in with_children(root)[1:]:
                if _STORE in command_of(child):
                    found[f"{name}.store"] = cpu_s(child)
        return found
