"""What a text costs as SMS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.segments import GSM_7, UCS_2, Segments, segments


@pytest.mark.parametrize(
    ("text", "costs"),
    [
        ("", Segments(GSM_7, 0, 1)),
        # One segment holds more than each of several.
        ("a" * 160, Segments(GSM_7, 160, 1)),
        ("a" * 161, Segments(GSM_7, 161, 2)),
        ("a" * 306, Segments(GSM_7, 306, 2)),
        ("a" * 307, Segments(GSM_7, 307, 3)),
        # The extension table costs two, and is not torn apart: 153 septets do not hold 77 of them.
        ("€" * 80, Segments(GSM_7, 160, 1)),
        ("€" * 81, Segments(GSM_7, 162, 2)),
        ("€" * 152, Segments(GSM_7, 304, 2)),
        ("€" * 153, Segments(GSM_7, 306, 3)),
        # One other character makes all of it UCS-2.
        ("火" * 70, Segments(UCS_2, 70, 1)),
        ("火" * 71, Segments(UCS_2, 71, 2)),
        ("火" * 134, Segments(UCS_2, 134, 2)),
        ("火" * 201, Segments(UCS_2, 201, 3)),
        ("火" * 202, Segments(UCS_2, 202, 4)),
        ("a" * 70 + "…", Segments(UCS_2, 71, 2)),
        # Beyond the basic plane: two units, not torn apart.
        ("🔥" * 35, Segments(UCS_2, 70, 1)),
        ("🔥" * 66, Segments(UCS_2, 132, 2)),
        ("🔥" * 67, Segments(UCS_2, 134, 3)),
    ],
)  # fmt: skip
def test_what_a_text_costs(text: str, costs: Segments) -> None:
    assert segments(text) == costs


@given(st.text(max_size=400), st.text(max_size=40))
def test_a_longer_text_never_costs_less(text: str, more: str) -> None:
    assert segments(text).count <= segments(text + more).count
