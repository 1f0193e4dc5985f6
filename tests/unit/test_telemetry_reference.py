"""The page that an integrator reads says every answer there is."""

from __future__ import annotations

import re
from pathlib import Path

from ingest.sensors import SENSORS_PER_DEVICE
from schemas.rejects import Code

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md"


def test_every_code_has_its_line_and_no_line_is_of_the_past() -> None:
    """A device that hears a word can look it up."""
    text = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(lines) == sorted(Code)
    assert f"at most {SENSORS_PER_DEVICE:,} sensors" in text
