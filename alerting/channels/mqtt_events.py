"""Alarms on MQTT: every event on the enterprise's `alarms` topic, and its open alarms, retained, on `alarms/state`.

A consumer of its own, whose position is held while it works: events are published, then the position moves, so a
restart may publish an event again (its key and step say so) and passes none over. What becomes of a published one is
the door's: it may be killed with it. It follows the desk, so the state is never older than the event before it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec
import structlog

from alerting import store
from alerting.database import Connection, Database
from alerting.desk import CONSUMER as DESK
from alerting.ports import Publish
from alerting.views import AlarmView, view
from schemas.errors import Fenced, ServiceAway
from schemas.topics import alarms_state_topic, alarms_topic

CONSUMER = "alarms_mqtt"
_AT_ONCE = 200
_LOOK_S = 1.0
_GATHER_S = 0.1
_QOS = 1
_log = structlog.get_logger("alerting.mqtt_events")


class AlarmState(msgspec.Struct, frozen=True):
    """What stands on `alarms/state`: every open alarm of the enterprise, worst first."""

    enterprise: str
    alarms: list[AlarmView]
    version: int = 1


class MqttEvents:
    """`run` blocks until `stop`. publish: the door's; see `alerting.ports.Publish`."""

    def __init__(self, dsn: str, publish: Publish, *, partition: int = 0) -> None:
        self._database = Database(dsn, "tocsin mqtt events")
        self._publish = publish
        self._partition = partition
        self._condition = threading.Condition()
        self._woken = True
        self._stopping = False
        self._begun = False
        self._acknowledged = 0
        self._trouble = ""

    def wake(self) -> None:
        """The desk has taken events, or a person has acknowledged something."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def trouble(self) -> str:
        """Empty when all is well, else what is wrong, for a person."""
        return self._trouble

    def run(self) -> None:
        """PostgreSQL or a door that is away, and another one at work, are waited for.

        Raises Fenced when its position is gone.
        """
        try:
            while not self._stopping:
                try:
                    busy = self.serve_once()
                    self._trouble = ""
                except ServiceAway as error:
                    if not self._trouble:
                        _log.warning("alarms on MQTT wait", service=error.service)
                    self._trouble = f"{error.service} is away"
                    self._begun, busy = False, False
                if not busy:
                    self._wait()
        except Fenced as error:
            self._trouble = error.what
            raise
        finally:
            self._database.close()

    def serve_once(self) -> bool:
        """Publish what is new; True when there may be more. Raises ServiceAway or Fenced."""
        with self._condition:
            self._woken = False
        if not self._begun:
            self._begin()
        with self._database.transaction() as connection:
            events = store.events_to_hand_on(connection, CONSUMER, DESK, self._partition, _AT_ONCE)
            acknowledged = store.acknowledged_after(connection, self._partition, self._acknowledged)
            for _, enterprise, body in events:
                self._publish(alarms_topic(enterprise), body, _QOS, False)
            self._publish_states(connection, {e for _, e, _ in events} | {e for _, e in acknowledged})
            if events:
                store.move_position(connection, CONSUMER, self._partition, events[-1][0])
        if acknowledged:
            self._acknowledged = acknowledged[-1][0]
        return len(events) == _AT_ONCE

    def _begin(self) -> None:
        """A door may have forgotten what was retained, so every state is said again."""
        with self._database.transaction() as connection:
            store.make_position(connection, CONSUMER, self._partition)
            store.make_position(connection, DESK, self._partition)
            # Held, so that one who is about to end cannot say an older state after ours.
            store.hold_position(connection, CONSUMER, self._partition)
            self._acknowledged = store.last_acknowledged(connection)
            self._publish_states(connection, store.enterprises_with_open_alarms(connection, self._partition))
        self._begun = True

    def _publish_states(self, connection: Connection, enterprises: Iterable[str]) -> None:
        for enterprise in sorted(enterprises):
            state = AlarmState(enterprise, [view(alarm) for alarm in store.open_alarms(connection, enterprise)])
            self._publish(alarms_state_topic(enterprise), msgspec.json.encode(state), _QOS, True)

    def _wait(self) -> None:
        with self._condition:
            if not (self._woken or self._stopping):
                self._condition.wait(_LOOK_S)
            if self._woken:
                # Messages to people go first: what follows within a moment is published in one turn.
                self._condition.wait_for(lambda: self._stopping, _GATHER_S)
