"""The turn over what is due: bundles whose time has come, and messages that are tried again.

All of it is one transaction, first attempts included; what is no longer true when its time has come is not said.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from alerting import due_rows, effects, whereabouts
from alerting.bundle import Gathered, said_of
from alerting.composer import Composer
from alerting.contacts import is_contact
from alerting.database import Connection
from alerting.due_rows import Due
from alerting.effects import Silences
from alerting.routes import Recipient, Routes
from alerting.rows import Sending

MOST = 50
"""Few, so that bundles never hold up what goes at once."""
_WAIT_FOR_WARNING_US = 2_000_000


class FallingDue:
    """Of one partition. channels: ways by which this house reaches people."""

    def __init__(self, partition: int, routes: Routes, composer: Composer, channels: Collection[str]) -> None:
        self._partition = partition
        self._routes = routes
        self._composer = composer
        self._channels = channels

    def take(self, connection: Connection, now_us: int) -> tuple[int, list[Sending]]:
        """Within a transaction: how many of at most `MOST` were due, and what to hand over once it is committed."""
        rows = due_rows.due(connection, self._partition, now_us, MOST)
        people = self._people(connection, rows)
        sendings = []
        for row in rows:
            recipient = people.get(row.recipient) or self._routes.named(row.recipient)
            if recipient is None:
                due_rows.drop_bundle(connection, row, "the recipient is no longer there")
                continue
            go = self._again if row.body else self._bundle
            sending = go(connection, row, recipient, now_us)
            if sending is not None:
                sendings.append(sending)
        return len(rows), sendings

    def _people(self, connection: Connection, rows: Sequence[Due]) -> dict[str, Recipient]:
        """Contacts and accounts of these messages by name, as the registry has them now."""
        names = {row.recipient for row in rows}
        found = whereabouts.accounts(connection, names)
        enterprises = {row.enterprise for row in rows if is_contact(row.recipient)}
        if enterprises:
            around = whereabouts.around(connection, {(one, "") for one in enterprises}, self._channels)
            found |= {c.name: c.recipient for contacts in around.contacts.values() for c in contacts.people}
        return found

    def _again(self, connection: Connection, row: Due, recipient: Recipient, now_us: int) -> Sending:
        return Sending(recipient, due_rows.send_again(connection, row, now_us), now_us)

    def _bundle(self, connection: Connection, row: Due, recipient: Recipient, now_us: int) -> Sending | None:
        gathered = due_rows.gathered(connection, row)
        pairs = {(one.alarm.event.enterprise, one.alarm.event.device) for one in gathered}
        around = whereabouts.around(connection, pairs, self._channels)
        silent = effects.of_events(one.alarm.event for one in gathered)
        silences = effects.ask(connection, self._partition, now_us, silent)
        gathered = [self._unless_hidden(connection, row.recipient, one, silences, now_us) for one in gathered]
        said = said_of(gathered, around.place, silences.count_behind)
        if said.must_wait:
            due_rows.postpone(connection, row, now_us + _WAIT_FOR_WARNING_US)
            return None
        due_rows.drop_lines(connection, row, said.unsaid)
        if not said.lines:
            due_rows.drop_bundle(connection, row, "nothing was left to say")
            return None
        sending = self._composer.sending(recipient, row.id, said.lines, False, row.planned_us, now_us)
        due_rows.send_bundle(connection, sending)
        return sending

    def _unless_hidden(
        self, connection: Connection, recipient: str, one: Gathered, silences: Silences, now_us: int
    ) -> Gathered:
        """The cause of its silence may have come while it waited in the bundle."""
        if one.heard or one.hearing or not silences.cause_of(one.alarm.event, now_us):
            return one
        return replace(one, alarm=effects.hide(connection, one.alarm, recipient))
