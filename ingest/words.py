"""Refusals in both languages: admission speaks English, and each of its sentences has a Chinese one beside it.

The sentences are data (`ingest/texts/*.toml`): a sentence is found again by its English form, and what differs in it
(a number, a unit, a kind) is put into the Chinese one. One that is not known is shown in English.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec

from schemas.errors import Reject
from schemas.payloads import Told

LANGUAGES = ("en", "zh")
_HOLE = re.compile(r"\{([a-z]+)\}")


def told(rejects: Sequence[Reject]) -> list[Told]:
    """Why, and what to do, in both languages."""
    return [
        Told(one.code, one.field, one.reason, one.mend, in_chinese(one.reason), in_chinese(one.mend)) for one in rejects
    ]


def in_chinese(sentence: str) -> str:
    """The Chinese of a sentence of a refusal; the sentence itself where there is none."""
    plain, patterns = _sentences()
    known = plain.get(sentence)
    if known is not None:
        return known
    for pattern, chinese in patterns:
        found = pattern.fullmatch(sentence)
        if found is not None:
            words = {name: _words().get(said, said) for name, said in found.groupdict().items()}
            return _HOLE.sub(lambda hole, words=words: words[hole[1]], chinese)  # type: ignore[misc]
    return sentence


def load(language: str) -> dict[str, Any]:
    """The texts of a language, as they are shipped."""
    return msgspec.toml.decode(files("ingest.texts").joinpath(f"{language}.toml").read_bytes())  # type: ignore[no-any-return]


@functools.cache
def _sentences() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    english, chinese = load("en"), load("zh")
    plain: dict[str, str] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    for key, sentence in english.items():
        if key == "word":
            continue
        parts = _HOLE.split(sentence)
        if len(parts) == 1:
            plain[sentence] = chinese[key]
        else:
            text = "".join(re.escape(part) if k % 2 == 0 else f"(?P<{part}>.*?)" for k, part in enumerate(parts))
            patterns.append((re.compile(text, re.DOTALL), chinese[key]))
    return plain, patterns


@functools.cache
def _words() -> dict[str, str]:
    english, chinese = load("en")["word"], load("zh")["word"]
    return {said: chinese[key] for key, said in english.items()}
