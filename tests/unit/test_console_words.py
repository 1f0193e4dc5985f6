"""The console's texts: both languages whole, every key that the code names there, nothing left over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.words import LANGUAGES, Words, language_asked, words_of

CONSOLE = Path(__file__).parents[2] / "console"
SOURCES = [*CONSOLE.glob("**/*.py"), *CONSOLE.glob("components/*.js"), *CONSOLE.glob("templates/*.html")]
FILLED = re.compile(r"\{(\w*)\}")
NAMED = re.compile(r"""(?:words|say)\(\s*["']([a-z_]+(?:\.[a-z_]+)+)["']\s*[,)]""")


def test_both_languages_have_the_same_keys() -> None:
    """A missing text is found here, not by the officer who reads the other language."""
    zh, en = (words_of(language).all_keys() for language in LANGUAGES)
    assert zh == en


def test_a_text_is_filled_with_the_same_in_both() -> None:
    """What one language says with a number the other must, too."""
    zh, en = (words_of(language) for language in LANGUAGES)
    different = [key for key in zh.all_keys() if set(FILLED.findall(zh(key))) != set(FILLED.findall(en(key)))]
    assert not different


def test_every_key_that_the_code_names_is_there() -> None:
    """A key in quotes is a promise."""
    words = words_of("en")
    named = {key for source in SOURCES for key in NAMED.findall(source.read_text(encoding="utf-8"))}
    assert len(named) > 50
    assert not {key for key in named if key not in words and not any(key == k for k in ("pulse.", ""))}


def test_every_page_has_its_title_and_every_group_comes_whole() -> None:
    """A component is given its group of texts, and single keys beside it."""
    words = words_of("zh")
    assert words.of("frame.theme") == {key: words(key) for key in words.all_keys() if key.startswith("frame.theme.")}
    assert words.of("frame.close") == {"frame.close": "关闭"}


def test_names_fall_back_to_the_other_language() -> None:
    """Half a name is better than none."""
    zh, en = words_of("zh"), words_of("en")
    assert (zh.name("面馆", "Noodles"), en.name("面馆", "Noodles")) == ("面馆", "Noodles")
    assert (zh.name("", "Noodles"), en.name("面馆", "")) == ("Noodles", "面馆")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("en-GB,en;q=0.9", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("fr,en;q=0.5", "en"), ("fr", "zh"), ("", "zh")],
)
def test_a_browser_is_answered_in_the_first_of_its_languages_that_we_have(accepted: str, language: str) -> None:
    """Of those who have not logged in yet nothing else is known."""
    assert language_asked(accepted) == language


def test_braces_in_what_is_filled_in_stay_as_they_are() -> None:
    """Names are data: one with braces in it is no template."""
    assert Words("en", {"a.b": "by {by}"})("a.b", by="{by} {0}") == "by {by} {0}"
