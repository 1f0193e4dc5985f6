"""The turn over ladders that are due: who has not answered, who is called next, and in how few messages.

Ladders of one enterprise that would call the same contact do so in one message. All of it is one transaction, held
rows and messages with their first attempts included: a kill neither loses a rung nor doubles it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import structlog

from alerting import ladder_rows, whereabouts
from alerting.composer import Composer
from alerting.contacts import Contact
from alerting.database import Connection
from alerting.ladder import Ladder, Move, Step, next_step
from alerting.ladder_rows import Call, Rung, Unanswered
from alerting.ledger import JournalLine, put_journal
from alerting.life import Alarm
from alerting.message import line_of
from alerting.metrics import AlertingMetrics
from alerting.plan import rung_id
from alerting.rows import Sending
from alerting.whereabouts import Whereabouts
from schemas.alarms import Grade
from schemas.notifications import Part

TOGETHER_US = 30 * 1_000_000
"""A ladder of the same enterprise climbs so much early, to share a message."""
_A_TURN = 50
_log = structlog.get_logger("alerting.ladder")


@dataclass(slots=True)
class _Turn:
    now_us: int
    went_on: list[Ladder] = field(default_factory=list)
    ended: list[Ladder] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    late: list[Unanswered] = field(default_factory=list)
    journal: list[JournalLine] = field(default_factory=list)
    calls: dict[str, list[tuple[Ladder, Alarm, Contact, str]]] = field(default_factory=lambda: defaultdict(list))
    """By the name of the contact."""


class Climbing:
    """Of one partition. channels: ways by which this house reaches people."""

    def __init__(self, partition: int, composer: Composer, metrics: AlertingMetrics, channels: Collection[str]) -> None:
        self._partition = partition
        self._composer = composer
        self._metrics = metrics
        self._channels = channels

    def climb(self, connection: Connection, now_us: int) -> list[Sending]:
        """Within a transaction: the messages to hand over once it is committed."""
        due = ladder_rows.due_ladders(connection, self._partition, now_us, now_us + TOGETHER_US, _A_TURN)
        if not due:
            return []
        pairs = {(ladder.enterprise, alarm.event.device) for ladder, alarm in due}
        around = whereabouts.around(connection, pairs, self._channels)
        turn = _Turn(now_us)
        for ladder, alarm in due:
            self._decide(turn, ladder, alarm, around)
        calls = [self._call(turn, called, around) for called in turn.calls.values()]
        unanswered = ladder_rows.record_climbs(
            connection, self._partition, now_us, turn.went_on, turn.ended, turn.rungs, calls, turn.late
        )  # fmt: skip
        put_journal(connection, turn.journal)
        self._metrics.unanswered.inc(unanswered)
        self._metrics.planned.labels("rung").inc(len(calls))
        return [call.sending for call in calls]

    def _decide(self, turn: _Turn, ladder: Ladder, alarm: Alarm, around: Whereabouts) -> None:
        now_us, early = turn.now_us, ladder.due_us > turn.now_us
        # One that climbs early is judged as of its own time.
        step = next_step(alarm, around.of(ladder.enterprise), ladder, max(now_us, ladder.due_us))
        if early and step.move is not Move.CALL:
            return
        if step.late and ladder.called:
            why = "cannot be reached" if ladder.unreached else "not acknowledged in time"
            turn.late.append(Unanswered(ladder.alarm, ladder.called[-1], why))
        if step.move is Move.WAIT:
            turn.went_on.append(replace(ladder, due_us=step.due_us))
        elif step.move is Move.STOP:
            turn.ended.append(ladder)
            if step.ended:
                self._end(turn, ladder, alarm, step)
        else:
            assert step.contact is not None
            turn.calls[step.contact.name].append((ladder, alarm, step.contact, step.reason))
            turn.rungs.append(Rung(ladder, (step.contact.name,), step.reason))
            turn.went_on.append(ladder.after(step.contact.name, alarm.event.grade, now_us))

    def _end(self, turn: _Turn, ladder: Ladder, alarm: Alarm, step: Step) -> None:
        """Nobody is left: that is for the duty desk to see."""
        turn.rungs.append(Rung(ladder, (), step.reason))
        turn.journal.append(_journal_line(ladder, alarm, turn.now_us))
        self._metrics.exhausted.inc()
        _log.error("ladder ended unanswered", alarm=ladder.alarm, enterprise=ladder.enterprise, reason=step.reason)

    def _call(self, turn: _Turn, called: list[tuple[Ladder, Alarm, Contact, str]], around: Whereabouts) -> Call:
        called = sorted(called, key=lambda one: (-one[1].event.grade, one[1].raised_us, one[0].alarm))
        ladder, _, contact, reason = called[0]
        lines = tuple(
            line_of(alarm, Part.WARNING, around.place(ladder.enterprise, alarm.event.device))
            for _, alarm, _, _ in called
        )
        rung = len(ladder.called)
        id_ = rung_id(ladder.alarm, ladder.step, contact.name, rung)
        sending = self._composer.sending(contact.recipient, id_, lines, True, turn.now_us, turn.now_us, rung=rung)
        return Call(sending, reason, turn.now_us + self._composer.limit_us(contact.recipient))


def _journal_line(ladder: Ladder, alarm: Alarm, now_us: int) -> JournalLine:
    where = f"{ladder.enterprise} / {alarm.event.device}"
    calls = len(ladder.called)
    return JournalLine(
        f"unanswered.{ladder.alarm}.{ladder.step}",
        now_us,
        ladder.enterprise,
        Grade.NONE,
        f"Nobody has acknowledged the alarm at {where} after {calls} calls, and nobody is left to call.",
        f"{where} 的报警已呼叫 {calls} 次，无人确认，已无其他联系人。",
    )
