"""Silence that is the effect of another silence: hidden behind its cause, announced if it outlasts it.

A dead gateway is one condition, not one a device behind it, and a device whose connection is lost is silent too. The
engine finds them all; the desk tells people of the cause, with how many devices hang behind it, and suppresses the
effects by design. An effect that is worse than its cause is never hidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from alerting.database import Connection
from alerting.life import Alarm, Suppression
from alerting.rows import alarm_of
from schemas.alarms import AlarmEvent, Kind

GRACE_S = 300.0
"""So long after its cause, or three of its periods, an effect has to be heard again."""
GRACE_PERIODS = 3.0
LONGEST_GRACE_S = 3 * 3600.0
ONLINE = "online"
_US = 1_000_000
_TOLD = frozenset({Suppression.NONE, Suppression.BY_DESIGN})
"""What nobody is told of hides nothing."""

_DEVICES = """
SELECT enterprise, device, facts->>'gateway', (facts->>'period_s')::float8 FROM devices
WHERE enterprise = ANY(%(enterprises)s) AND facts->>'gateway' IS NOT NULL
"""
_CAUSES = """
SELECT peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body FROM alarms
WHERE enterprise = ANY(%(enterprises)s) AND partition = %(partition)s AND kind = 'silence'
  AND (active OR (body->>'event_us')::bigint > %(since_us)s)
"""
_HIDDEN = """
SELECT peak, raised_step, raised_us, acked_step, acked_by, suppression, told, body FROM alarms
WHERE open AND partition = %(partition)s AND suppression = 'suppressed_by_design'
"""
_HIDE = """
UPDATE alarms SET suppression = 'suppressed_by_design', told = array_remove(told, %(recipient)s) WHERE key = %(key)s
"""


@dataclass(frozen=True, slots=True)
class Behind:
    """Through what a device speaks, and how often; period 0 where not known."""

    gateway: str
    period_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Silences:
    """What of some enterprises is silent, or was a short time ago.

    behind: by (enterprise, device).  alarms: by enterprise and key.
    """

    behind: Mapping[tuple[str, str], Behind] = field(default_factory=dict)
    alarms: dict[str, dict[str, Alarm]] = field(default_factory=dict)

    def put(self, alarm: Alarm) -> None:
        """It stands so now."""
        if alarm.event.kind is Kind.SILENCE:
            self.alarms.setdefault(alarm.event.enterprise, {})[alarm.event.key] = alarm

    def cause_of(self, event: AlarmEvent, now_us: int) -> str:
        """The subject behind whose silence the event's is hidden; empty when it is not."""
        if event.kind is not Kind.SILENCE or not event.active:
            return ""
        place = self.behind.get((event.enterprise, event.device))
        causes = self.alarms.get(event.enterprise, {}).values()
        found = [cause for cause in causes if hides(cause, event, place, now_us)]
        return max(found, key=lambda cause: (cause.event.grade, cause.event.key)).event.subject if found else ""

    def count_behind(self, event: AlarmEvent) -> int:
        """How many devices speak through the one that is silent."""
        if event.kind is not Kind.SILENCE:
            return 0
        behind = self.behind.items()
        return sum(1 for (enterprise, _), b in behind if (enterprise, b.gateway) == (event.enterprise, event.device))


def hides(cause: Alarm, event: AlarmEvent, behind: Behind | None, now_us: int) -> bool:
    """Whether `cause` is what makes the device of `event` silent, and is as bad at least."""
    by = cause.event
    if by.kind is not Kind.SILENCE or by.enterprise != event.enterprise or by.key == event.key or by.late:
        return False
    itself = by.device == event.device and by.family == ONLINE != event.family
    through = behind is not None and by.device == behind.gateway
    if not (itself or through) or by.grade < event.grade or cause.suppression not in _TOLD:
        return False
    return by.active or now_us < by.event_us + _grace_us(behind)


def _grace_us(behind: Behind | None) -> int:
    periods_s = GRACE_PERIODS * behind.period_s if behind else 0.0
    return round(min(max(GRACE_S, periods_s), LONGEST_GRACE_S) * _US)


def ask(connection: Connection, partition: int, now_us: int, enterprises: Collection[str]) -> Silences:
    """What is silent in these enterprises; nothing is asked for none."""
    if not enterprises:
        return Silences()
    row = {
        "enterprises": list(enterprises),
        "partition": partition,
        "since_us": now_us - round(LONGEST_GRACE_S * _US),
    }
    behind = {(e, d): Behind(gateway, period or 0.0) for e, d, gateway, period in connection.execute(_DEVICES, row)}
    silences = Silences(behind)
    for found in connection.execute(_CAUSES, row):
        silences.put(alarm_of(found))
    return silences


def of_events(events: Iterable[AlarmEvent]) -> set[str]:
    """Enterprises of which something is silent."""
    return {event.enterprise for event in events if event.kind is Kind.SILENCE}


def no_longer_hidden(connection: Connection, partition: int, now_us: int, most: int) -> list[Alarm]:
    """Alarms that were hidden and have no cause any more, worst first."""
    hidden = [alarm_of(found) for found in connection.execute(_HIDDEN, {"partition": partition})]
    silences = ask(connection, partition, now_us, of_events(alarm.event for alarm in hidden))
    back = [alarm for alarm in hidden if not silences.cause_of(alarm.event, now_us)]
    return sorted(back, key=lambda alarm: (-alarm.event.grade, alarm.event.key))[:most]


def hide(connection: Connection, alarm: Alarm, recipient: str) -> Alarm:
    """Its cause came while it waited in a recipient's bundle."""
    connection.execute(_HIDE, {"key": alarm.event.key, "recipient": recipient})
    return replace(alarm, suppression=Suppression.BY_DESIGN, told=alarm.told - {recipient})
