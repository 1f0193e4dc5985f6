"""Makes messages for recipients: their language, their time zone, the limits of their channel."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from alerting.message import Texts, compose, worst
from alerting.routes import Recipient
from alerting.store import Sending
from schemas.notifications import ChannelFacts, Line, Notification, Part

_US = 1_000_000


class Composer:
    """texts: by language.  facts: by channel."""

    def __init__(self, texts: Mapping[str, Texts], facts: Mapping[str, ChannelFacts]) -> None:
        self._texts = texts
        self._facts = facts

    def sending(
        self,
        recipient: Recipient,
        id_: str,
        lines: tuple[Line, ...],
        at_once: bool,
        planned_us: int,
        now_us: int,
        *,
        rung: int = 0,
    ) -> Sending:
        """The first attempt of a message, frozen now. `lines` is not empty and of one enterprise."""
        text = compose(lines, self._texts[recipient.language], ZoneInfo(recipient.timezone))
        over = all(line.part is Part.ALL_CLEAR for line in lines)
        part = Part.ALL_CLEAR if over else Part.WARNING
        notification = Notification(
            id_, recipient.name, recipient.channel, lines[0].enterprise, worst(lines), part, at_once,
            recipient.language, text, lines, planned_us, now_us, rung=rung,
        )  # fmt: skip
        return Sending(recipient, notification, now_us)

    def limit_us(self, recipient: Recipient) -> int:
        """How long after its time a message to this recipient is overdue."""
        return round(self._facts[recipient.channel].limit_s * _US)
