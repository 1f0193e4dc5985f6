"""What every channel keeps: an answer for each message, nothing raised, the far end really reached."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest

from alerting.channels.journal import Journal, JournalFile, terminal_line
from alerting.channels.signing import REPLAY_WINDOW_S, refusal
from alerting.channels.sms import Sms
from alerting.channels.webhook import Webhook, answer_of
from alerting.life import fold
from alerting.message import compose, line_of
from alerting.ports import Answer, Channel, Outcome
from alerting.routes import Recipient, webhook_recipient
from alerting.texts import load_texts
from schemas.alarms import Grade, State
from schemas.notifications import Notification, Part, decode_notification
from sensors_sim.carrier import Carrier, start
from tests.alerting_world import START_US, FarEnd, HandClock, answer_with, event

SECRET = "a secret of enough length"
OWNER = Recipient("owner", "sms", phone="+8610000000001")
TEXTS = load_texts()
Reply = Callable[[int, BaseHTTPRequestHandler], None]


def message(number: int = 1, grade: Grade = Grade.RED, part: Part = Part.WARNING) -> Notification:
    lines = (line_of(fold(None, event(State.RAISED, grade, device=f"d{number}")), part),)
    text = compose(lines, TEXTS["en"], ZoneInfo("UTC"))
    return Notification(
        f"{number:032x}", "ops", "held", "shop-1", grade, part, True, "en", text, lines, START_US, START_US
    )


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carrier]:
    running = start(tmp_path_factory.mktemp("carrier") / "texts.jsonl")
    yield running
    running.stop()


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.close()


@pytest.fixture(params=["webhook", "journal", "sms"])
def channel(request: pytest.FixtureRequest) -> Iterator[tuple[Channel, Recipient]]:
    made: Channel
    if request.param == "webhook":
        end: FarEnd = request.getfixturevalue("far_end")
        made, recipient = Webhook(HandClock()), webhook_recipient("ops", end.url, SECRET)
    elif request.param == "sms":
        carrier: Carrier = request.getfixturevalue("carrier")
        made, recipient = Sms("AC1", SECRET, "+15005550006", url=carrier.url), OWNER
    else:
        file = JournalFile(request.getfixturevalue("tmp_path") / "journal.jsonl")
        made = Journal(request.getfixturevalue("dsn"), TEXTS, HandClock(), file=file)
        recipient = Recipient("journal", "journal")
    yield made, recipient
    made.close()


@pytest.fixture(params=["webhook", "journal", "sms"])
def cut_channel(request: pytest.FixtureRequest) -> Iterator[tuple[Channel, Recipient]]:
    """A channel whose far end is not there."""
    made: Channel
    if request.param == "webhook":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        made, recipient = Webhook(HandClock()), webhook_recipient("ops", url, SECRET)
    elif request.param == "sms":
        made, recipient = Sms("AC1", SECRET, "+15005550006", url="http://127.0.0.1:1"), OWNER
    else:
        folder: Path = request.getfixturevalue("tmp_path")
        made = Journal(f"host={folder} dbname=none", TEXTS, HandClock())
        recipient = Recipient("journal", "journal")
    yield made, recipient
    made.close()


def test_every_message_is_answered_in_order(channel: tuple[Channel, Recipient]) -> None:
    sends, recipient = channel
    answers = sends.send(recipient, [message(n) for n in range(1, sends.facts.batch + 1)])
    assert [a.outcome for a in answers] == [Outcome.ACCEPTED] * sends.facts.batch


def test_a_message_sent_twice_is_accepted_twice(channel: tuple[Channel, Recipient]) -> None:
    """A repeat after a kill is the receiver's to recognise by its id; it must not fail."""
    sends, recipient = channel
    for _ in range(2):
        assert sends.send(recipient, [message()])[0].outcome is Outcome.ACCEPTED


def test_a_far_end_that_is_away_is_an_answer(cut_channel: tuple[Channel, Recipient]) -> None:
    sends, recipient = cut_channel
    (answer,) = sends.send(recipient, [message()])
    assert answer.outcome is Outcome.AGAIN
    assert SECRET not in answer.detail and "127.0.0.1" not in answer.detail


# The webhook.


def hold(number: int, handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing until the client has gone."""
    handler.rfile.read(1)
    handler.close_connection = True


def reset(number: int, handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def garble(number: int, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SMTP ready\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("reply", "outcome", "detail"),
    [
        (answer_with(204), Outcome.ACCEPTED, "HTTP 204"),
        (answer_with(500), Outcome.AGAIN, "HTTP 500"),
        (answer_with(429, Retry_After="7"), Outcome.AGAIN, "HTTP 429"),
        (answer_with(404), Outcome.REFUSED, "HTTP 404"),
        # A redirect would let the far end choose our next host.
        (answer_with(302, Location="http://127.0.0.1:1/"), Outcome.REFUSED, "HTTP 302"),
        # The request was sent: it may have been taken.
        (hold, Outcome.UNKNOWN, "ReadTimeout"),
        (reset, Outcome.UNKNOWN, "ReadError"),
        (garble, Outcome.UNKNOWN, "RemoteProtocolError"),
    ],
)
def test_what_a_webhook_answers_becomes(reply: Reply, outcome: Outcome, detail: str) -> None:
    end, webhook = FarEnd(reply), Webhook(HandClock(), timeout_s=0.3)
    try:
        (answer,) = webhook.send(webhook_recipient("ops", end.url, SECRET), [message()])
    finally:
        webhook.close()
        end.close()
    assert (answer.outcome, answer.detail) == (outcome, detail)


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [("7", 7.0), ("86400", 300.0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
)
def test_a_receiver_may_say_when(retry_after: str, wait_s: float | None) -> None:
    assert answer_of(503, retry_after) == Answer(Outcome.AGAIN, "HTTP 503", wait_s)


def test_a_receiver_can_check_what_it_gets(far_end: FarEnd) -> None:
    clock, webhook = HandClock(), Webhook(HandClock())
    webhook.send(webhook_recipient("ops", far_end.url, SECRET), [message()])
    webhook.close()
    ((headers, body),) = far_end.wait_for(1)
    stamp, signature, now_s = headers["Tocsin-Timestamp"], headers["Tocsin-Signature"], clock() / 1e6
    assert refusal(SECRET, stamp, signature, body, now_s) == ""
    assert "signature" in refusal(SECRET, stamp, signature, body + b" ", now_s)
    assert "signature" in refusal("another secret", stamp, signature, body, now_s)
    assert "signature" in refusal(SECRET, str(int(stamp) + 1), signature, body, now_s)
    assert "minutes" in refusal(SECRET, stamp, signature, body, now_s + REPLAY_WINDOW_S + 2)
    assert "number" in refusal(SECRET, "²", signature, body, now_s)
    assert (headers["Tocsin-Id"], headers["Tocsin-Attempt"]) == (message().id, "1")
    assert decode_notification(body) == message()
    assert SECRET.encode() not in body


def test_connections_are_used_again(far_end: FarEnd) -> None:
    """A connection a message would cost more than the message."""
    webhook = Webhook(HandClock())
    recipient = webhook_recipient("ops", far_end.url, SECRET)
    for _ in range(3):
        webhook.send(recipient, [message()])
    webhook.close()
    assert len({headers["port"] for headers, _ in far_end.requests}) == 1


# The journal.


def test_the_journal_stands_in_its_table_and_its_file(dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(dsn, TEXTS, HandClock(), file=JournalFile(path))
    journal.send(Recipient("journal", "journal"), [message(1), message(2)])
    journal.send(Recipient("journal", "journal"), [message(1)])
    journal.close()
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT notification, grade, en, zh FROM journal ORDER BY number").fetchall()
    assert [row[:2] for row in rows] == [(message(1).id, 4), (message(2).id, 4)]
    assert rows[0][2].startswith("[RED] Fire") and rows[0][3].startswith("【红色】火灾")
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["id"] for line in lines] == [message(1).id, message(2).id, message(1).id]
    assert lines[0]["en"] == rows[0][2] and path.stat().st_mode & 0o077 == 0


def test_the_file_begins_anew_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    file = JournalFile(path, max_bytes=100, keep=2)
    for n in range(5):
        file.append([msgspec.json.encode({"n": n, "pad": "x" * 60})])
    kept = [json.loads(p.read_bytes())["n"] for p in (tmp_path / "journal.jsonl.2", tmp_path / "journal.jsonl.1", path)]
    assert kept == [2, 3, 4] and len(list(tmp_path.iterdir())) == 3


def test_a_file_that_cannot_be_written_is_tried_again(dsn: str, tmp_path: Path) -> None:
    journal = Journal(dsn, TEXTS, HandClock(), file=JournalFile(tmp_path / "none" / "journal.jsonl"))
    (answer,) = journal.send(Recipient("journal", "journal"), [message()])
    journal.close()
    assert answer.outcome is Outcome.AGAIN


@pytest.mark.parametrize("failure", [SystemExit(1), BrokenPipeError()])
def test_a_terminal_that_goes_away_takes_nothing_with_it(dsn: str, tmp_path: Path, failure: BaseException) -> None:
    """When stdout's reader is gone, rich ends the program; the table and the file are the journal and go on."""
    tries: list[str] = []

    def gone(line: str) -> None:
        tries.append(line)
        raise failure

    path = tmp_path / "journal.jsonl"
    journal = Journal(dsn, TEXTS, HandClock(), file=JournalFile(path), terminal=gone)
    answers = [journal.send(Recipient("journal", "journal"), [message(n), message(n + 1)]) for n in (1, 3)]
    journal.close()
    assert {answer.outcome for pair in answers for answer in pair} == {Outcome.ACCEPTED}
    assert len(tries) == 1 and len(path.read_bytes().splitlines()) == 4


def test_the_terminal_shows_one_line_in_the_colour_of_its_grade() -> None:
    assert terminal_line(message(), colour=True).startswith("\x1b[1;37;41m[RED] Fire · shop-1 / d1")
    assert terminal_line(message(grade=Grade.YELLOW), colour=True).startswith("\x1b[33m")
    assert terminal_line(message(part=Part.ALL_CLEAR), colour=True).startswith("\x1b[32m[ALL CLEAR]")
    plain = terminal_line(message(), colour=False)
    assert "\x1b" not in plain and "\n" not in plain and "public alert" not in plain
