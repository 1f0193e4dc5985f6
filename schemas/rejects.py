"""Why a message or a field of it was refused: a closed set, fit for a metric's label, the same in every answer.

The `TS_*` codes refuse nothing: the readings were admitted as of their arrival, and the device is told how to
mend its clock.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    EMPTY = "empty"
    UTF8 = "utf8"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    NESTED = "nested"
    NOT_FINITE = "not_finite"
    TOO_LARGE = "too_large"
    TEXT = "text"
    """A number written as text."""
    TYPE = "type"
    """Neither a number nor, for a flag, a boolean."""
    FLAG = "flag"
    UNKNOWN_MEASURE = "unknown_measure"
    CHANNEL = "channel"
    DUPLICATE = "duplicate"
    PHYSICAL = "physical"
    """Outside what anything real can be."""
    STATUS = "status"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    TOPIC = "topic"
    TOO_MANY_SENSORS = "too_many_sensors"
    MORE = "more"
    """Further fields were refused than are named."""
    TS_UNREADABLE = "ts_unreadable"
    TS_UNIT = "ts_unit"
    TS_BEFORE_2000 = "ts_before_2000"
    TS_AHEAD = "ts_ahead"
    TS_MISSING = "ts_missing"
    """Several readings of one sensor in an array without their times."""


CLOCK_CODES = frozenset(code for code in Code if code.name.startswith("TS_"))
"""What is answered and refuses nothing."""
