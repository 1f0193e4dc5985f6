"""What is admitted of a message, what is refused, and the words that tell the device how to mend it. Pure.

The rule of every line: good fields go on when others are refused, and no good value is refused for its clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from ingest.codecs.plain_json import Number, Pairs, kind_of, read_payload
from ingest.codecs.times import YEAR_2000_US, microseconds_of_number, microseconds_of_text
from schemas.errors import Reject
from schemas.identity import CHANNEL
from schemas.measures import BY_NAME, Measure
from schemas.readings import Origin, Quality
from schemas.rejects import CLOCK_CODES, Code
from schemas.topics import STATUS_WORDS

AHEAD_US = 300_000_000
"""How far a device's clock may run ahead of the arrival."""
MOST_REJECTS = 20
"""Fields that an answer names; of the rest it says how many."""
LONGEST_FIELD = 64
"""Characters of a key that an answer repeats."""


class Named(NamedTuple):
    """One admitted reading, by the key in the payload."""

    key: str
    measure: Measure
    channel: str
    event_us: int
    value: float
    quality: Quality
    origin: Origin


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one message gives."""

    readings: list[Named]
    rejects: tuple[Reject, ...]


def admit_telemetry(payload: bytes, arrival_us: int) -> Outcome:
    """Readings and rejects of one telemetry message; never raises.

    event_us is the object's `ts`, or `arrival_us` where there is none or it cannot be used. -0.0 is admitted as 0.0.
    Of an array every reading is a replay; which is its sensor's last is for the caller, who knows the sensors.
    """
    content = read_payload(payload)
    if isinstance(content, Reject):
        return Outcome([], (content,))
    readings: list[Named] = []
    rejects: list[Reject] = []
    origin = Origin.REPLAY if content.is_array else Origin.LIVE
    timeless: set[str] = set()
    collides = False
    if not content.objects:
        rejects.append(_holds_nothing(""))
    for index, pairs in enumerate(content.objects):
        where = f"[{index}]" if content.is_array else ""
        if pairs is None:
            reason = "This item of the array is not an object."
            rejects.append(Reject(Code.NOT_OBJECT, where, reason, "Send an array of objects."))
            continue
        before = len(readings)
        _admit_object(pairs, f"{where}." if where else "", arrival_us, origin, readings, rejects)
        if all(key != "ts" for key, _ in pairs):
            keys = {reading.key for reading in readings[before:]}
            collides = collides or not timeless.isdisjoint(keys)
            timeless |= keys
    if collides:
        reason = "Several readings of one sensor have no time of their own; only the first of them counts."
        rejects.append(Reject(Code.TS_MISSING, "ts", reason, "Give each object of an array its ts."))
    return Outcome(readings, _at_most(rejects))


def admit_status(payload: bytes, arrival_us: int) -> Outcome:
    """The reading `online` of a status message: 1 for `online`, 0 for `offline`."""
    value = STATUS_WORDS.get(payload)
    if value is None:
        reason = "A status is one of the words online and offline."
        return Outcome([], (Reject(Code.STATUS, "", reason, "Send the word alone, without quotes."),))
    reading = Named("online", BY_NAME["online"], "", arrival_us, value, Quality.GOOD, Origin.LIVE)
    return Outcome([reading], ())


def measure_of(key: str) -> tuple[Measure, str] | Code:
    """The measure and the channel that a key names, or what is wrong with it."""
    name, dot, channel = key.partition(".")
    measure = BY_NAME.get(name)
    if measure is None:
        return Code.UNKNOWN_MEASURE
    if dot and not CHANNEL.match(channel):
        return Code.CHANNEL
    return measure, channel


def event_time(ts: Any, arrival_us: int) -> int | Reject:
    """The µs that a `ts` means, or why it cannot be used. ts: a value of `plain_json`."""
    us: int | None = None
    if isinstance(ts, Number):
        us = microseconds_of_number(ts) if ts[-1].isdigit() else None
    elif isinstance(ts, str):
        us = microseconds_of_text(ts)
    latest_us = arrival_us + AHEAD_US
    if us is not None and YEAR_2000_US <= us <= latest_us:
        return us
    if us is None and not (isinstance(ts, Number) and ts[-1].isdigit()):
        reason = "The time cannot be read; the readings count as of their arrival."
        mend = "Send ts as milliseconds since 1970 or as RFC 3339, such as 2026-01-31T12:00:00Z."
        return Reject(Code.TS_UNREADABLE, "ts", reason, mend)
    if us is not None and isinstance(ts, Number):
        # In milliseconds the number makes no sense: perhaps it does in seconds, microseconds or nanoseconds.
        for unit, mend, as_us in (
            ("seconds", "Multiply it by 1,000.", us * 1000),
            ("microseconds", "Divide it by 1,000.", us // 1000),
            ("nanoseconds", "Divide it by 1,000,000.", us // 1_000_000),
        ):
            if YEAR_2000_US <= as_us <= latest_us:
                reason = f"The time looks like {unit}; the readings count as of their arrival."
                return Reject(Code.TS_UNIT, "ts", reason, f"Send milliseconds since 1970. {mend}")
    if (us is not None and us < YEAR_2000_US) or str(ts).startswith("-"):
        reason = "The time is before the year 2000; the readings count as of their arrival."
        return Reject(Code.TS_BEFORE_2000, "ts", reason, "Set the device's clock, or leave ts out.")
    reason = "The time is more than 300 s ahead of ours; the readings count as of their arrival."
    return Reject(Code.TS_AHEAD, "ts", reason, "Set the device's clock and its time zone, or leave ts out.")


def _admit_object(
    pairs: Pairs, where: str, arrival_us: int, origin: Origin, readings: list[Named], rejects: list[Reject]
) -> None:
    """Add an object's readings and rejects; where: the prefix of its fields' names."""
    counts: dict[str, int] = {}
    for key, _ in pairs:
        counts[key] = counts.get(key, 0) + 1
    event_us, quality = arrival_us, None
    ts = next((value for key, value in pairs if key == "ts"), None) if "ts" in counts else None
    if "ts" in counts:
        at = _twice(f"{where}ts") if counts["ts"] > 1 else event_time(ts, arrival_us)
        if isinstance(at, Reject):
            quality = Quality.CLOCK
            code = Code.TS_UNREADABLE if at.code == Code.DUPLICATE else at.code
            rejects.append(Reject(code, f"{where}ts", at.reason, at.mend))
        else:
            event_us = at
    told: set[str] = set()
    if not counts.keys() - {"ts"}:
        rejects.append(_holds_nothing(where.rstrip(".")))
    for key, value in pairs:
        if key == "ts":
            continue
        field = where + _shown(key)
        if counts[key] > 1:
            if key not in told:
                told.add(key)
                rejects.append(_twice(field))
            continue
        admitted = _admit_field(key, field, value)
        if isinstance(admitted, Reject):
            rejects.append(admitted)
            continue
        measure, channel, number = admitted
        low, high = measure.instrument
        in_range = Quality.GOOD if low <= number <= high else Quality.OUT_OF_RANGE
        readings.append(Named(key, measure, channel, event_us, number, quality or in_range, origin))


def _admit_field(key: str, field: str, value: Any) -> tuple[Measure, str, float] | Reject:
    named = measure_of(key)
    if named is Code.UNKNOWN_MEASURE:
        mend = "Use a measure's name, such as smoke, temperature or current.L1; value takes any number."
        return Reject(Code.UNKNOWN_MEASURE, field, "There is no measure of this name.", mend)
    if isinstance(named, Code):
        reason = "A channel has 1 to 16 letters, digits, _ or -."
        return Reject(Code.CHANNEL, field, reason, "Shorten or rename what follows the dot.")
    measure, channel = named
    if isinstance(value, bool) and measure.flag:
        return measure, channel, float(value)
    if not isinstance(value, Number):
        return _not_a_number(field, measure, value)
    if not value[-1].isdigit():
        reason = "NaN and Infinity are not numbers in JSON."
        return Reject(Code.NOT_FINITE, field, reason, "Leave the field out when there is no reading.")
    number = float(value) + 0.0
    if math.isinf(number):
        reason = "The number is larger than a 64-bit float holds."
        return Reject(Code.TOO_LARGE, field, reason, "Send the value in the measure's unit.")
    if measure.flag and number not in (0.0, 1.0):
        return Reject(Code.FLAG, field, "A flag is 0, 1, true or false.", "Send one of these.")
    low, high = measure.physical
    if not low <= number <= high:
        reason = f"No {measure.name} lies outside {low:g} to {high:g} {measure.unit}."
        return Reject(Code.PHYSICAL, field, reason, f"Send the value in {measure.unit}.")
    return measure, channel, number


def _not_a_number(field: str, measure: Measure, value: Any) -> Reject:
    if isinstance(value, str):
        return Reject(Code.TEXT, field, "The value is text, not a number.", "Send the number without quotes.")
    wanted = "a number or a boolean" if measure.flag else "a number"
    mend = "Leave the field out when there is no reading." if value is None else f"Send {wanted}."
    return Reject(Code.TYPE, field, f"The value is {kind_of(value)}, not {wanted}.", mend)


def _holds_nothing(field: str) -> Reject:
    return Reject(Code.EMPTY, field, "There is no reading in it.", 'Send a measure, such as {"smoke": 0.4}.')


def _twice(field: str) -> Reject:
    return Reject(Code.DUPLICATE, field, "The key stands more than once.", "Send each key once in an object.")


def _shown(key: str) -> str:
    """A key as an answer may repeat it: short, and printable, so that it can be encoded, stored and read."""
    short = key[:LONGEST_FIELD]
    return short if short.isprintable() else "".join(char if char.isprintable() else "�" for char in short)


def _at_most(rejects: list[Reject]) -> tuple[Reject, ...]:
    """The first rejects, what refuses before what only answers, and how many are not named."""
    if len(rejects) <= MOST_REJECTS:
        return tuple(rejects)
    ordered = sorted(rejects, key=lambda reject: reject.code in CLOCK_CODES)
    code = ordered[MOST_REJECTS].code if ordered[MOST_REJECTS].code in CLOCK_CODES else Code.MORE
    rest = Reject(code, "", f"{len(rejects) - MOST_REJECTS} more are not named here.", "Mend these first.")
    return (*ordered[:MOST_REJECTS], rest)
