"""What a message would say before anybody is told, and a test message to oneself or to a contact. Thread-safe.

A test message is a row of the outbox like any other: it takes the way that a warning takes, and the ledger shows what
came of it. It says that it is a test, and bears no link. Texts cost money and annoy people, so they are bounded, for
all consoles together. Who asked for one stands in the log of acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from uuid import uuid4

import msgspec

from alerting.composer import Composer, Reply
from alerting.contacts import contact_name
from alerting.message import Texts
from alerting.people import NotPossible
from alerting.ports import Clock
from alerting.routes import JOURNAL, LANGUAGES, SMS, WEBHOOK, Recipient
from alerting.segments import segments
from alerting.sql import load_queries
from alerting.whereabouts import ACCOUNT
from database.connections import Connection, Connections
from schemas.alarms import Grade, Kind, State
from schemas.errors import ConfigError, TocsinError
from schemas.identity import partition_of
from schemas.notifications import ChannelFacts, Line, Notification, Part, Place, encode_notification
from schemas.viewers import Act, Viewer

_Q = load_queries("alerting")
CHANNELS = (SMS, JOURNAL, WEBHOOK)
_FACTS = {name: ChannelFacts(name, short=name == SMS) for name in CHANNELS}
_T = load_queries("alerting", "trials.sql")
_MINUTE_US = 60 * 1_000_000
_HOUR_US, _DAY_US = 60 * _MINUTE_US, 24 * 60 * _MINUTE_US
MOST_OF_ACCOUNT, MOST_TO_ADDRESS = 5, 20
"""Test messages that an account may ask for within an hour, and that may go to one number within a day."""
_LIMIT_US = 10 * 1_000_000
_EXAMPLES: Mapping[Kind, tuple[str, str, float | None, float | None, str]] = {
    Kind.FIRE: ("smoke", "smoke", 6.2, 3.0, "%/m"),
    Kind.GAS: ("gas", "gas", 52.0, 50.0, "%EL"),
    Kind.ELECTRICAL: ("residual_current", "residual", 612.0, 500.0, "mA"),
    Kind.FAULT: ("fault", "fault", 1.0, None, "flag"),
    Kind.SILENCE: ("", "silence", None, None, ""),
    Kind.ANOMALY: ("temperature", "heat", 31.0, None, "Cel"),
    Kind.OPERATION: ("presence", "presence", 1.0, None, "flag"),
}
"""kind → measure, family, value, limit and unit of what a preview speaks of."""


class UnknownPlace(TocsinError):
    """An enterprise, or a contact of it, that is not there for this viewer."""


class TooManyTests(NotPossible):
    """wait_s: in how many seconds the next may be asked for."""

    def __init__(self, what: str, wait_us: int) -> None:
        self.wait_s = max(1, -(-wait_us // 1_000_000))
        super().__init__(what, mend=f"The next may go in {_said(self.wait_s)}.")


class Preview(msgspec.Struct, frozen=True):
    text: str
    channel: str
    language: str
    alphabet: str
    """GSM-7 or UCS-2: what a carrier would count by."""
    units: int
    segments: int


class TestMessage(msgspec.Struct, frozen=True):
    """A test message that is on its way."""

    __test__ = False
    id: str
    recipient: str
    text: str


class Trials:
    """Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, dsn: str, texts: Mapping[str, Texts], clock: Clock, reply: Reply | None = None) -> None:
        """reply: as the desk has it, without its secret."""
        self._connections = Connections(dsn, "tocsin trials")
        self._texts = texts
        self._clock = clock
        self._composer = Composer(texts, _FACTS, reply)

    def close(self) -> None:
        self._connections.close()

    def preview(
        self, viewer: Viewer, enterprise: str, kind: Kind, grade: Grade, language: str = "zh", channel: str = SMS
    ) -> Preview:
        """What a first contact would read of an alarm of that kind in this enterprise.

        Raises UnknownPlace, or ConfigError for a language or channel that is not there.
        """
        viewer.must(Act.SEE_ENTERPRISES)
        _check("language", language, LANGUAGES)
        _check("channel", channel, CHANNELS)
        _check("grade", grade.word, ("blue", "yellow", "orange", "red"))
        with self._connections.transaction(viewer) as connection:
            row = {"enterprise": enterprise} | viewer.parameters()
            found = connection.execute(_Q["example_place"], row).fetchone()
        if found is None:
            raise UnknownPlace(f"there is no enterprise {enterprise}.")
        timezone, device, *names = found
        now_us = self._clock()
        line = _example(enterprise, device or "device-1", Place(*(name or "" for name in names)), kind, grade, now_us)
        recipient = Recipient(contact_name(enterprise, 1), channel, language=language, timezone=timezone)
        text = self._composer.text(recipient, (line,), now_us)
        cost = segments(text)
        return Preview(text, channel, language, cost.alphabet, cost.units, cost.count)

    def test_message(self, viewer: Viewer) -> TestMessage:
        """An SMS to the viewer's own phone. Raises NotPossible when the account has none, TooManyTests."""
        with self._connections.transaction(None) as connection:
            row = connection.execute(_Q["account_phone"], {"account": viewer.account}).fetchone()
            if row is None or not row[0]:
                raise NotPossible("this account has no phone number.", mend="Give it one, then try again.")
            self._count(connection, viewer, row[0])
            return self._queue(connection, viewer, f"{ACCOUNT}{viewer.account}", "", 0, row[1], viewer.name)

    def test_contact(self, viewer: Viewer, enterprise: str, order: int) -> TestMessage:
        """An SMS to a contact, to see that it can be reached. Raises UnknownPlace, NotPossible, TooManyTests."""
        viewer.must(Act.CHANGE_CONTACTS)
        where = {"enterprise": enterprise, "order": order}
        with self._connections.transaction(viewer) as connection:
            row = connection.execute(_Q["seen_contact"], where | viewer.parameters()).fetchone()
        if row is None:
            raise UnknownPlace(f"{enterprise} has no contact {order}.")
        id_, name, language, has_phone = row
        if not has_phone:
            raise NotPossible("this contact has no phone number.", mend="Give it one, then try again.")
        with self._connections.transaction(None) as connection:
            partitions = connection.execute(_Q["partitions"]).fetchone()
            partition = partition_of(enterprise, partitions[0]) if partitions else 0
            number = connection.execute(_T["number_of_contact"], where).fetchone()
            self._count(connection, viewer, number[0] if number else "")
            return self._queue(connection, viewer, contact_name(enterprise, id_), enterprise, partition, language, name)

    def _queue(
        self,
        connection: Connection,
        viewer: Viewer,
        recipient: str,
        enterprise: str,
        partition: int,
        language: str,
        name: str,
    ) -> TestMessage:
        now_us = self._clock()
        text = self._texts[language].sms.test.format(name=name)
        message = Notification(
            uuid4().hex, recipient, SMS, enterprise, Grade.NONE, Part.WARNING, False, language, text, (), now_us, now_us
        )
        row = {
            "id": message.id,
            "partition": partition,
            "enterprise": enterprise,
            "recipient": recipient,
            "now_us": now_us,
            "since_us": now_us - _MINUTE_US,
            "deadline_us": now_us + _LIMIT_US,
            "body": encode_notification(message).decode(),
        }
        if connection.execute(_Q["queue_test"], row).fetchone() is None:
            raise TooManyTests("a test message went there within the last minute.", _MINUTE_US)
        connection.execute(_Q["note_test"], {"who": viewer.name, "recipient": recipient, "enterprise": enterprise})
        return TestMessage(message.id, recipient, text)

    def _count(self, connection: Connection, viewer: Viewer, number: str) -> None:
        """One more, unless there were too many of late; held until the transaction ends. Raises TooManyTests."""
        now_us = self._clock()
        row = {
            "who": viewer.name,
            "address": sha256(number.encode()).digest(),
            "now_us": now_us,
            "minute_us": now_us - _MINUTE_US,
            "hour_us": now_us - _HOUR_US,
            "day_us": now_us - _DAY_US,
            "most_of_account": MOST_OF_ACCOUNT,
            "most_to_address": MOST_TO_ADDRESS,
        }
        connection.execute(_T["hold_tests"])
        connection.execute(_T["forget_tests"], row)
        found = connection.execute(_T["tests_of_late"], row).fetchone()
        assert found is not None
        for oldest_us, lasts_us, what in zip(found, (_MINUTE_US, _HOUR_US, _DAY_US), _TOO_MANY, strict=True):
            if oldest_us is not None:
                raise TooManyTests(what, oldest_us + lasts_us - now_us)
        connection.execute(_T["count_test"], row)


_TOO_MANY = (
    "a test message went there within the last minute.",
    f"this account has asked for {MOST_OF_ACCOUNT} test messages within an hour.",
    f"{MOST_TO_ADDRESS} test messages went to this number within a day.",
)


def _said(wait_s: int) -> str:
    """For a person: seconds, or minutes where it is long."""
    return f"{wait_s} s" if wait_s < 120 else f"{-(-wait_s // 60)} min"


def _check(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{value!r} is not known.", field=field, mend=f"Known are: {', '.join(known)}.")


def _example(enterprise: str, device: str, place: Place, kind: Kind, grade: Grade, now_us: int) -> Line:
    measure, family, value, limit, unit = _EXAMPLES[kind]
    subject = f"{enterprise}/{device}/{measure}" if measure else f"{enterprise}/{device}"
    return Line(
        "0" * 32, 1, Part.WARNING, State.RAISED, enterprise, device, subject, measure, family, kind, grade, Grade.NONE,
        True, False, False, now_us, now_us, now_us, "example", value, limit, unit, place=place,
    )  # fmt: skip
