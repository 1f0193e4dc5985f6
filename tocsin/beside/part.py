"""A part beside the one process, from the parent's side."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from streams.lifeline import begin, poke
from tocsin.beside.told import Line, Said, Stands, Turned
from tocsin.child import Child
from tocsin.standing import Standing

_SILENT_S = 10.0
_decoder = msgspec.json.Decoder(Said)


def _ignore(_line: str) -> None:
    """Nobody looks."""


class PartBeside(Child):
    """`run` blocks until `stop`; a part that dies is started again, with its counts at 0, and one that was fenced ends
    us. `poke` may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        *,
        patience_s: float = 0.0,
        on_turn: Callable[[], None] = lambda: None,
        on_line: Callable[[str], None] = _ignore,
    ) -> None:
        """name: of the part, and of its module in this folder.  patience_s: so long it is not missed when it starts.
        on_turn, on_line: called with what it says.
        """
        super().__init__(name, self._start, listen=self._hear)
        self._patience_s = patience_s
        self._on_turn = on_turn
        self._on_line = on_line
        self._stands: Stands | None = None
        self._heard_at = time.monotonic()
        self._ear = -1

    def poke(self) -> None:
        """There is something for it. Cheap."""
        # Beside who hangs up: the pipe's number may be another's by then.
        with self._lock:
            if self._child is not None:
                poke(self._child)

    def standing(self) -> Standing:
        return Standing(self._name, self.trouble)

    def trouble(self) -> str:
        """Empty when all is well, else what is wrong, for a person."""
        stands = self._stands
        silent_s = time.monotonic() - self._heard_at
        if stands is None:
            if self.restarts:
                return "its process is being started again"
            return "starting" if silent_s > self._patience_s else ""
        if silent_s > _SILENT_S:
            return f"not heard of for {silent_s:.0f} s"
        return "; ".join(trouble for trouble in stands.troubles.values() if trouble)

    def show(self, registry: CollectorRegistry) -> None:
        """Its metrics stand beside the parent's."""
        registry.register(_Shown(self))

    def metrics(self) -> Iterable[Metric]:
        """As it said them last; none while it starts."""
        stands = self._stands
        return () if stands is None else text_string_to_metric_families(stands.metrics)

    def _start(self) -> subprocess.Popen[bytes]:
        self._ear, mouth = os.pipe()
        try:
            return begin(f"tocsin.beside.{self._name}", str(mouth), pass_fds=[mouth])
        finally:
            os.close(mouth)

    def _hear(self) -> None:
        """Until the child closes its end."""
        with os.fdopen(self._ear, "rb") as lines:
            for line in lines:
                self._take(_decoder.decode(line))
        self._stands = None

    def _take(self, said: Said) -> None:
        match said:
            case Stands():
                self._stands, self._heard_at = said, time.monotonic()
            case Turned():
                self._on_turn()
            case Line(text):
                # A terminal that is gone is no reason to end.
                with suppress(OSError):
                    self._on_line(text)


class _Shown(Collector):
    def __init__(self, part: PartBeside) -> None:
        self._part = part

    def describe(self) -> Iterable[Metric]:
        """Nothing: at registration it has said nothing yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._part.metrics()
