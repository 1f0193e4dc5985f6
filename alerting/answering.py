"""What the link in a message opens: the alarms that the message spoke of, as they stand, and their acknowledgement.

Who holds the link acts under the contact's name, and for these alarms alone. Looking changes nothing, however often
robots look at links on their way; acknowledging twice is acknowledging once. Thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerting import links, whereabouts
from alerting.contacts import Contact
from alerting.database import Connection
from alerting.life import Alarm, acknowledge, refusal_of_acknowledgement
from alerting.links import LinkRefused, Why
from alerting.message import line_of
from alerting.pool import Pool
from alerting.ports import Clock
from alerting.secret import LINKS, house_secret
from alerting.sql import load_queries
from alerting.store import alarm_of
from alerting.whereabouts import Whereabouts
from schemas.notifications import Line, Part

_Q = load_queries("alerting")
_PEOPLE = load_queries("alerting", "people.sql")
_ANY_CHANNEL = frozenset({"sms", "voice", "journal"})
"""A contact is named by the registry, whatever this process can send by."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm that the message spoke of. line: as it stands now.

    acknowledged_by: who has it, empty while nobody does.  anew: it was raised again after the message, which speaks of
    an older life; a newer message has been sent about this one.
    """

    line: Line
    open: bool
    acknowledged_by: str
    anew: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """contact: by whose name it is answered.  language, timezone: theirs.  alarms: worst first."""

    contact: str
    language: str
    timezone: str
    alarms: tuple[Told, ...]
    expires_us: int

    @property
    def may_acknowledge(self) -> bool:
        return any(told.line.active and not told.acknowledged_by and not told.anew for told in self.alarms)


class Answering:
    """Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._secret = b""
        self._pool = Pool(dsn, "tocsin answering")

    def close(self) -> None:
        self._pool.close()

    def look(self, token: str) -> Opened:
        """What stands behind the link; changes nothing. Raises LinkRefused."""
        return self._open(token, acknowledges=False)

    def acknowledge(self, token: str) -> Opened:
        """The contact takes notice of the alarms. Raises LinkRefused."""
        return self._open(token, acknowledges=True)

    def _open(self, token: str, *, acknowledges: bool) -> Opened:
        if not self._secret:
            self._secret = house_secret(self._dsn, LINKS)
        now_us = self._clock()
        claims = links.read(self._secret, token, now_us)
        with self._pool.transaction() as connection:
            return _opened(connection, claims, now_us, acknowledges)


def _opened(connection: Connection, claims: links.Claims, now_us: int, acknowledges: bool) -> Opened:
    message = connection.execute(_Q["message_of_link"], {"id": claims.message}).fetchone()
    name = "link_alarms_held" if acknowledges else "link_alarms"
    rows = connection.execute(_Q[name], {"id": claims.message}).fetchall()
    if message is None or not rows:
        raise LinkRefused(Why.ALTERED)
    recipient, enterprise, language = message
    told = [(step, alarm_of(alarm)) for step, *alarm in rows]
    pairs = {(enterprise, alarm.event.device) for _, alarm in told}
    around = whereabouts.read(whereabouts.ask(connection, pairs), _ANY_CHANNEL)
    contact = around.of(enterprise).named(recipient)
    if contact is None:
        raise LinkRefused(Why.WITHDRAWN)
    if acknowledges:
        told = [(step, _acknowledged(connection, claims.message, step, alarm, contact, now_us)) for step, alarm in told]
    timezone = around.timezones[enterprise]
    return Opened(contact.title, language, timezone, _worst_first(told, around), claims.expires_us)


def _acknowledged(
    connection: Connection, message: str, step: int, alarm: Alarm, contact: Contact, now_us: int
) -> Alarm:
    """The alarm after the contact took notice of it, if there is anything to take notice of."""
    if alarm.acked_step >= step or refusal_of_acknowledgement(alarm, step) or not alarm.open:
        return alarm
    row = {
        "alarm": alarm.event.key,
        "step": alarm.event.step,
        "by": contact.title or contact.name,
        "note": contact.name,
        "at_us": now_us,
        "idempotency_key": f"link:{message}:{alarm.event.key}",
    }
    connection.execute(_PEOPLE["put_acknowledgement"], row)
    connection.execute(_PEOPLE["acknowledge_alarm"], row)
    connection.execute(_PEOPLE["stamp_acknowledged"], row)
    return acknowledge(alarm, alarm.event.step, str(row["by"]))


def _worst_first(told: Sequence[tuple[int, Alarm]], around: Whereabouts) -> tuple[Told, ...]:
    made = [
        Told(
            line_of(
                alarm,
                Part.WARNING if alarm.event.active else Part.ALL_CLEAR,
                around.place(alarm.event.enterprise, alarm.event.device),
            ),
            alarm.open,
            alarm.acked_by if alarm.acked_step >= step else "",
            bool(refusal_of_acknowledgement(alarm, step)),
        )
        for step, alarm in told
    ]
    return tuple(sorted(made, key=lambda one: (not one.line.active, -one.line.grade, one.line.onset_us)))
