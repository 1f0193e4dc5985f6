"""The console's colours: contrast of every pair that stands on each other, light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "console" / "static" / "tocsin.css").read_text(encoding="utf-8")
LEAST = 4.5
"""WCAG 2, level AA, for text."""
ON = {
    "bg": ("ink", "soft", "accent", "good", "red"),
    "surface": ("ink", "soft", "accent", "good", "red", "orange", "yellow", "blue"),
    "raised": ("ink", "soft", "accent"),
    "calm": ("ink", "soft", "good"),
    "accent-soft": ("ink", "accent"),
    "red-soft": ("ink", "soft", "red"),
    "orange-soft": ("ink", "soft", "orange"),
    "yellow-soft": ("ink", "soft", "yellow"),
    "blue-soft": ("ink", "soft", "blue"),
    "red": ("red-ink",),
    "accent": ("accent-ink",),
}


def tokens(head: str) -> dict[str, str]:
    start = CSS.index(head)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", CSS[start : CSS.index("}", start)]))


LIGHT = tokens(":root {")
DARK = LIGHT | tokens(':root[data-theme="dark"] {\n  --bg')


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(look: str) -> None:
    """At three in the morning, on a worn screen."""
    named = LIGHT if look == "light" else DARK
    for ground, inks in ON.items():
        for ink in inks:
            one, other = luminance(named[ground]), luminance(named[ink])
            contrast = (max(one, other) + 0.05) / (min(one, other) + 0.05)
            assert contrast >= LEAST, f"--{ink} on --{ground}: {contrast:.2f}"


def test_the_dark_that_the_system_asks_for_is_the_dark_that_is_chosen() -> None:
    """Two blocks of one file must not drift apart."""
    asked = tokens('  :root:not([data-theme="light"]) {\n    --bg')
    assert asked == tokens(':root[data-theme="dark"] {\n  --bg')


def test_nothing_moves_for_whom_movement_is_too_much() -> None:
    """And the page loads nothing from elsewhere."""
    assert "prefers-reduced-motion: reduce" in CSS
    assert "http" not in CSS
