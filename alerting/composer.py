"""Makes messages for recipients: their language, their time zone, the limits of their channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from msgspec import structs

from alerting import links
from alerting.contacts import is_contact
from alerting.message import Texts, compose, worst
from alerting.routes import Recipient
from alerting.rows import Sending
from alerting.short import compose_short
from schemas.notifications import ChannelFacts, Line, Notification, Part

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """How a person answers. public_url: of the console, as phones reach it; without it a message has no link.

    duty_phone: the desk's number.  secret: signs links; whoever only shows texts needs none.
    """

    public_url: str = ""
    duty_phone: str = ""
    secret: bytes = field(default=b"", repr=False)

    def link(self, recipient: Recipient) -> str:
        """As the ledger has it. Contacts alone have one: who answers by it answers in that contact's name."""
        return links.withheld(self.public_url) if is_contact(recipient.name) else ""

    def finish(self, recipient: Recipient, notification: Notification) -> Notification:
        """The message as it leaves, with its link."""
        if not (self.secret and is_contact(recipient.name)):
            return notification
        text = links.put_in(notification.text, self.secret, notification.id, notification.queued_us)
        return structs.replace(notification, text=text)


class Composer:
    """texts: by language.  facts: by channel."""

    def __init__(
        self, texts: Mapping[str, Texts], facts: Mapping[str, ChannelFacts], reply: Reply | None = None
    ) -> None:
        self._texts = texts
        self._facts = facts
        self._reply = reply or Reply()

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
        text = self.text(recipient, lines, now_us)
        over = all(line.part is Part.ALL_CLEAR for line in lines)
        part = Part.ALL_CLEAR if over else Part.WARNING
        notification = Notification(
            id_, recipient.name, recipient.channel, lines[0].enterprise, worst(lines), part, at_once,
            recipient.language, text, lines, planned_us, now_us, rung=rung,
        )  # fmt: skip
        return Sending(recipient, notification, now_us)

    def text(self, recipient: Recipient, lines: tuple[Line, ...], now_us: int) -> str:
        """What a recipient reads: short where the channel is."""
        texts, zone = self._texts[recipient.language], ZoneInfo(recipient.timezone)
        reply = self._reply
        if not self._facts[recipient.channel].short:
            return compose(lines, texts, zone, duty_phone=reply.duty_phone)
        link = reply.link(recipient)
        return compose_short(lines, texts, zone, now_us, link=link, duty_phone=reply.duty_phone)

    def limit_us(self, recipient: Recipient) -> int:
        """How long after its time a message to this recipient is overdue."""
        return round(self._facts[recipient.channel].limit_s * _US)
