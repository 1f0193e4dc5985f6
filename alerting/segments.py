"""What a text costs as SMS: its alphabet and its segments. Pure.

Texts in the GSM 7-bit alphabet have 160 septets in one segment, or 153 in each of several; one character outside it
makes the whole text UCS-2, with 70 and 67. Characters of the extension table take two septets, those beyond the basic
plane two UCS-2 units, and neither is torn over two segments. Source: 3GPP TS 23.038, TS 23.040.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GSM_7 = "GSM-7"
UCS_2 = "UCS-2"
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_SINGLE = {GSM_7: 160, UCS_2: 70}
_PART = {GSM_7: 153, UCS_2: 67}


@dataclass(frozen=True, slots=True)
class Segments:
    """units: septets, or UTF-16 code units."""

    alphabet: str
    units: int
    count: int


def segments(text: str) -> Segments:
    """An empty text is one segment of nothing."""
    fits = all(c in _BASIC or c in _EXTENSION for c in text)
    alphabet = GSM_7 if fits else UCS_2
    widths = [2 if c in _EXTENSION else 1 for c in text] if fits else [2 if ord(c) > 0xFFFF else 1 for c in text]
    units = sum(widths)
    return Segments(alphabet, units, 1 if units <= _SINGLE[alphabet] else _parts(widths, _PART[alphabet]))


def _parts(widths: Iterable[int], room: int) -> int:
    count, left = 1, room
    for width in widths:
        if width > left:
            count, left = count + 1, room
        left -= width
    return count
