"""Reads the texts of messages that are shipped with the package."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from alerting.message import Texts
from alerting.routes import LANGUAGES
from schemas.errors import CorruptState
from schemas.toml_decoder import TomlDecoder

_decoder = TomlDecoder(Texts)


def load_texts() -> dict[str, Texts]:
    """Every language by its code. Raises CorruptState when a shipped file lacks a key."""
    loaded = {}
    for language in LANGUAGES:
        body = files(__name__).joinpath(f"{language}.toml").read_bytes()
        try:
            loaded[language] = _decoder.decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise CorruptState(f"the texts of {language!r} cannot be read: {error}") from error
    return loaded
