"""What the link in a message opens: the alarms that the message spoke of, as they stand, and their acknowledgement.

Who holds the link acts under the contact's name, and for these alarms alone; once that contact has another number the
link is withdrawn. What stands in the log is the person: the name as of then, and which contact it is. Looking changes
nothing, however often robots look at links on their way; acknowledging twice is acknowledging once. Thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerting import links, whereabouts
from alerting.life import Alarm, refusal_of_acknowledgement
from alerting.links import LinkRefused, Why
from alerting.message import line_of
from alerting.ports import Clock
from alerting.rows import alarm_of
from alerting.secret import LINKS, house_secret
from alerting.sql import load_queries
from alerting.whereabouts import Whereabouts
from database.connections import Connection, Connections
from schemas.notifications import Line, Part

_Q = load_queries("alerting")
_PEOPLE = load_queries("alerting", "people.sql")
_ANY_CHANNEL = frozenset({"sms", "voice", "journal"})
"""A contact is named by the registry, whatever this process can send by."""


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm that the message spoke of. line: as it stands now.

    acknowledged_by: who has it, empty while nobody does.  by_contact: which contact that is, as a recipient.
    anew: it was raised again after the message, which speaks of an older life; a newer message has been sent about this
    one.
    """

    line: Line
    open: bool
    acknowledged_by: str
    by_contact: str
    anew: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """contact, recipient: in whose name it is answered.  language, timezone: theirs.  alarms: worst first."""

    contact: str
    recipient: str
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
        self._connections = Connections(dsn, "tocsin answering")

    def close(self) -> None:
        self._connections.close()

    def look(self, token: str) -> Opened:
        """What stands behind the link; changes nothing. Raises LinkRefused."""
        return self._look(self._claims(token))

    def acknowledge(self, token: str) -> Opened:
        """The contact takes notice of the alarms. Raises LinkRefused."""
        claims = self._claims(token)
        opened = self._look(claims)
        for told in opened.alarms:
            # Each for itself: one who holds several alarms, in an order of his own, waits for the desk and it for him.
            with self._connections.transaction(None) as connection:
                _acknowledge(connection, claims.message, told.line.key, opened, self._clock())
        return self._look(claims)

    def _claims(self, token: str) -> links.Claims:
        if not self._secret:
            self._secret = house_secret(self._dsn, LINKS)
        return links.read(self._secret, token, self._clock())

    def _look(self, claims: links.Claims) -> Opened:
        with self._connections.transaction(None) as connection:
            message = connection.execute(_Q["message_of_link"], {"id": claims.message}).fetchone()
            rows = connection.execute(_Q["link_alarms"], {"id": claims.message}).fetchall()
            if message is None or not rows:
                raise LinkRefused(Why.ALTERED)
            recipient, enterprise, language, is_anothers = message
            told = [(step, alarm_of(alarm), contact or "") for step, contact, *alarm in rows]
            pairs = {(enterprise, alarm.event.device) for _, alarm, _ in told}
            around = whereabouts.read(whereabouts.ask(connection, pairs), _ANY_CHANNEL)
        contact = around.of(enterprise).named(recipient)
        if contact is None or is_anothers:
            raise LinkRefused(Why.WITHDRAWN)
        title, timezone = contact.title or contact.name, around.timezones[enterprise]
        return Opened(title, contact.name, language, timezone, _worst_first(told, around), claims.expires_us)


def _acknowledge(connection: Connection, message: str, alarm: str, opened: Opened, now_us: int) -> None:
    """The contact takes notice of an alarm, if there is anything to take notice of."""
    row = connection.execute(_Q["link_alarm_held"], {"id": message, "alarm": alarm}).fetchone()
    if row is None:
        return
    step, stands = row[0], alarm_of(row[1:])
    if stands.acked_step >= step or refusal_of_acknowledgement(stands, step) or not stands.open:
        return
    act = {
        "alarm": alarm,
        "step": stands.event.step,
        "by": opened.contact,
        "contact": opened.recipient,
        "note": "",
        "at_us": now_us,
        "idempotency_key": f"link:{message}:{alarm}",
    }
    connection.execute(_PEOPLE["put_acknowledgement"], act)
    connection.execute(_PEOPLE["acknowledge_alarm"], act)
    connection.execute(_PEOPLE["stamp_acknowledged"], act)


def _worst_first(told: Sequence[tuple[int, Alarm, str]], around: Whereabouts) -> tuple[Told, ...]:
    made = [
        Told(
            line_of(
                alarm,
                Part.WARNING if alarm.event.active else Part.ALL_CLEAR,
                around.place(alarm.event.enterprise, alarm.event.device),
            ),
            alarm.open,
            alarm.acked_by if alarm.acked_step >= step else "",
            by_contact if alarm.acked_step >= step else "",
            bool(refusal_of_acknowledgement(alarm, step)),
        )
        for step, alarm, by_contact in told
    ]
    return tuple(sorted(made, key=lambda one: (not one.line.active, -one.line.grade, one.line.onset_us)))
