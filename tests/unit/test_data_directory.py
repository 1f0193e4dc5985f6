"""One process a data directory, and a token that only its owner reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from tocsin.data_directory import DataDirectory, Running


def test_a_second_start_is_refused_and_names_the_first(tmp_path: Path) -> None:
    """Two engines over one log would each think the other's entries a second writer."""
    first = DataDirectory(tmp_path / "d")
    first.claim()
    with pytest.raises(ConfigError, match=r"another Tocsin \(process \d+\) runs"):
        DataDirectory(tmp_path / "d").claim()
    first.release()


def test_a_released_directory_can_be_claimed_again(tmp_path: Path) -> None:
    """A second start continues."""
    first = DataDirectory(tmp_path)
    first.claim()
    first.announce(Running(pid=1, mqtt_port=2, http_port=3))
    first.release()
    second = DataDirectory(tmp_path)
    second.claim()
    assert second.running() is None
    second.release()


def test_the_token_stays_the_same_and_is_private(tmp_path: Path) -> None:
    """It opens the API, so others on the machine must not read it."""
    directory = DataDirectory(tmp_path)
    token = directory.token()
    assert len(token) >= 43
    assert directory.token() == token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    """The mend is in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Name a directory of yours"):
        DataDirectory(tmp_path / "file" / "d").claim()
