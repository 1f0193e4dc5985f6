"""Where things stand in a rule pack's text, and what is wrong with it.

TOML parsers forget lines. A person who mends a pack needs them, so the text is scanned once beside the parser: every
key of every `[[rule]]` and `[[override]]` gets its line. Mistakes are gathered, not thrown one by one.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ConfigError

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-]+)\s*\]\]?")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_.\-]+)\"?\s*=")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\Z")
_UNIT_US = {"ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with a pack: where, what, and how to mend it."""

    line: int | None
    field: str
    what: str
    mend: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        name = f"{self.field}: " if self.field else ""
        return f"{where}{name}{self.what} {self.mend}".strip()


class PackRefused(ConfigError):
    """A pack that was not taken, with every mistake that was found in it, in order of line."""

    def __init__(self, name: str, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: m.line or 0))
        first = self.mistakes[0]
        count = len(self.mistakes)
        said = "\n".join(map(str, self.mistakes))
        super().__init__(f"{name} has {count} mistake{'s' if count > 1 else ''}:\n{said}")
        self.field, self.line, self.mend = first.field, first.line, first.mend


def lines_of(text: str) -> dict[tuple[str, int, str], int]:
    """(array, index, dotted key) → line, from 1; the key "" is the header, the array "" the top of the text."""
    found: dict[tuple[str, int, str], int] = {}
    count: dict[str, int] = {}
    array, index, prefix, quoted = "", 0, "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if not quoted:
            if header := _HEADER.match(line):
                name = header[2]
                if header[1] == "[[":
                    array, prefix = name, ""
                    index = count.get(name, -1) + 1
                    count[name] = index
                    found[array, index, ""] = number
                else:
                    head, _, rest = name.partition(".")
                    array, index = (head, count[head]) if head in count else ("", 0)
                    prefix = (rest if array else name) + "."
                    found[array, index, prefix[:-1]] = number
            elif key := _KEY.match(line):
                found.setdefault((array, index, prefix + key[1]), number)
        for mark in ('"""', "'''"):
            if (not quoted or quoted == mark) and line.count(mark) % 2:
                quoted = "" if quoted else mark
    return found


@dataclass(slots=True)
class Table:
    """One table of a pack while it is read: typed access by key, each miss a `Mistake` instead of an exception."""

    values: dict[str, Any]
    array: str
    index: int
    lines: dict[tuple[str, int, str], int]
    mistakes: list[Mistake]
    prefix: str = ""
    label: str = field(default="")
    """What a person calls this table: the rule's id."""

    def wrong(self, key: str, what: str, mend: str = "") -> None:
        path = f"{self.prefix}{key}".rstrip(".")
        line = self.lines.get((self.array, self.index, path))
        if line is None:
            line = self.lines.get((self.array, self.index, self.prefix.rstrip(".")))
        if line is None:
            line = self.lines.get((self.array, self.index, ""))
        name = f"{self.label}.{path}" if self.label and path else self.label or path
        self.mistakes.append(Mistake(line, name, what, mend))

    def only(self, known: Iterable[str]) -> None:
        """Every other key is a mistake; the nearest known one is proposed."""
        names = sorted(known)
        for key in self.values:
            if key not in names:
                near = difflib.get_close_matches(key, names, 1)
                mend = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(names)}."
                self.wrong(key, f"unknown key `{key}`.", mend)

    def text(self, key: str, default: str | None = "") -> str:
        """`default` None: the key must be there."""
        value = self.values.get(key)
        if value is None:
            if default is None:
                self.wrong(key, f"`{key}` is missing.", f'Add {key} = "…".')
            return default or ""
        if not isinstance(value, str) or not value:
            self.wrong(key, f"`{key}` must be text.", f'Write {key} = "…".')
            return default or ""
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of texts; empty when absent."""
        value = self.values.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(v, str) and v for v in listed):
            self.wrong(key, f"`{key}` must be text or a list of texts.", f'Write {key} = "…" or ["…", "…"].')
            return ()
        return tuple(listed)

    def choice(self, key: str, choices: Iterable[str], default: str | None) -> str | None:
        """One of `choices`; None (with a mistake) when it is not."""
        value = self.text(key, default)
        names = list(choices)
        if value in names:
            return value
        if key in self.values and isinstance(self.values[key], str):
            near = difflib.get_close_matches(value, names, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            self.wrong(key, f"`{value}` is no {key}.", f"One of: {', '.join(names)}.{hint}")
        return None

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.wrong(key, f"`{key}` must be a finite number.", f"Write {key} = 12.5, in the measure's own unit.")
            return None
        return float(value)

    def count(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65_535:
            self.wrong(key, f"`{key}` must be a whole number from 1 to 65535.", f"Write {key} = 2.")
            return default
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.wrong(key, f"`{key}` must be true or false.", f"Write {key} = true, without quotes.")
            return default
        return value

    def duration_us(self, key: str, default: int) -> int:
        value = self.values.get(key)
        if value is None:
            return default
        found = _DURATION.match(value) if isinstance(value, str) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.wrong(key, f"the duration {value} has no unit.", f'Write {key} = "{value}s" (ms, s, min, h or d).')
            return default
        if found is None:
            self.wrong(key, f"`{key}` is not a duration.", 'Write a number and a unit: "10s", "2min", "24h".')
            return default
        if found[2] not in _UNIT_US:
            mend = f'Minutes are "{found[1]}min".' if found[2] in ("m", "mins") else "Units: ms, s, min, h, d."
            self.wrong(key, f"`{found[2]}` is no unit of time.", mend)
            return default
        return round(float(found[1]) * _UNIT_US[found[2]])

    def table(self, key: str) -> Table | None:
        """None, with a mistake, when it is not there or is something else."""
        value = self.values.get(key)
        if value is None:
            self.wrong(key, f"`{key}` is missing.", f"Add {key} = {{ … }}.")
            return None
        if not isinstance(value, dict):
            self.wrong(key, f"`{key}` must be a table.", f'Write {key} = {{ at_or_above = 56.0, for = "10s" }}.')
            return None
        return Table(value, self.array, self.index, self.lines, self.mistakes, f"{self.prefix}{key}.", self.label)
