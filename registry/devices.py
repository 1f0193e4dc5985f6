"""Devices as the registry knows them, and what may be said of one. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime

from schemas.entries import DeviceFacts
from schemas.errors import ConfigError
from schemas.identity import NAME

SUPPLIES = ("mains", "gateway", "battery")
_HEAT_CLASS = re.compile(r"(A1|A2|[B-G])[RS]?\Z")
"""EN 54-5: the class, then R (rate of rise) or S (static) where the detector has it."""
_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Device:
    facts: DeviceFacts
    added_at: datetime

    @property
    def key(self) -> str:
        return f"{self.facts.enterprise}/{self.facts.device}"


def parse_key(key: str) -> tuple[str, str]:
    """Enterprise and device of `enterprise/device`. Raises ConfigError."""
    enterprise, slash, device = key.partition("/")
    if not (slash and NAME.match(enterprise) and NAME.match(device)):
        raise ConfigError(
            f"{key!r} is not a device.",
            mend="Write ENTERPRISE/DEVICE, each of 1 to 64 letters, digits, dots, dashes or underscores.",
        )
    return enterprise, device


def check_facts(facts: DeviceFacts) -> DeviceFacts:
    """The facts themselves. Raises ConfigError, naming the field, when one cannot be true."""
    parse_key(f"{facts.enterprise}/{facts.device}")
    for field, number in (("rated current", facts.rated_current_a), ("period", facts.period_s)):
        if number is not None and not (number > 0 and math.isfinite(number)):
            raise ConfigError(f"{number:g} is not a positive number.", field=field, mend="Leave it out if not known.")
    if facts.supply is not None and facts.supply not in SUPPLIES:
        raise ConfigError(f"{facts.supply!r} is not known.", field="supply", mend=f"Use {', '.join(SUPPLIES)}.")
    if facts.heat_class is not None and not _HEAT_CLASS.match(facts.heat_class):
        raise ConfigError(
            f"{facts.heat_class!r} is not known.", field="heat class", mend="Use one of EN 54-5: A1, A2S."
        )
    if facts.gateway is not None and (not NAME.match(facts.gateway) or facts.gateway == facts.device):
        raise ConfigError(
            f"{facts.gateway!r} cannot be its gateway.",
            field="gateway",
            mend="Write the name of another device of the same enterprise, without the enterprise.",
        )
    for field, words in (("trade", (facts.trade,)), ("profile", facts.profiles)):
        if any(word is not None and not _WORD.match(word) for word in words):
            raise ConfigError("it is not a word of letters, digits, dots, dashes or underscores.", field=field)
    return facts
