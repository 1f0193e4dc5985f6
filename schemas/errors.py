"""The few families of failure. Each carries data, so a caller can decide without reading its text.

A bad reading is not among the exceptions: it is a value (`Reject`) on a second path.
"""

from __future__ import annotations

from dataclasses import dataclass


class TocsinError(Exception):
    """Base of everything we raise on purpose. `mend` says what a person can do next."""

    def __init__(self, what: str, *, mend: str = "") -> None:
        super().__init__(f"{what} {mend}".strip())
        self.what = what
        self.mend = mend


class ConfigError(TocsinError):
    """A setting, a rule pack or an argument is wrong; nothing was started or changed."""

    def __init__(self, what: str, *, field: str = "", line: int | None = None, mend: str = "") -> None:
        where = f"line {line}: " if line is not None else ""
        name = f"{field}: " if field else ""
        super().__init__(f"{where}{name}{what}", mend=mend)
        self.field = field
        self.line = line


class ServiceAway(TocsinError):
    """A service that we need does not answer. It may be tried again after `retry_after_s`."""

    def __init__(self, service: str, what: str, *, retry_after_s: float = 1.0, mend: str = "") -> None:
        super().__init__(f"{service}: {what}", mend=mend)
        self.service = service
        self.retry_after_s = retry_after_s


class Fenced(TocsinError):
    """Another writer or consumer holds our place. Stop; never try again."""


class OutcomeUnknown(TocsinError):
    """A commit was sent and its answer never came: it must be read back before anything else is done."""


class CorruptState(TocsinError):
    """Bytes that we wrote do not read back. A stop, never a silent fresh start."""


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused message or one refused field of it.

    code: a closed set (`schemas.rejects`), fit for a metric label.  field: the key in the payload, or "".
    reason, mend: one sentence each, for the person who connects the device; no payload text in them.
    """

    code: str
    field: str
    reason: str
    mend: str
