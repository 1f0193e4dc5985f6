"""The trades of the city, a file each."""

from __future__ import annotations

from functools import cache
from importlib import resources

from sensors_sim.scenario import parse
from sensors_sim.trade import Trade


@cache
def all_trades() -> tuple[Trade, ...]:
    """Every trade, in order of its name. Raises ConfigError when a file of ours is wrong."""
    files = sorted((f for f in resources.files(__name__).iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(parse(file.read_text("utf-8"), Trade, file.name) for file in files)
