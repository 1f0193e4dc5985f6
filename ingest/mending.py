"""A refused payload as a person says it was meant: keys left out, multiplied, renamed. Pure; what is kept stays."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from ingest.codecs.plain_json import Number, Pairs, read_payload
from schemas.errors import ConfigError, Reject
from schemas.identity import CHANNEL
from schemas.measures import BY_NAME
from schemas.payloads import Mend
from schemas.rejects import Code

MOST_KEYS = 64
"""Keys that one mend may name."""


def check_mend(mend: Mend) -> Mend:
    """The mend itself. Raises ConfigError, naming the field, when it can never help."""
    if len(mend.rename) + len(mend.factor) + len(mend.leave_out) > MOST_KEYS:
        raise ConfigError(f"it names more than {MOST_KEYS} keys.", field="mend")
    for wanted in mend.rename.values():
        name, dot, channel = wanted.partition(".")
        if name not in BY_NAME or (dot and not CHANNEL.match(channel)):
            mend_words = "Use a measure's name, such as temperature or current.L1."
            raise ConfigError(f"{wanted!r} is no measure.", field="rename", mend=mend_words)
    for factor in mend.factor.values():
        if not math.isfinite(factor) or factor == 0:
            raise ConfigError("it is not a number that a value can be multiplied by.", field="factor")
    return mend


def mended(payload: bytes, mend: Mend) -> bytes:
    """The payload as it was meant; as it is, where it cannot be read at all."""
    content = read_payload(payload) if mend else None
    if content is None or isinstance(content, Reject):
        return payload
    items = ["null" if pairs is None else _object(pairs, mend) for pairs in content.objects]
    return (f"[{', '.join(items)}]" if content.is_array else items[0]).encode(errors="replace")


def suggestion(rejects: Sequence[Reject]) -> Mend:
    """What would likely do for these rejects: a name that is nearly a measure's, numbers in quotes."""
    rename: dict[str, str] = {}
    for reject in rejects:
        if reject.code == Code.UNKNOWN_MEASURE:
            key = reject.field.rpartition("].")[2]
            name, dot, channel = key.partition(".")
            near = get_close_matches(name.lower(), BY_NAME, 1, 0.75)
            if near:
                rename[key] = f"{near[0]}{dot}{channel}"
    return Mend(rename, numbers_in_text=any(reject.code == Code.TEXT for reject in rejects))


def _object(pairs: Pairs, mend: Mend) -> str:
    out = []
    for key, value in pairs:
        if key in mend.leave_out:
            continue
        meant = value
        if mend.numbers_in_text and key != "ts" and isinstance(meant, str) and not isinstance(meant, Number):
            meant = _number_in(meant)
        if key in mend.factor and isinstance(meant, Number):
            meant = _times(meant, mend.factor[key])
        out.append(f"{json.dumps(mend.rename.get(key, key))}: {_text(meant)}")
    return "{" + ", ".join(out) + "}"


def _number_in(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return Number(repr(number)) if math.isfinite(number) else text


def _times(number: Number, factor: float) -> Number:
    product = float(number) * factor
    return Number(repr(product)) if math.isfinite(product) else number


def _text(value: Any) -> str:
    """A value of `plain_json` as JSON again; a number as it was written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) for item in value):
            return "{" + ", ".join(f"{json.dumps(key)}: {_text(item)}" for key, item in value) + "}"
        return f"[{', '.join(_text(item) for item in value)}]"
    return json.dumps(value)
