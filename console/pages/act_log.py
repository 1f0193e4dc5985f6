"""The log of acts, drawn. Its lines hold codes, the same for every reader and for programs; here they become words.

`role=operator; districts=310101,310104` is read as `角色：值班员；区域：310101、310104`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nicegui import ui

from console.components.since import Since
from console.words import Words
from registry.audit import Entry

_IN_CODES = frozenset({"add_account", "change_account", "change_language", "change_password", "log_in"})
"""Acts whose detail is ours. Of others it may be what somebody wrote, such as the name of a key."""
_NAMED = {"role": "frame.role", "language": "contacts.language", "disabled": "me.said.disabled"}
"""Field → where the words for its values are."""
_LISTS = frozenset({"districts", "enterprises"})
_PHRASES = {
    "sees all": "sees_all",
    "a new name": "new_name",
    "a new phone number": "new_phone",
    "password": "new_password",
    "the first administrator": "first_administrator",
    "no such login": "no_such_login",
}
_LOCKED = re.compile(r"locked for ([0-9]+) s")
_REPLAYED = re.compile(r"([0-9]+) refused messages")


def act_log(entries: Sequence[Entry], words: Words) -> None:
    """A table, in the order given."""
    with ui.element("div").classes("t-scroll"), ui.element("table").classes("t-table"):
        with ui.element("thead"), ui.element("tr"):
            for name in ("when", "who_did", "act", "subject", "detail"):
                ui.element("th")._text = words(f"me.{name}")
        with ui.element("tbody"):
            for entry in entries:
                with ui.element("tr").classes("is-refused" if entry.refused else ""):
                    with ui.element("td"):
                        Since(int(entry.at.timestamp() * 1e6), words, "full")
                    for text in (entry.who or "–", _did(entry, words), _subject(entry, words), detail(entry, words)):
                        ui.element("td")._text = text


def detail(entry: Entry, words: Words) -> str:
    """In the reader's language; a part that is not known stays as it is."""
    if entry.act not in _IN_CODES:
        return entry.detail
    return words("me.said.between").join(_part(part, words) for part in entry.detail.split("; "))


def _did(entry: Entry, words: Words) -> str:
    key = f"me.did.{entry.act}"
    did = words(key) if key in words else entry.act.replace("_", " ")
    return f"{did} ✗" if entry.refused else did


def _subject(entry: Entry, words: Words) -> str:
    counted = _REPLAYED.fullmatch(entry.subject) if entry.act == "replay" else None
    return words("me.said.refused_messages", count=counted[1]) if counted else entry.subject


def _part(part: str, words: Words) -> str:
    if part in _PHRASES:
        return words(f"me.said.{_PHRASES[part]}")
    if locked := _LOCKED.fullmatch(part):
        return words("me.said.locked", seconds=locked[1])
    field, equals, value = part.partition("=")
    if equals and field in _LISTS:
        codes = words("me.said.comma").join(value.split(",")) if value else words("me.said.none")
        return words(f"me.said.{field}", value=codes)
    key = f"{_NAMED.get(field, '')}.{value.lower()}"
    if key not in words:
        return part
    return words(key) if field == "disabled" else words(f"me.said.{field}", value=words(key))
