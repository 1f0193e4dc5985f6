"""Where each setting comes from, and that no secret is shown with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_settings import _no_settings_of_this_shell, secrets
from tocsin.setting_sources import ARGUMENT, DEFAULT, ENVIRONMENT, FILE, MASK, Sourced, told
from tocsin.settings import Settings

__all__ = ["_no_settings_of_this_shell", "secrets"]


def by_name(environment: dict[str, str], **arguments: object) -> dict[str, Sourced]:
    return {one.name: one for one in told(Settings.told(**arguments), arguments, environment).settings}


def test_every_setting_says_where_it_comes_from(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engineer who wonders why a port is taken must not have to guess the order."""
    (secrets / "tocsin_instance").write_text("of-the-file")
    (secrets / "tocsin_mqtt_port").write_text("1884")
    monkeypatch.setenv("TOCSIN_MQTT_PORT", "1885")
    found = by_name({"TOCSIN_MQTT_PORT": "1885", "TOCSIN_SECRETS_DIR": str(secrets)}, data=Path("here"))
    assert set(found) == {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}
    assert (found["TOCSIN_DATA"].source, found["TOCSIN_DATA"].where) == (ARGUMENT, "--data")
    port = found["TOCSIN_MQTT_PORT"]
    assert (port.value, port.source, port.default) == ("1885", ENVIRONMENT, "1883")
    assert (found["TOCSIN_INSTANCE"].value, found["TOCSIN_INSTANCE"].source) == ("of-the-file", FILE)
    assert found["TOCSIN_INSTANCE"].where == str(secrets / "tocsin_instance")
    assert found["TOCSIN_HTTP_PORT"].source == DEFAULT


def test_no_secret_is_shown(secrets: Path) -> None:
    """What is shown is pasted into reports; where an address leads is what one looks for."""
    (secrets / "tocsin_dsn").write_text("postgresql://tocsin:do-not-show@db.example.org/tocsin")
    (secrets / "tocsin_webhook_url").write_text("https://example.org/hook/do-not-show?key=do-not-show")
    for name, field in Settings.model_fields.items():
        if "SecretStr" in str(field.annotation):
            (secrets / f"tocsin_{name}").write_text("do-not-show-this-one")
    found = by_name({})
    assert "do-not-show" not in str(found)
    assert found["TOCSIN_TOKEN"].value == MASK
    assert "db.example.org" in found["TOCSIN_DSN"].value
    assert found["TOCSIN_WEBHOOK_URL"].value == f"https://example.org/{MASK}"


def test_a_name_that_is_no_setting_is_said_with_the_one_that_was_meant(secrets: Path) -> None:
    """A misspelt variable is silence: everything goes on as if nothing had been said."""
    (secrets / "tocsin_tokn").write_text("x")
    (secrets / "readme").write_text("x")
    found = told(Settings.told(), {}, {"TOCSIN_MQTTPORT": "1", "TOCSIN_ZZZ": "1", "PATH": "x"})
    assert found.not_known == {
        str(secrets / "tocsin_tokn"): "TOCSIN_TOKEN", "TOCSIN_MQTTPORT": "TOCSIN_MQTT_PORT", "TOCSIN_ZZZ": "",
    }  # fmt: skip
