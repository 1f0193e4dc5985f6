"""What a look finds, and the limits that more than one look goes by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MOST_CHECKPOINT_AGE_S = 300.0
MOST_LAG_S = 10.0
MOST_SKEW_S = 2.0


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """part: what was looked at.  words: how it is.  mend: what a person can do; empty when all is well."""

    part: str
    verdict: Verdict
    words: str
    mend: str = ""


def fine(part: str, words: str) -> Finding:
    return Finding(part, Verdict.OK, words)


def warning(part: str, words: str, mend: str) -> Finding:
    return Finding(part, Verdict.WARNING, words, mend)


def wrong(part: str, words: str, mend: str) -> Finding:
    return Finding(part, Verdict.WRONG, words, mend)


def listed(numbers: Iterable[int]) -> str:
    """Partitions, for a person: `partition 3`, `partitions 0, 3, 5`."""
    found = sorted(numbers)
    return f"partition{'s' if len(found) != 1 else ''} {', '.join(map(str, found))}"
