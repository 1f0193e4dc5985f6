"""Where no carrier is set, a text is kept where it can be read, and nobody is texted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from alerting.channels.journal import Journal, JournalFile
from alerting.channels.unsent_sms import KEPT, UnsentSms
from alerting.ports import Answer, Outcome
from alerting.routes import Recipient
from alerting.texts import load_texts
from schemas.alarms import Grade
from schemas.notifications import Notification, Part
from tests.alerting_world import HandClock

OWNER = Recipient("contact:shop-1:1", "sms", phone="+8610000000001")


def test_a_text_that_nobody_carries_stands_in_the_journal(dsn: str) -> None:
    """Its words and for whom they were; never the number."""
    journal = Journal(dsn, load_texts(), HandClock())
    text = Notification(
        f"{1:032x}", OWNER.name, "sms", "shop-1", Grade.RED, Part.WARNING, True, "zh", "火灾：厨房", (), 0, 0
    )
    assert UnsentSms(journal).send(OWNER, [text]) == [Answer(Outcome.ACCEPTED, KEPT)]
    journal.close()
    with psycopg.connect(dsn) as connection:
        (kept,) = connection.execute("SELECT zh FROM journal").fetchall()
    assert kept == ("contact:shop-1:1: 火灾：厨房",)


def test_texts_and_journal_are_written_side_by_side(dsn: str, tmp_path: Path) -> None:
    """Both lanes of the outbox write into one journal; two threads in one connection broke its transactions."""
    journal = Journal(dsn, load_texts(), HandClock(), file=JournalFile(tmp_path / "journal.jsonl"))
    unsent = UnsentSms(journal)
    texts = [
        Notification(f"{n:032x}", OWNER.name, "sms", "shop-1", Grade.RED, Part.WARNING, True, "zh", "x", (), 0, 0)
        for n in range(120)
    ]
    with ThreadPoolExecutor(4) as lanes:
        answers = [*lanes.map(lambda text: unsent.send(OWNER, [text])[0].outcome, texts)]
    journal.close()
    assert set(answers) == {Outcome.ACCEPTED}
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (120,)
