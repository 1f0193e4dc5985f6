"""Alarms on MQTT: every event on the enterprise's `alarms` topic, and its open alarms, retained, on `alarms/state`.

A consumer of its own, behind the desk, so the state is never older than the event before it. Events are published, then
the position moves, so a restart may publish an event again (its key and step say so) and passes none over. What becomes
of a published one is the door's: it may be killed with it.

Nothing is held in PostgreSQL while it publishes, so one that hangs stands in nobody's way. Two may then be at work for
a moment, and an older state could be said last; so whoever has said a state looks afterwards whether it still stands
so, and says it again if not. Only one that dies between the two leaves an older state, until the enterprise's next
event or the next start.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog

from alerting import store
from alerting.database import Connection, Database
from alerting.desk import CONSUMER as DESK
from alerting.ports import Publish
from alerting.rows import alarm_of
from alerting.views import AlarmView, view
from schemas.errors import Fenced, ServiceAway
from schemas.topics import alarms_state_topic, alarms_topic

CONSUMER = "alarms_mqtt"
_AT_ONCE = 200
_LOOK_S = 1.0
_GATHER_S = 0.1
_QOS = 1
_STATES_AT_ONCE = 100
_ROUNDS = 3
_LOOK_BACK = 1000
"""Acknowledgements, by number, among which one may still be committed: each takes some milliseconds."""
Rows = list[tuple[Any, ...]]
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
        self._known: frozenset[int] = frozenset()
        """Numbers of acknowledgements that were seen, as far as is looked back."""
        self._unsure: set[str] = set()
        """Enterprises whose state was said, or begun to be, and may not be the newest."""
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
            position = store.position_of(connection, CONSUMER, self._partition)
            events = store.events_to_hand_on(connection, position, DESK, self._partition, _AT_ONCE)
            self._unsure |= self._acknowledged_since(connection)
        for _, enterprise, body in events:
            self._unsure.add(enterprise)
            self._publish(alarms_topic(enterprise), body, _QOS, False)
        self._say_states()
        if events:
            self._move(position, events[-1][0])
        return len(events) == _AT_ONCE

    def _begin(self) -> None:
        """A door may have forgotten what was retained, so every state is said again."""
        with self._database.transaction() as connection:
            store.make_position(connection, CONSUMER, self._partition)
            store.make_position(connection, DESK, self._partition)
            # Before the states are read, which then have what is known.
            self._acknowledged_since(connection)
            self._unsure.update(store.enterprises_with_open_alarms(connection, self._partition))
        self._begun = True

    def _acknowledged_since(self, connection: Connection) -> set[str]:
        """Enterprises with acknowledgements that were not seen before."""
        last = store.last_acknowledged(connection)
        after = self._acknowledged - _LOOK_BACK if self._begun else last - _LOOK_BACK
        new = store.acknowledged_after(connection, self._partition, after, self._known)
        seen = self._known | {number for number, _ in new}
        self._acknowledged = last
        self._known = frozenset(number for number in seen if number > last - _LOOK_BACK)
        return {enterprise for _, enterprise in new}

    def _say_states(self) -> None:
        """Say those of `_unsure` as they stand, and again if they were others by the time they were said.

        In a storm that could go on while events wait; so what is unsure after some rounds is left to the next turn.
        """
        for _ in range(_ROUNDS):
            unsure = sorted(self._unsure)
            for begin in range(0, len(unsure), _STATES_AT_ONCE):
                said = self._open_alarms(unsure[begin : begin + _STATES_AT_ONCE])
                for enterprise, rows in said.items():
                    self._publish(alarms_state_topic(enterprise), _state(enterprise, rows), _QOS, True)
                now = self._open_alarms(said)
                self._unsure.difference_update(e for e in said if now[e] == said[e])
        if self._unsure:
            self.wake()

    def _open_alarms(self, enterprises: Iterable[str]) -> dict[str, Rows]:
        with self._database.statement() as connection:
            return store.open_alarms(connection, enterprises)

    def _move(self, old: int, new: int) -> None:
        with self._database.transaction() as connection:
            moved = store.move_position_from(connection, CONSUMER, self._partition, old, new)
        if not moved:
            _log.info("another publishes alarms on MQTT", partition=self._partition)

    def _wait(self) -> None:
        with self._condition:
            if not (self._woken or self._stopping):
                self._condition.wait(_LOOK_S)
            if self._woken:
                # Messages to people go first: what follows within a moment is published in one turn.
                self._condition.wait_for(lambda: self._stopping, _GATHER_S)


def _state(enterprise: str, rows: Rows) -> bytes:
    return msgspec.json.encode(AlarmState(enterprise, [view(alarm_of(row)) for row in rows]))
