"""Trades by GB/T 4754-2017: is it a code, and what is it called. Pure; the names are data (`trades.toml`).

A code is the letter of the section and two to four digits: division, group, class (`H`, `H62`, `H621`, `H6210`). A
code that the data do not name is called by the longest part that they do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import msgspec

from schemas.errors import ConfigError

_CODE = re.compile(r"([A-T])([0-9]{2,4})?\Z")


class Trade(msgspec.Struct, frozen=True):
    code: str
    name: str
    name_en: str


def check_trade(code: str) -> str:
    """The code itself. Raises ConfigError when it cannot be one, or its division stands in another section."""
    found = _CODE.match(code)
    if found is None:
        raise ConfigError(
            "it is not a code of GB/T 4754.",
            field="trade",
            mend="Write the section's letter and up to four digits: H6210.",
        )
    section = _sections().get(code[1:3])
    if section is not None and section != found.group(1):
        raise ConfigError(
            f"division {code[1:3]} stands in section {section}.", field="trade", mend=f"Write {section}{code[1:]}."
        )
    return code


def trade_of(code: str) -> Trade:
    """The code with its name, or that of the longest part of it which has one; the names are empty when none has."""
    names = _names()
    for end in range(len(code), 0, -1):
        if (found := names.get(code[:end])) is not None:
            return Trade(code, found[0], found[1])
    return Trade(code, "", "")


def trades(prefix: str = "") -> list[Trade]:
    """All that have a name, by code."""
    return [Trade(code, name, name_en) for code, (name, name_en) in _names().items() if code.startswith(prefix)]


@cache
def _names() -> Mapping[str, Sequence[str]]:
    data = tomllib.loads(files("registry").joinpath("trades.toml").read_text(encoding="utf-8"))
    return dict(sorted((data["sections"] | data["divisions"] | data["below"]).items()))


@cache
def _sections() -> Mapping[str, str]:
    """The two digits of a division → the letter of its section."""
    return {code[1:]: code[0] for code in _names() if len(code) == 3}
