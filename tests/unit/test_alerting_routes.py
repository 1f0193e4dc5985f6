"""Routes: what a person writes, and what they are told when it is wrong."""

from __future__ import annotations

import pytest

from alerting.routes import parse_routes
from schemas.alarms import Grade
from schemas.errors import ConfigError

HOOK = '[[webhook]]\nname = "ops"\nurl = "https://example.org/x"\nsecret = "0123456789abcdef"\n'


def test_a_whole_routes_file() -> None:
    routes = parse_routes(
        "bundle_s = 30\n" + HOOK + 'least = "orange"\nenterprises = ["shop-1"]\ntimezone = "Asia/Shanghai"\n', "zh"
    )
    journal, ops = routes.recipients
    assert (journal.channel, journal.language, routes.bundle_s) == ("journal", "zh", 30.0)
    assert (ops.least, ops.language, ops.timezone) == (Grade.ORANGE, "zh", "Asia/Shanghai")
    assert ops.serves("shop-1") and not ops.serves("shop-2")


@pytest.mark.parametrize(
    ("toml", "field"),
    [
        ("bundle_s = -1", "bundle_s"),
        ("bundle_s = true", "bundle_s"),
        ("hook = 1", "hook"),
        ("webhook = 1", "webhook"),
        (HOOK.replace("https", "ftp"), "url"),
        (HOOK.replace("https://example.org/x", "https://[::1"), "url"),
        (HOOK.replace("example.org", "example.org:99999"), "url"),
        (HOOK.replace("0123456789abcdef", "short"), "secret"),
        (HOOK.replace("ops", "journal"), "name"),
        (HOOK + HOOK, "name"),
        (HOOK + 'least = "green"', "least"),
        (HOOK + 'language = "fr"', "language"),
        (HOOK + 'timezone = "Mars/Base"', "timezone"),
        (HOOK + 'enterprises = ["a/b"]', "enterprises"),
        (HOOK + "language = 3", "language"),
        (HOOK + 'phone = "1"', "phone"),
        ("[[webhook", ""),
    ],
)
def test_a_wrong_file_names_the_field(toml: str, field: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_routes(toml)
    assert error.value.field == field


def test_no_error_and_no_repr_shows_a_secret_or_an_address() -> None:
    """Errors end in logs and chats."""
    with pytest.raises(ConfigError) as error:
        parse_routes(HOOK.replace("https://example.org/x", "example.org/token-in-path"))
    assert "token-in-path" not in str(error.value)
    assert "0123456789abcdef" not in repr(parse_routes(HOOK))
