"""A telemetry payload read the slow, obvious way: exact words for what is wrong, and nothing lost of what is right.

The compiled reader (`tocsin_json`) leaves to this one whatever it is not sure of, and where both answer they agree.
Numbers stay text here, so that nothing is rounded before admission has seen it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from schemas.errors import Reject
from schemas.rejects import Code


class Number(str):
    """A JSON number as it was written; also `NaN`, `Infinity` and `-Infinity`, which are none."""

    __slots__ = ()


Pairs: TypeAlias = list[tuple[str, Any]]
"""An object: its keys and values in order, duplicates and all."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a payload holds: objects in order, None where an item of an array is not one."""

    objects: list[Pairs | None]
    is_array: bool


class _Object(list[tuple[str, Any]]):
    """Tells an object's pairs from an array."""


_decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_float=Number, parse_int=Number, parse_constant=Number)


def read_payload(payload: bytes) -> Payload | Reject:
    """The objects of a telemetry payload, or why there are none. Never raises."""
    if not payload.strip(b" \t\r\n"):
        return Reject(Code.EMPTY, "", "The payload is empty.", 'Send a JSON object such as {"smoke": 0.4}.')
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        reason = f"The payload is not UTF-8 at byte {error.start}."
        return Reject(Code.UTF8, "", reason, "Encode the JSON as UTF-8.")
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        reason = f"The payload is not JSON at character {error.pos}: {_words(error.msg)}."
        return Reject(Code.NOT_JSON, "", reason, "Send a JSON object or an array of objects.")
    except RecursionError:
        reason = "The payload is nested too deep."
        return Reject(Code.NESTED, "", reason, "Send a flat object of measures and numbers.")
    if isinstance(value, _Object):
        return Payload([list(value)], False)
    if isinstance(value, list):
        return Payload([list(item) if isinstance(item, _Object) else None for item in value], True)
    reason = f"The payload is {kind_of(value)}, not an object."
    return Reject(Code.NOT_OBJECT, "", reason, "Send a JSON object or an array of objects.")


def kind_of(value: Any) -> str:
    """What a JSON value is, with its article."""
    if isinstance(value, Number):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, _Object):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else "a boolean"


def _words(message: str) -> str:
    """The parser's message as the middle of a sentence; it never quotes the payload."""
    return message[:1].lower() + message[1:].removesuffix(" at").removesuffix(":")
