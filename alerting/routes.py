"""Who is to be told what: recipients as data, read from TOML.

    bundle_s = 60                       # the rest of an enterprise is gathered this long

    [[webhook]]
    name = "duty-desk"
    url = "https://alarms.example.org/tocsin"
    secret = "at least 16 characters"   # signs each message
    enterprises = ["shop-1"]            # left out: every enterprise
    least = "yellow"                    # lower warning grades are not told to this recipient
    language = "zh"                     # en or zh
    timezone = "Asia/Shanghai"          # of the times in the text

The journal is always a recipient. URLs come from this file only, never from a message or an API, so nobody but the
operator can point Tocsin at a host.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.alarms import Grade
from schemas.errors import ConfigError
from schemas.identity import NAME

JOURNAL = "journal"
WEBHOOK = "webhook"
SMS = "sms"
LANGUAGES = ("en", "zh")
LEAST_SECRET = 16
BUNDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Recipient:
    """One place that takes messages. An empty `enterprises` means every enterprise."""

    name: str
    channel: str
    least: Grade = Grade.BLUE
    enterprises: frozenset[str] = frozenset()
    language: str = "en"
    timezone: str = "UTC"
    url: str = ""
    secret: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    """E.164, of recipients by SMS."""

    def serves(self, enterprise: str) -> bool:
        return not self.enterprises or enterprise in self.enterprises


@dataclass(frozen=True, slots=True)
class Routes:
    recipients: tuple[Recipient, ...] = (Recipient(JOURNAL, JOURNAL),)
    bundle_s: float = BUNDLE_S

    def named(self, name: str) -> Recipient | None:
        return next((t for t in self.recipients if t.name == name), None)


def webhook_recipient(
    name: str,
    url: str,
    secret: str,
    *,
    enterprises: frozenset[str] = frozenset(),
    least: Grade = Grade.BLUE,
    language: str = "en",
    timezone: str = "UTC",
) -> Recipient:
    """A checked webhook. Raises ConfigError naming the field; no message shows the secret or the URL."""
    if not NAME.match(name) or name == JOURNAL:
        raise ConfigError(f"a recipient cannot be called {name!r}.", field="name", mend="Use letters, digits, . _ -")
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"{name}: not an http or https URL.", field="url", mend="Write https://host/path")
    if len(secret) < LEAST_SECRET:
        raise ConfigError(
            f"{name}: the secret is shorter than {LEAST_SECRET} characters.",
            field="secret",
            mend="Make one with: openssl rand -hex 32",
        )
    if language not in LANGUAGES:
        raise ConfigError(f"{name}: {language!r} is not spoken.", field="language", mend="Use en or zh.")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"{name}: {timezone!r} is not a time zone.", field="timezone", mend="Use a name like Asia/Shanghai."
        ) from error
    return Recipient(name, WEBHOOK, least, enterprises, language, timezone, url, secret)


_WEBHOOK_KEYS = {"name", "url", "secret", "enterprises", "least", "language", "timezone"}


def parse_routes(toml: str, language: str = "en") -> Routes:
    """`language` is of recipients that say none. Raises ConfigError with field and mend when the text is not a routes
    file.
    """
    try:
        document: dict[str, Any] = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the routes are not TOML: {error}") from error
    _refuse_unknown(document, {"bundle_s", "webhook"}, "the routes")
    bundle_s = document.get("bundle_s", BUNDLE_S)
    if isinstance(bundle_s, bool) or not isinstance(bundle_s, int | float) or not 0 <= bundle_s <= 3600:
        raise ConfigError("must be a number of seconds from 0 to 3600.", field="bundle_s")
    tables = document.get("webhook", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("must be an array of tables.", field="webhook", mend="Write [[webhook]].")
    recipients = [Recipient(JOURNAL, JOURNAL, language=language), *(_webhook(table, language) for table in tables)]
    names = [recipient.name for recipient in recipients]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two recipients are called {name!r}.", field="name", mend="Name each differently.")
    return Routes(tuple(recipients), float(bundle_s))


def _webhook(table: dict[str, Any], language: str) -> Recipient:
    _refuse_unknown(table, _WEBHOOK_KEYS, "a webhook")
    for key in ("name", "url", "secret", "least", "language", "timezone"):
        if not isinstance(table.get(key, ""), str):
            raise ConfigError("must be text.", field=key)
    enterprises = table.get("enterprises", [])
    if not isinstance(enterprises, list) or not all(isinstance(e, str) and NAME.match(e) for e in enterprises):
        raise ConfigError("must be a list of enterprises.", field="enterprises")
    try:
        least = Grade.of(table.get("least", "blue"))
    except KeyError as error:
        raise ConfigError(
            f"{table['least']!r} is not a warning grade.", field="least", mend="Use blue, yellow, orange or red."
        ) from error
    return webhook_recipient(
        table.get("name", ""),
        table.get("url", ""),
        table.get("secret", ""),
        enterprises=frozenset(enterprises),
        least=least,
        language=table.get("language", language),
        timezone=table.get("timezone", "UTC"),
    )


def _refuse_unknown(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{where} cannot have {key!r}.", field=key, mend=f"Known are: {', '.join(sorted(known))}."
            )
