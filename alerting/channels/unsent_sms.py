"""In place of SMS where no carrier is set: the text is kept in the journal, so that nobody is texted by accident.

The ledger says so: the message is accepted, by the journal, and never `delivered`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alerting.channels.journal import Journal
from alerting.ports import Answer, Outcome
from alerting.routes import SMS, Recipient
from schemas.notifications import ChannelFacts, Notification

_FACTS = ChannelFacts(SMS, batch=100, gather_s=0.02, concurrency=1, limit_s=10.0, kept=True, short=True)
KEPT = "kept in the journal: no carrier is set"


class UnsentSms:
    """journal: closed by whoever made it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def facts(self) -> ChannelFacts:
        return _FACTS

    def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
        answers = self._journal.keep_text(messages)
        return [replace(a, detail=KEPT) if a.outcome is Outcome.ACCEPTED else a for a in answers]

    def close(self) -> None:
        pass
