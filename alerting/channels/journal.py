"""The default channel: every message in a table, a file of JSON lines and a line of the terminal, in both languages.

It needs no other system, so it is there when nothing else is set up. The table takes a message once; file and
terminal may show a repeated send twice.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import structlog

from alerting.database import Database
from alerting.ledger import JournalLine, put_journal
from alerting.message import Texts, compose
from alerting.ports import Answer, Clock, Outcome
from alerting.routes import JOURNAL, Recipient
from schemas.alarms import Grade
from schemas.errors import ServiceAway
from schemas.notifications import ChannelFacts, Notification, Part

_FACTS = ChannelFacts(JOURNAL, batch=100, gather_s=0.02, concurrency=1, limit_s=10.0, delivers=True)
_COLOURS = {Grade.BLUE: "34", Grade.YELLOW: "33", Grade.ORANGE: "38;5;208", Grade.RED: "1;37;41"}
_OVER = "32"
_log = structlog.get_logger("alerting.journal")


class Journal:
    """file: None for none.  terminal: takes one line (without its end), None for none; `colour` says whether it shows
    colours.
    """

    def __init__(
        self,
        dsn: str,
        texts: Mapping[str, Texts],
        clock: Clock,
        *,
        file: JournalFile | None = None,
        terminal: Callable[[str], None] | None = None,
        colour: bool = False,
    ) -> None:
        self._database = Database(dsn, "tocsin journal")
        self._writing = threading.Lock()
        self._texts = texts
        self._clock = clock
        self._file = file
        self._terminal = terminal
        self._colour = colour

    @property
    def facts(self) -> ChannelFacts:
        return _FACTS

    def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
        zone = ZoneInfo(recipient.timezone)
        now_us = self._clock()
        return self._keep(messages, [self._line(message, zone, now_us) for message in messages])

    def keep_text(self, messages: Sequence[Notification]) -> Sequence[Answer]:
        """Write down what was said to somebody else, in the words that they would have had."""
        now_us = self._clock()
        said = [f"{message.recipient}: {message.text}" for message in messages]
        lines = [
            JournalLine(message.id, now_us, message.enterprise, message.grade, text, text)
            for message, text in zip(messages, said, strict=True)
        ]
        return self._keep(messages, lines)

    def _keep(self, messages: Sequence[Notification], lines: Sequence[JournalLine]) -> Sequence[Answer]:
        try:
            # Two channels write here, each in a thread of its own: the journal, and what stands in for SMS.
            with self._writing, self._database.transaction() as connection:
                put_journal(connection, lines)
            if self._file is not None:
                with self._writing:
                    self._file.append([_file_line(m, x) for m, x in zip(messages, lines, strict=True)])
        except ServiceAway as error:
            return [Answer(Outcome.AGAIN, "PostgreSQL is away", error.retry_after_s)] * len(messages)
        except OSError as error:
            _log.error("the journal's file cannot be written", error=error.strerror)
            return [Answer(Outcome.AGAIN, "the file cannot be written")] * len(messages)
        self._show(messages)
        return [Answer(Outcome.ACCEPTED)] * len(messages)

    def close(self) -> None:
        self._database.close()

    def _show(self, messages: Sequence[Notification]) -> None:
        """On the terminal until that fails once: table and file are the journal, and they go on without it."""
        if self._terminal is None:
            return
        try:
            for message in messages:
                self._terminal(terminal_line(message, self._colour))
        except (Exception, SystemExit) as error:  # noqa: BLE001  rich ends the program when stdout's reader is gone
            self._terminal = None
            _log.warning("the journal's terminal is gone", error=type(error).__name__)

    def _line(self, message: Notification, zone: ZoneInfo, now_us: int) -> JournalLine:
        en, zh = (compose(message.lines, self._texts[language], zone) for language in ("en", "zh"))
        return JournalLine(message.id, now_us, message.enterprise, message.grade, en, zh)


class JournalFile:
    """JSON lines, begun anew when `max_bytes` is reached: FILE, FILE.1 (newer) … FILE.`keep`. One thread at a time."""

    def __init__(self, path: Path, max_bytes: int = 10_000_000, keep: int = 5) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep

    def append(self, lines: Sequence[bytes]) -> None:
        """Raises OSError."""
        body = b"".join(line + b"\n" for line in lines)
        if self._path.exists() and self._path.stat().st_size + len(body) > self._max_bytes:
            self._rotate()
        # Only the owner reads it: it says where people are in danger.
        with open(self._path, "ab", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(body)

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            older = self._numbered(number)
            newer = self._path if number == 1 else self._numbered(number - 1)
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def terminal_line(message: Notification, colour: bool) -> str:
    """The message in one line, without the hint whose warning it is."""
    text = " ".join(message.text.splitlines()[:-1])
    if not colour:
        return text
    code = _OVER if message.part is Part.ALL_CLEAR else _COLOURS.get(message.grade, "0")
    return f"\x1b[{code}m{text}\x1b[0m"


def _file_line(message: Notification, line: JournalLine) -> bytes:
    return msgspec.json.encode(
        {
            "at_us": line.at_us,
            "id": message.id,
            "enterprise": message.enterprise,
            "grade": message.grade.word,
            "part": message.part,
            "en": line.en,
            "zh": line.zh,
            "alarms": [{"key": x.key, "step": x.step} for x in message.lines],
        }
    )
