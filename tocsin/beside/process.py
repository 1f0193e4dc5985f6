"""A part beside the one process, from the child's side: told what to do by its lifeline, it says once a second how it
stands.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from prometheus_client import generate_latest

from schemas.errors import Fenced
from streams.lifeline import FENCED_EXIT, follow, read_told
from tocsin.beside.told import Said, Stands, Told
from tocsin.house import House
from tocsin.logs import configure
from tocsin.metrics import Stations
from tocsin.process import Process
from tocsin.settings import Settings
from tocsin.standing import Standing, Standings

_SAYS_EVERY_S = 1.0
_SOON_S = 0.05
"""At first: the parent is not ready before its parts are."""


class BesideProcess(Process, ABC):
    def __init__(self, told: Told, mouth: int) -> None:
        """mouth: the end of a pipe, for what it says."""
        super().__init__(Settings.told(**told.settings))
        self.told = told
        self.dsn = told.dsn
        self.house = House(self._clock, told.after_us)
        self._mouth = mouth
        self._speaking = threading.Lock()
        self.on_poke: Callable[[], None] = lambda: None
        """Called from the lifeline's thread when the parent says that there is something to do."""

    @abstractmethod
    def start_parts(self) -> Sequence[Standing]:
        """Bring up what this process is for, and say how it stands."""

    def say(self, said: Said) -> None:
        """From any thread. A parent that is gone hears nothing."""
        line = memoryview(msgspec.json.encode(said) + b"\n")
        with self._speaking, suppress(BrokenPipeError):
            while line:
                line = line[os.write(self._mouth, line) :]

    def _poked(self) -> None:
        self.on_poke()

    def serve(self) -> int:
        """Until the parent hangs up or a part fails. Returns the exit code."""
        ended = threading.Event()
        follow(ended.set, self._poked)
        # The parent decides: a Ctrl-C on the terminal reaches both, and the lifeline then closes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        self.crew.start("house", self.house.run, self.house.stop)
        try:
            parts = self.start_parts()
            standings = Standings(lambda: parts)
            Stations(standings.stations, self.metrics)
            self.settle_memory()
            has_been_well = False
            while not (self.crew.failed.is_set() or ended.wait(_SAYS_EVERY_S if has_been_well else _SOON_S)):
                troubles = standings.troubles()
                has_been_well = has_been_well or not any(troubles.values())
                self.say(Stands(troubles, generate_latest(self.metrics).decode()))
        finally:
            self.stop()
        if self.crew.failure is None:
            return 0
        return FENCED_EXIT if isinstance(self.crew.failure, Fenced) else 1


def run(make: type[BesideProcess]) -> int:
    """The process: made of what its parent tells it. Returns the exit code."""
    told = read_told(Told)
    configure(quiet=told.quiet)
    return make(told, int(sys.argv[1])).serve()
