"""How a desk's parts are put together in both ways of running; without the engine, whose code is large."""

from __future__ import annotations

from collections.abc import Callable

from alerting.channels.journal import Journal, JournalFile
from alerting.channels.unsent_sms import UnsentSms
from alerting.channels.webhook import Webhook
from alerting.composer import Reply
from alerting.message import Texts
from alerting.ports import Channel
from alerting.routes import JOURNAL, SMS, WEBHOOK
from alerting.secret import LINKS, house_secret
from schemas.errors import ConfigError
from streams.ticks import Clock
from tocsin.recipients import routes_of
from tocsin.settings import Settings


def make_channels(
    settings: Settings,
    dsn: str,
    texts: dict[str, Texts],
    clock: Clock,
    now_us: Callable[[], int],
    terminal: Callable[[str], None] | None = None,
    colour: bool = False,
) -> dict[str, Channel]:
    """Every way by which people are told, by name."""
    file = JournalFile(settings.data / "journal.jsonl")
    journal = Journal(dsn, texts, now_us, file=file, terminal=terminal, colour=colour)
    # Receivers compare the signature's time with their own clock.
    return {JOURNAL: journal, WEBHOOK: Webhook(clock.wall_us), SMS: _sms(settings, journal)}


def make_reply(settings: Settings, dsn: str) -> Reply:
    """How people answer messages. Raises ServiceAway."""
    secret = house_secret(dsn, LINKS) if settings.public_url else b""
    return Reply(settings.public_url, settings.duty_phone, secret)


def check(settings: Settings) -> None:
    """Before a desk starts: whether it could. Raises ConfigError with field and mend."""
    routes_of(settings)
    _has_carrier(settings)


def _sms(settings: Settings, journal: Journal) -> Channel:
    """The carrier where its account is set. Raises ConfigError when it is half set."""
    if not _has_carrier(settings):
        return UnsentSms(journal)
    from alerting.channels.sms import Sms  # noqa: PLC0415  the client is large, and most have none

    secret = settings.twilio_token.get_secret_value()
    return Sms(settings.twilio_account, secret, settings.twilio_sender, url=settings.twilio_url)


def _has_carrier(settings: Settings) -> bool:
    """Raises ConfigError when it is half set."""
    account, secret = settings.twilio_account, settings.twilio_token.get_secret_value()
    if not account and not secret:
        return False
    for name, value in (("ACCOUNT", account), ("TOKEN", secret), ("SENDER", settings.twilio_sender)):
        if not value:
            raise ConfigError(
                "SMS need the account, its token and a sender.",
                field=f"TOCSIN_TWILIO_{name}",
                mend="Set all three, or none: then texts are kept in the journal.",
            )
    return True
