"""Where settings come from, and that secrets stay out of what is printed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from tocsin.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("TOCSIN_SECRETS_DIR", str(folder))
    return folder


@pytest.mark.parametrize("name", ["tocsin_dsn", "TOCSIN_DSN"])
def test_a_secret_may_come_from_a_file(secrets: Path, name: str) -> None:
    """Docker, Kubernetes and systemd hand secrets out as files; an editor ends a file with a new line."""
    (secrets / name).write_text("postgresql://tocsin:secret@db/tocsin\n")
    assert Settings.told().dsn == "postgresql://tocsin:secret@db/tocsin"


def test_the_environment_comes_before_a_file_and_an_argument_before_both(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who tries something out changes no file of the cluster's."""
    (secrets / "tocsin_instance").write_text("of-the-file")
    assert Settings.told().instance == "of-the-file"
    monkeypatch.setenv("TOCSIN_INSTANCE", "of-the-environment")
    assert Settings.told().instance == "of-the-environment"
    assert Settings.told(instance="of-the-argument").instance == "of-the-argument"


def test_secrets_as_kubernetes_mounts_them_are_read(secrets: Path) -> None:
    """There each file is a link into a folder that is exchanged as a whole."""
    (secrets / "..2026").mkdir()
    (secrets / "..2026" / "tocsin_token").write_text("0123456789abcdef")
    (secrets / "..data").symlink_to("..2026")
    (secrets / "tocsin_token").symlink_to("..data/tocsin_token")
    assert Settings.told().token.get_secret_value() == "0123456789abcdef"


def test_a_folder_of_secrets_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on without them would be a start with other settings than were meant."""
    monkeypatch.setenv("TOCSIN_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="TOCSIN_SECRETS_DIR: there is no folder"):
        Settings.told()


def test_a_bad_value_of_a_file_names_the_setting_and_not_the_value(secrets: Path) -> None:
    """What stands in a file of secrets is no text for a log."""
    (secrets / "tocsin_language").write_text("very-secret")
    with pytest.raises(ConfigError, match="TOCSIN_LANGUAGE") as raised:
        Settings.told()
    assert "very-secret" not in str(raised.value)


def test_no_secret_is_in_the_repr(secrets: Path) -> None:
    """Settings end in logs and in reports of failures."""
    for name in ("dsn", "token", "webhook_url", "webhook_secret", "heartbeat_url", "broker_password"):
        (secrets / f"tocsin_{name}").write_text("do-not-show-this")
    assert "do-not-show-this" not in repr(Settings.told())


def test_a_token_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens everything; the server must not start behind a short one."""
    monkeypatch.setenv("TOCSIN_TOKEN", "short")
    with pytest.raises(ConfigError, match=r"TOCSIN_TOKEN: .*fewer than 16"):
        Settings.told()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_url", "javascript:alert(1)"),
        ("public_url", "https://tocsin.example/?next="),
        ("public_url", "tocsin.example"),
        ("duty_phone", "call me <b>"),
        ("duty_phone", "0" * 40),
    ],
)
def test_what_stands_in_every_message_is_looked_at(name: str, value: str) -> None:
    """An address or a number that cannot be is said at the start, not by ten thousand texts."""
    with pytest.raises(ConfigError, match=f"TOCSIN_{name.upper()}|{name}"):
        Settings.told(**{name: value})


@pytest.mark.parametrize("url", ["", "https://tocsin.example.org", "http://10.0.0.1:8090/tocsin/", "http://[::1]:8090"])
def test_addresses_of_consoles(url: str) -> None:
    assert Settings.told(public_url=url).public_url == url
