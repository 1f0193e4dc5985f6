"""Units that recordings come in, turned into the unit of the measure.

`convert("temperature", "degF")` gives the function from a column of °F to one of °C. A unit is what a person writes
between the brackets of `--sensor room=temperature[degF]:TC1`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np

from schemas.errors import ConfigError
from schemas.measures import BY_NAME, Measure
from schemas.readings import F64

Conversion = Callable[[F64], F64]

LEL_VOL_PERCENT = {"methane": 5.0, "propane": 2.1, "butane": 1.8, "hydrogen": 4.0}
"""Lower explosive limits in air; IEC 60079-20-1 has some a little lower, so name %LEL where the device knows."""
FEET_PER_METRE = 1 / 0.3048
CO_PPM_PER_MG_M3 = 24.055 / 28.01
"""At 20 °C and 101.3 kPa: litres a mol over grams a mol."""


def _linear(scale: float, offset: float = 0.0) -> Conversion:
    def convert(x: F64) -> F64:
        return x * scale + offset

    return convert


_TEMPERATURE = {
    "Cel": _linear(1.0), "degC": _linear(1.0), "C": _linear(1.0), "°C": _linear(1.0),
    "degF": _linear(5 / 9, -160 / 9), "F": _linear(5 / 9, -160 / 9), "°F": _linear(5 / 9, -160 / 9),
    "K": _linear(1.0, -273.15),
}  # fmt: skip
_GAS = {"%LEL": _linear(1.0)} | {
    f"{unit} {gas}": _linear(scale * 100.0 / lel)
    for gas, lel in LEL_VOL_PERCENT.items()
    for unit, scale in (("vol%", 1.0), ("ppm", 1e-4))
}
_PARTS = {"ppm": _linear(1.0), "%": _linear(1e4), "vol%": _linear(1e4), "ppb": _linear(1e-3)}

UNITS: dict[str, dict[str, Conversion]] = {
    "smoke": {
        "%/m": _linear(1.0),
        "OD/m": lambda x: 100.0 * (1.0 - np.power(10.0, -x)),
        "dB/m": lambda x: 100.0 * (1.0 - np.power(10.0, -x / 10.0)),
        "%/ft": lambda x: 100.0 * (1.0 - np.power(np.maximum(1.0 - x / 100.0, 0.0), FEET_PER_METRE)),
        "1/m": lambda x: 100.0 * (1.0 - np.exp(-x)),
    },
    "temperature": _TEMPERATURE,
    "conductor_temperature": _TEMPERATURE,
    "gas": _GAS,
    "co": _PARTS | {"mg/m3": _linear(CO_PPM_PER_MG_M3)},
    "co2": _PARTS,
    "oxygen": {"%vol": _linear(1.0), "%": _linear(1.0), "vol%": _linear(1.0), "ppm": _linear(1e-4)},
    "current": {"A": _linear(1.0), "mA": _linear(1e-3), "kA": _linear(1e3)},
    "residual_current": {"mA": _linear(1.0), "A": _linear(1e3), "uA": _linear(1e-3)},
    "voltage": {"V": _linear(1.0), "mV": _linear(1e-3), "kV": _linear(1e3)},
    "power": {"W": _linear(1.0), "kW": _linear(1e3), "MW": _linear(1e6)},
    "humidity": {"%RH": _linear(1.0), "%": _linear(1.0)},
    "light": {"lx": _linear(1.0), "klx": _linear(1e3)},
    "battery": {"%EL": _linear(1.0), "%": _linear(1.0)},
    "pressure": {
        "kPa": _linear(1.0), "Pa": _linear(1e-3), "MPa": _linear(1e3), "bar": _linear(100.0),
        "mbar": _linear(0.1), "psi": _linear(6.894757293168),
    },
    "water_level": {"m": _linear(1.0), "cm": _linear(0.01), "mm": _linear(0.001), "ft": _linear(0.3048)},
    "flow": {"L/s": _linear(1.0), "L/min": _linear(1 / 60), "m3/h": _linear(1 / 3.6)},
    "frequency": {"Hz": _linear(1.0), "kHz": _linear(1e3)},
}  # fmt: skip


def measure_named(name: str) -> Measure:
    """Raises ConfigError naming the nearest measure when there is none of this name."""
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, 1)
        raise ConfigError(
            f"`{name}` is no measure.",
            field="--sensor",
            mend=f"Did you mean `{near[0]}`?" if near else f"One of: {', '.join(BY_NAME)}.",
        )
    return BY_NAME[name]


def convert(measure: Measure, unit: str) -> Conversion:
    """The function from a column in `unit` to the measure's own unit; an empty `unit` is that unit.

    `value` takes any unit and leaves the numbers alone. Raises ConfigError with the units that are known.
    """
    known = UNITS.get(measure.name, {})
    if not unit or measure.name == "value" or unit == measure.unit:
        return _linear(1.0)
    if unit not in known:
        what = f"`{unit}` is no unit of `{measure.name}`."
        mend = f"Known: {', '.join(known)}." if known else f"Leave it out: it is {measure.unit}."
        raise ConfigError(what, field="--sensor", mend=mend)
    return known[unit]
