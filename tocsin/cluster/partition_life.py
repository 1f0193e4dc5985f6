"""What a worker runs for one partition: the judging, the alarms on their way to others, what people ask, the risks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from structlog.contextvars import bound_contextvars

from alerting.channels.mqtt_events import MqttEvents
from schemas.errors import Fenced
from streams.commands import ControlDispatcher
from streams.engine import Engine
from streams.judging import Judging
from streams.risk_keeper import RiskKeeper

_JOIN_S = 2.0
_log = structlog.get_logger(__name__)


class JudgedPartition:
    """Port `streams.worker.life.PartitionLife`: the judging in the caller's thread, the others in threads beside it.

    Whoever takes the partition over fences the judging, whose end is the end of all, and the keeper of risk. The others
    need no fence: alarms may be said twice, and rows are held while they are dispatched. What one of them fails with
    ends the judging and is raised by `run`.
    """

    def __init__(
        self,
        partition: int,
        engine: Engine,
        judging: Judging,
        events: MqttEvents,
        control: ControlDispatcher,
        risk: RiskKeeper,
    ) -> None:
        self.partition = partition
        self.engine = engine
        self.judging = judging
        self.events = events
        self.risk = risk
        self._control = control
        self._failure: BaseException | None = None
        self._stop_control = threading.Event()

    def run(self) -> None:
        """See the port. Every line that is logged meanwhile names the partition."""
        with bound_contextvars(partition=self.partition):
            self._run()

    def _run(self) -> None:
        beside = [
            self._start("events", self.events.run),
            self._start("control", lambda: self._control.run(self._stop_control)),
            self._start("risk", self.risk.run),
        ]
        try:
            self.judging.run()
        finally:
            self._stop_beside()
            for thread in beside:
                thread.join(_JOIN_S)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """See the port."""
        self.judging.stop()
        self._stop_beside()

    @property
    def checkpointed(self) -> int:
        return self.judging.checkpointed

    def _stop_beside(self) -> None:
        self.events.stop()
        self.risk.stop()
        self._stop_control.set()

    def _start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(
            target=self._watch, args=(name, run), name=f"tocsin-{name}-{self.partition}", daemon=True
        )
        thread.start()
        return thread

    def _watch(self, name: str, run: Callable[[], None]) -> None:
        with bound_contextvars(partition=self.partition):
            try:
                run()
            except Fenced as error:
                _log.info("taken_over", part=name, error=error.what)
            except BaseException as error:  # noqa: BLE001 - handed on
                _log.error("part_failed", part=name, error=str(error))
                self._failure = error
                self.judging.stop()
