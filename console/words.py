"""What a person reads in the console, in their language: texts are data, one file a page in `texts/{zh,en}/`.

A key is the file's name and the path within it: `watch.calm.title`. Grades, kinds, measures and what to do are those of
the messages (`alerting/texts/`), under `grade.`, `kind.`, `measure.` and `action.`: a person meets one word for one
thing on the phone and on the desk.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from alerting.texts import load_texts

LANGUAGES = ("zh", "en")


class Words:
    """The texts of one language; called with a key and what is to be filled in."""

    def __init__(self, language: str, table: Mapping[str, str]) -> None:
        self.language = language
        self._table = table

    def __call__(self, key: str, **values: object) -> str:
        """The text. Raises KeyError for a key that is not there: every text is there, a test says so."""
        text = self._table[key]
        return text.format(**values) if values else text

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def of(self, *groups: str) -> dict[str, str]:
        """All texts of some groups, or under some keys, by whole key: what a component in the browser is given."""
        heads = tuple(group + "." for group in groups)
        return {key: text for key, text in self._table.items() if key in groups or key.startswith(heads)}

    def all_keys(self) -> set[str]:
        return set(self._table)

    def name(self, own: str, english: str) -> str:
        """A name of something in the language, where it has one: `own` is the people's own, `english` may be empty."""
        return (english or own) if self.language == "en" else (own or english)


@cache
def words_of(language: str) -> Words:
    """English for a language that we do not have."""
    chosen = language if language in LANGUAGES else "en"
    table = dict(_messages(chosen))
    for file in sorted(files(__package__).joinpath("texts", chosen).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            table.update(_flat(file.name.removesuffix(".toml"), tomllib.loads(file.read_text(encoding="utf-8"))))
    return Words(chosen, table)


def language_asked(accepted: str) -> str:
    """Of what a browser accepts (`Accept-Language`), the first that we have; Chinese when it names neither."""
    for part in accepted.split(","):
        tag = part.partition(";")[0].strip().lower()
        for language in LANGUAGES:
            if tag.split("-")[0] == language:
                return language
    return LANGUAGES[0]


def _messages(language: str) -> Iterator[tuple[str, str]]:
    texts = load_texts()[language]
    yield "own_grade", texts.own_grade
    for group, table in (("grade", texts.grade), ("kind", texts.kind), ("measure", texts.measure)):
        for key, text in table.items():
            # `RED` shouts; on a page the colour does.
            yield f"{group}.{key}", text.capitalize() if text.isupper() else text
    for kind, by_grade in texts.actions.items():
        for grade, text in by_grade.items():
            yield f"action.{kind}.{grade}", text


def _flat(head: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{head}.{key}", value)
        else:
            yield f"{head}.{key}", value
