"""Why something was not done, in the reader's language.

The services speak English; each of their sentences has its other language beside it (`texts/{en,zh}/errors.toml`). A
sentence is found by its English form, and what differs in it (a name, a number, a role) is put into the other. One that
is not known is shown as it is: a test walks through the services' sentences, so there is none that people meet.
"""

from __future__ import annotations

import re
from functools import cache

from console.words import Words, words_of
from schemas.errors import ConfigError, ServiceAway, TocsinError
from schemas.viewers import NotAllowed, NotNow

_GROUP = "errors."
_HOLE = re.compile(r"\{([a-z]+)\}")


def refusal(error: TocsinError, words: Words) -> str:
    """What a person reads of it: what is wrong and what can be done. No driver's words, and none of a stranger's."""
    if isinstance(error, ServiceAway):
        return words("acts.away")
    if isinstance(error, NotAllowed) and not isinstance(error, NotNow):
        return words("acts.not_allowed")
    what, field = error.what, error.field if isinstance(error, ConfigError) else ""
    what = what.removeprefix(f"{field}: ")
    gap = "" if words.language == "zh" else " "
    said = gap.join(in_language(sentence, words) for sentence in (what, error.mend) if sentence)
    key = f"{_GROUP}field.{field}"
    named = words(key) if key in words else ""
    return said if not named or said.startswith(named) else words("errors.in_field", field=named, said=said)


def in_language(sentence: str, words: Words) -> str:
    """A sentence of a service in the language; itself where it has none."""
    if words.language == "en":
        return sentence
    for key, pattern in _patterns():
        found = pattern.fullmatch(sentence)
        if found is not None:
            return words(key, **{name: word(said, words) for name, said in found.groupdict().items()})
    return sentence


def word(said: str, words: Words) -> str:
    """What is put into a sentence, where it is a word of ours; else itself, without the quotes of a program."""
    key = f"{_GROUP}word.{said.replace(' ', '_')}"
    return words(key) if key in words else said.strip("'")


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Key and form, those that say most first: `{value} is not one.` is not to be taken for a longer one."""
    english = words_of("en")
    found: list[tuple[int, str, re.Pattern[str]]] = []
    for key in english.all_keys():
        if not key.startswith(_GROUP) or key.startswith((f"{_GROUP}word.", f"{_GROUP}field.")):
            continue
        parts = _HOLE.split(english(key))
        form = "".join(re.escape(part) if k % 2 == 0 else f"(?P<{part}>.+?)" for k, part in enumerate(parts))
        found.append((-sum(len(part) for part in parts[::2]), key, re.compile(form, re.DOTALL)))
    return [(key, pattern) for _, key, pattern in sorted(found, key=lambda one: one[:2])]
