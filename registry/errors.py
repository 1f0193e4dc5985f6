"""What the registry's people's side answers instead of what was asked."""

from __future__ import annotations

from typing import NamedTuple

from schemas.errors import ConfigError, TocsinError


class NotThere(TocsinError):
    """There is no such thing, or it is outside the viewer's scope: who may not see it is not told which."""

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"there is no {what} {shorten(key)}.")


class Stale(TocsinError):
    """Somebody changed it since it was read; nothing was changed now."""

    def __init__(self, what: str, key: str, version: int) -> None:
        super().__init__(
            f"the {what} {shorten(key)} was changed meanwhile.", mend="Read it again, then change what you see."
        )
        self.version = version
        """The version as of now; 0 when it is not there."""


class InTheWay(TocsinError):
    """What is there does not allow what was asked; nothing was changed."""


class Problem(NamedTuple):
    """One thing that is wrong with one field. No phone number stands in it, and values are shortened."""

    field: str
    what: str
    mend: str


def refuse(problems: list[Problem]) -> None:
    """Raises ConfigError for the first, if there is one."""
    if problems:
        first = problems[0]
        raise ConfigError(first.what, field=first.field, mend=first.mend)


def shorten(value: object, longest: int = 24) -> str:
    """A value as it may stand in an error."""
    text = str(value)
    printable = "".join(c if c.isprintable() else "�" for c in text[: longest + 1])
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"
