"""docs/reference/webhook.md: its receiver believes what alerting signs, its example is a notification."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerting.channels.signing import REPLAY_WINDOW_S, sign
from alerting.channels.webhook import answer_of
from alerting.ports import Outcome
from schemas.notifications import Line, Notification, decode_notification, encode_notification

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "webhook.md").read_text()
SECRET = "of the page, 24 letters."
BODY = b'{"id":"1"}'


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert found is not None
    return found.group(1)


def _believes(secret: str, timestamp: int | str, signature: str, body: bytes = BODY) -> bool:
    names: dict[str, Any] = {}
    exec(_block("python"), names)
    headers = {"Tocsin-Timestamp": str(timestamp), "Tocsin-Signature": signature}
    return bool(names["believe"](secret, headers, body))


def test_the_receiver_on_the_page_believes_what_is_signed() -> None:
    """The page is copied into receivers: it must agree with the sender to the byte."""
    now = int(time.time())
    assert _believes(SECRET, now, sign(SECRET, now, BODY))


def test_the_receiver_on_the_page_refuses_everything_else() -> None:
    """A receiver that believes too much is a way to forge warnings."""
    now = int(time.time())
    signature, old = sign(SECRET, now, BODY), now - REPLAY_WINDOW_S - 5
    assert not _believes("another secret", now, signature)
    assert not _believes(SECRET, now, signature, BODY + b" ")
    assert not _believes(SECRET, now - 1, signature)
    assert not _believes(SECRET, old, sign(SECRET, old, BODY))
    assert not _believes(SECRET, "²", signature)


def test_the_example_is_a_notification() -> None:
    """Every field of the example is one that is sent, and none is missing."""
    example = msgspec.json.decode(_block("json"))
    assert msgspec.json.decode(encode_notification(decode_notification(_block("json")))) == example


@pytest.mark.parametrize(("shape", "head"), [(Notification, "| field |"), (Line, "| field of a line |")])
def test_every_field_has_its_meaning(shape: type[msgspec.Struct], head: str) -> None:
    """A field without a meaning on the page is guessed at."""
    table = PAGE[PAGE.index(head) :].split("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(shape.__struct_fields__)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_is_tried_again(status: int) -> None:
    assert answer_of(status, "").outcome is Outcome.AGAIN


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_what_is_given_up(status: int) -> None:
    assert answer_of(status, "").outcome is Outcome.REFUSED
