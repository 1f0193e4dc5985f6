"""Links of messages: what is not ours, or too old, opens nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.links import LENGTH, WITHHELD, LinkRefused, Why, make, put_in, read, withheld
from tests.alerting_world import START_US, US

SECRET = b"a secret of thirty-two bytes 123"
MESSAGE = "b06b541d974532a490d75e218dfcb274"
HOUR_US = 3600 * US


def why(token: str, now_us: int = START_US, secret: bytes = SECRET) -> Why | None:
    try:
        read(secret, token, now_us)
    except LinkRefused as error:
        return error.why
    return None


def test_a_link_is_short_and_names_its_message() -> None:
    """It stands in an SMS."""
    token = make(SECRET, MESSAGE, START_US + HOUR_US)
    assert len(token) == LENGTH < 40
    claims = read(SECRET, token, START_US)
    assert claims.message == MESSAGE and 0 <= claims.expires_us - START_US - HOUR_US < 300 * US


def test_a_link_ends_at_its_time() -> None:
    token = make(SECRET, MESSAGE, START_US + HOUR_US)
    end_us = read(SECRET, token, START_US).expires_us
    assert why(token, end_us - 1) is None and why(token, end_us) is Why.EXPIRED


@given(st.integers(0, LENGTH - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"))
def test_a_link_of_which_one_character_was_altered_opens_nothing(place: int, character: str) -> None:
    """Also the last one, whose spare bits base64 would read in several ways."""
    token = make(SECRET, MESSAGE, START_US + HOUR_US)
    altered = token[:place] + character + token[place + 1 :]
    assert (why(altered) is None) == (altered == token)


@pytest.mark.parametrize("token", ["", "a", "火" * LENGTH, WITHHELD, "=" * LENGTH, "a" * 4096, " " * LENGTH])
def test_what_was_never_a_link_opens_nothing(token: str) -> None:
    assert why(token) is Why.ALTERED


def test_an_expired_link_that_was_altered_is_altered() -> None:
    """Who guesses is told nothing about times."""
    token = make(SECRET, MESSAGE, START_US)
    assert why(token, START_US + HOUR_US, b"another secret of thirty-two byte") is Why.ALTERED


def test_the_text_of_the_ledger_is_as_long_as_the_one_that_leaves() -> None:
    """Its segments are counted there, and nobody who reads it there can answer by it."""
    kept = f"Confirm: {withheld('https://tocsin.example.org/')}"
    left = put_in(kept, SECRET, MESSAGE, START_US)
    assert len(left) == len(kept) and WITHHELD not in left
    assert why(left.rpartition("/a/")[2]) is None


@pytest.mark.parametrize("year_us", [946_684_800 * US, START_US, 4_000_000_000 * US])
def test_links_of_any_year_that_a_house_may_live_in(year_us: int) -> None:
    """A simulated house may begin in the past."""
    assert why(make(SECRET, MESSAGE, year_us + HOUR_US), year_us) is None


def test_a_house_without_an_address_has_no_links() -> None:
    assert withheld("") == ""
