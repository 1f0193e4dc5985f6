"""What a turn of the desk decides: who is told of a step of an alarm, at once or in a bundle, and what is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from alerting import store
from alerting.composer import Composer
from alerting.contacts import Contacts
from alerting.database import Connection
from alerting.effects import Silences
from alerting.life import Alarm, Suppression
from alerting.message import line_of
from alerting.plan import Plan, Telling, message_id, plan
from alerting.routes import Recipient, Routes
from alerting.rows import Sending
from alerting.store import AtOnce
from alerting.whereabouts import Whereabouts
from schemas.alarms import AlarmEvent, Grade
from schemas.notifications import Line

SuppressionOf = Callable[[str, str], Suppression]
"""enterprise, device → whether its alarms are announced."""


@dataclass(slots=True)
class Turn:
    """What one turn over events decides."""

    now_us: int
    around: Whereabouts
    alarms: dict[str, Alarm] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    messages: list[AtOnce] = field(default_factory=list)
    bundled: list[tuple[Line, Telling]] = field(default_factory=list)
    people: dict[str, Contacts] = field(default_factory=dict)
    silences: Silences = field(default_factory=Silences)

    def contacts(self, enterprise: str) -> Contacts:
        """With the calls of this turn."""
        return self.people.get(enterprise) or self.around.of(enterprise)

    def called(self, enterprise: str, names: Sequence[str], grade: Grade) -> None:
        before = self.contacts(enterprise)
        calls = {(name, grade): self.now_us for name in names}
        self.people[enterprise] = replace(before, called_us={**before.called_us, **calls})

    def take_out_of_bundle(self, key: str, recipient: Recipient) -> None:
        """What goes at once leaves the bundle, as it leaves one that an earlier turn began (see `record_turn`)."""
        self.bundled = [
            (line, telling)
            for line, telling in self.bundled
            if (line.key, telling.recipient.name) != (key, recipient.name)
        ]


class Deciding:
    """Of one partition."""

    def __init__(self, partition: int, routes: Routes, composer: Composer, suppression_of: SuppressionOf) -> None:
        self._partition = partition
        self._routes = routes
        self._composer = composer
        self._suppression_of = suppression_of

    def decide(self, turn: Turn, event: AlarmEvent, stored: Alarm | None) -> None:
        """stored: the event's alarm before the turn."""
        before = turn.alarms.get(event.key, stored)
        suppression = self._suppression_of(event.enterprise, event.device)
        contacts = turn.contacts(event.enterprise)
        behind = turn.silences.cause_of(event, turn.now_us) if suppression is Suppression.NONE else ""
        if behind:
            suppression = Suppression.BY_DESIGN
        planned = plan(before, event, self._routes, turn.now_us, suppression, contacts, behind)
        if planned.alarm is before:
            return
        turn.silences.put(planned.alarm)
        again = event.key in turn.alarms
        turn.alarms[event.key] = planned.alarm
        self.tell(turn, planned, again)

    def tell(self, turn: Turn, planned: Plan, again: bool) -> None:
        """again: the turn has decided about this alarm before."""
        turn.plans.append(planned)
        event = planned.alarm.event
        if planned.ladder is not None:
            turn.called(event.enterprise, planned.ladder.called, event.grade)
        place = turn.around.place(event.enterprise, event.device)
        behind = turn.silences.count_behind(event)
        for telling in planned.tellings:
            line = line_of(planned.alarm, telling.part, place, behind)
            if telling.at_once:
                sending = self._message(telling, line, turn.now_us)
                deadline_us = turn.now_us + self._composer.limit_us(telling.recipient)
                turn.messages.append(AtOnce(sending, planned.reason, deadline_us))
                if again:
                    turn.take_out_of_bundle(line.key, telling.recipient)
            else:
                turn.bundled.append((line, telling))

    def record(self, connection: Connection, turn: Turn) -> None:
        """All of it, within the caller's transaction."""
        store.record_turn(
            connection, self._partition, turn.now_us, turn.alarms.values(), turn.plans, turn.messages
        )  # fmt: skip
        for line, telling in turn.bundled:
            id_ = message_id(line.key, line.step, telling.recipient.name)
            deadline_us = telling.due_us + self._composer.limit_us(telling.recipient)
            store.put_in_bundle(
                connection, id_, self._partition, line, telling.recipient, turn.now_us, telling.due_us, deadline_us
            )

    def _message(self, telling: Telling, line: Line, now_us: int) -> Sending:
        id_ = message_id(line.key, line.step, telling.recipient.name)
        return self._composer.sending(telling.recipient, id_, (line,), True, now_us, now_us)
