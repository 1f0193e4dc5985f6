"""Decimal text to float64, correctly rounded, over bytes.

Up to 2^53 and ten to the ±22 the division or product of two exact doubles is right by itself (Clinger 1990). Up to
19 digits the product with a 128-bit power of five decides (Lemire 2021, "Number parsing at a gigabyte per second");
where it cannot, and for rarer exponents, the reader says that it is not sure, and Python's exact `float` is asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scoring.compiled import inlined

FURTHEST = 40
"""Largest decimal exponent, either sign, that is read here."""


def _powers_of_five() -> npt.NDArray[np.uint64]:
    """(2·FURTHEST + 1, 2): the upper 128 bits, high word first, of 5^q for q = -FURTHEST … FURTHEST.

    Positive powers are cut off; reciprocals are rounded up, as the proof wants them.
    """
    rows = []
    for q in range(-FURTHEST, FURTHEST + 1):
        power = 5 ** abs(q)
        up = (power << 128) >> power.bit_length()
        bits = up if q >= 0 else (1 << (power.bit_length() + 127)) // power + 1
        assert bits.bit_length() == 128
        rows.append((bits >> 64, bits & (2**64 - 1)))
    return np.array(rows, np.uint64)


_FIVES = _powers_of_five()
_TENS = np.array([10.0**i for i in range(23)])


@inlined
def _product(a: Any, b: Any) -> Any:
    """The 128 bits of a·b as (high, low)."""
    low32 = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    a1, a0, b1, b0 = a >> shift, a & low32, b >> shift, b & low32
    p00, p01, p10 = a0 * b0, a0 * b1, a1 * b0
    middle = (p00 >> shift) + (p01 & low32) + (p10 & low32)
    return a1 * b1 + (p01 >> shift) + (p10 >> shift) + (middle >> shift), a * b


@inlined
def _rounded(mantissa: Any, exponent: Any) -> Any:
    """mantissa·10^exponent as a normal float64: (sure, value)."""
    zeros = np.int64(0)
    word = mantissa
    while word >> np.uint64(63) == 0:
        word <<= np.uint64(1)
        zeros += 1
    row = exponent + FURTHEST
    high, low = _product(word, _FIVES[row, 0])
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        carry, _ = _product(word, _FIVES[row, 1])
        low += carry
        if carry > low:
            high += np.uint64(1)
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (exponent < -27 or exponent > 55):
        return False, 0.0
    upper = np.int64(high >> np.uint64(63))
    shift = np.uint64(upper + 9)
    bits = high >> shift
    power = ((217706 * exponent) >> 16) + 63 + upper - zeros + 1023
    if power <= 0 or power >= 2046:
        return False, 0.0
    halfway = low <= np.uint64(1) and -4 <= exponent <= 23 and bits & np.uint64(3) == np.uint64(1)
    if halfway and (bits << shift) == high:
        bits &= ~np.uint64(1)
    bits = (bits + (bits & np.uint64(1))) >> np.uint64(1)
    # 2^52 <= bits <= 2^53, exact in a float64; scaling by a power of two is exact too.
    return True, np.ldexp(np.float64(bits), power - 1023 - 52)


@inlined
def read_number(data: Any, at: Any, end: Any) -> Any:
    """A JSON number at `data[at]`: (sure, index behind it, value). Not sure: none, or rarer than is read here."""
    start = at
    if at < end and data[at] == 45:
        at += 1
    negative = at > start
    mantissa = np.uint64(0)
    first = at
    while at < end and 48 <= data[at] <= 57:
        mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - 48)
        at += 1
    digits = at - first
    if digits == 0 or (digits > 1 and data[first] == 48):
        return False, at, 0.0
    exponent = np.int64(0)
    if at < end and data[at] == 46:
        at += 1
        point = at
        while at < end and 48 <= data[at] <= 57:
            mantissa = mantissa * np.uint64(10) + np.uint64(data[at] - 48)
            at += 1
        exponent = point - at
        if exponent == 0:
            return False, at, 0.0
        digits -= exponent
    if digits > 19:
        return False, at, 0.0
    if at < end and (data[at] | 32) == 101:
        at += 1
        minus = at < end and data[at] == 45
        if at < end and (data[at] == 45 or data[at] == 43):
            at += 1
        point = at
        power = np.int64(0)
        while at < end and 48 <= data[at] <= 57 and at - point < 4:
            power = power * 10 + np.int64(data[at] - 48)
            at += 1
        if at == point or (at < end and 48 <= data[at] <= 57):
            return False, at, 0.0
        exponent += -power if minus else power
    if mantissa == 0:
        return True, at, 0.0
    if mantissa <= np.uint64(1 << 53) and -22 <= exponent <= 22:
        value = np.float64(mantissa)
        value = value * _TENS[exponent] if exponent >= 0 else value / _TENS[-exponent]
    else:
        if exponent < -FURTHEST or exponent > FURTHEST:
            return False, at, 0.0
        sure, value = _rounded(mantissa, exponent)
        if not sure:
            return False, at, 0.0
    return True, at, -value if negative else value
