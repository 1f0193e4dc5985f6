"""Who is told, from the settings: a routes file, or one webhook named directly; always the journal."""

from __future__ import annotations

from dataclasses import replace

from alerting.routes import Routes, parse_routes, webhook_recipient
from schemas.errors import ConfigError
from tocsin.settings import Settings


def routes_of(settings: Settings) -> Routes:
    """Raises ConfigError with field and mend."""
    text = ""
    if settings.routes is not None:
        try:
            text = settings.routes.read_text()
        except OSError as error:
            raise ConfigError(
                f"{settings.routes} cannot be read: {error.strerror}", field="--routes", mend="Name a TOML file."
            ) from error
    routes = parse_routes(text, settings.language)
    if settings.webhook_url:
        webhook = webhook_recipient(
            "webhook", settings.webhook_url, settings.webhook_secret.get_secret_value(), language=settings.language
        )
        routes = replace(routes, recipients=(*routes.recipients, webhook))
    return routes
