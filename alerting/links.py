"""Links that open the alarms of one message on a phone, without an account: signed, short, and they expire. Pure.

A token is 39 characters of URL-safe base64: the message's id, the time at which it expires, and HMAC-SHA256 over
both, cut to 80 bits. It says nothing else: which alarms the message spoke of, and to whom it went, stands in the
ledger. A text in the ledger has dashes in the token's place, so that who reads it there cannot answer for its reader.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from enum import StrEnum

from schemas.errors import TocsinError

PATH = "/a/"
LASTS_US = 24 * 3600 * 1_000_000
"""From the making of the text."""
LENGTH = 39
WITHHELD = "-" * LENGTH
_UNIT_US = 300 * 1_000_000
_EPOCH_UNITS = 946_684_800 // 300
"""2000-01-01; three bytes of five minutes reach to 2159."""
_ID_BYTES, _TIME_BYTES, _MAC_BYTES = 16, 3, 10
_PURPOSE = b"tocsin link 1|"


class Why(StrEnum):
    ALTERED = "altered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class LinkRefused(TocsinError):
    """why: altered (or never ours), expired, or withdrawn: its reader is no contact any more."""

    def __init__(self, why: Why) -> None:
        super().__init__(f"the link is {why.value}.", mend="Open the newest message, or call the duty desk.")
        self.why = why


@dataclass(frozen=True, slots=True)
class Claims:
    """message: id of the notification.  expires_us: µs since 1970, in whole five minutes."""

    message: str
    expires_us: int


def make(secret: bytes, message: str, expires_us: int) -> str:
    """message: 32 hex digits.  expires_us: is rounded up to five minutes. Raises ValueError when they do not fit."""
    units = -(-expires_us // _UNIT_US) - _EPOCH_UNITS
    if len(message) != 2 * _ID_BYTES or not 0 <= units < 1 << (8 * _TIME_BYTES):
        raise ValueError("the message or the time does not fit into a link")
    body = bytes.fromhex(message) + units.to_bytes(_TIME_BYTES, "big")
    return base64.urlsafe_b64encode(body + _sign(secret, body)).decode().rstrip("=")


def read(secret: bytes, token: str, now_us: int) -> Claims:
    """What the token claims. Raises LinkRefused; one that was altered is said to be that, whatever its time."""
    if len(token) != LENGTH or not token.isascii():
        raise LinkRefused(Why.ALTERED)
    try:
        whole = base64.b64decode(token + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise LinkRefused(Why.ALTERED) from error
    body, mac = whole[:-_MAC_BYTES], whole[-_MAC_BYTES:]
    # The last character holds four bits that say nothing: only their one spelling is ours.
    spelled = base64.urlsafe_b64encode(whole).decode().rstrip("=") == token
    if not (hmac.compare_digest(mac, _sign(secret, body)) and spelled):
        raise LinkRefused(Why.ALTERED)
    expires_us = (int.from_bytes(body[_ID_BYTES:], "big") + _EPOCH_UNITS) * _UNIT_US
    if now_us >= expires_us:
        raise LinkRefused(Why.EXPIRED)
    return Claims(body[:_ID_BYTES].hex(), expires_us)


def _sign(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, _PURPOSE + body, "sha256").digest()[:_MAC_BYTES]


def withheld(public_url: str) -> str:
    """The link as the ledger has it; empty where the house has no public address."""
    return f"{public_url.rstrip('/')}{PATH}{WITHHELD}" if public_url else ""


def put_in(text: str, secret: bytes, message: str, queued_us: int) -> str:
    """The text as it leaves: with its link. queued_us: when the text was made."""
    return text.replace(PATH + WITHHELD, PATH + make(secret, message, queued_us + LASTS_US))
