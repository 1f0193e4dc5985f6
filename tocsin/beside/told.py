"""What the one process and a part beside it tell each other."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import SecretStr

from tocsin.settings import Settings


class Told(msgspec.Struct, frozen=True):
    """What a part is told at its start. Holds secrets: it goes through a pipe, never through arguments."""

    settings: dict[str, Any]
    dsn: str
    after_us: int
    """The latest time that the log held when the house began."""

    colour: bool = False
    """Whether the terminal shows colours."""
    quiet: bool = False
    """Of its log lines only warnings and worse."""

    @classmethod
    def of(cls, settings: Settings, dsn: str, after_us: int, *, colour: bool = False, quiet: bool = False) -> Told:
        """dsn: how PostgreSQL is reached, whoever has started it."""
        told = {name: getattr(settings, name) for name in type(settings).model_fields}
        told = {n: v.get_secret_value() if isinstance(v, SecretStr) else v for n, v in told.items()}
        return cls({n: v for n, v in told.items() if v is not None}, dsn, after_us, colour, quiet)


class Stands(msgspec.Struct, frozen=True, tag=True):
    """Once a second: part → what is wrong with it, empty when nothing is; its metrics, as Prometheus reads them."""

    troubles: dict[str, str]
    metrics: str


class Turned(msgspec.Struct, frozen=True, tag=True):
    """It has taken something in that others wait for."""


class Line(msgspec.Struct, frozen=True, tag=True):
    """A line for the parent's terminal."""

    text: str


Said = Stands | Turned | Line
