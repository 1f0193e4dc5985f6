"""The scenarios that come with Tocsin, and reading one from a file of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from schemas.errors import ConfigError
from sensors_sim.scenario import Scenario, check, parse
from sensors_sim.trade import Trade
from sensors_sim.trades import all_trades

_SHOP = "shop_"


def names() -> list[str]:
    """Names of the scenarios that `load` knows."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(f.removesuffix(".toml") for f in files if f.endswith(".toml") and not f.startswith(_SHOP))


def load(name: str) -> tuple[Scenario, tuple[Trade, ...]]:
    """The scenario called `name`, or the one in the file of that path, with its trades. Raises ConfigError."""
    if name in names():
        text = _own(name)
    elif name.endswith(".toml"):
        try:
            text = Path(name).read_text("utf-8")
        except OSError as error:
            raise ConfigError(f"the scenario {name} cannot be read: {error}.") from error
    else:
        raise ConfigError(f"no scenario is called {name!r}.", mend=f"There are: {', '.join(names())}.")
    scenario = parse(text, Scenario, name)
    trades = (_shop(name, scenario.shop),) if scenario.shop else all_trades()
    check(scenario, trades, name)
    return scenario, trades


def _shop(scenario: str, shop: str) -> Trade:
    try:
        return parse(_own(_SHOP + shop), Trade, shop)
    except FileNotFoundError as error:
        raise ConfigError(f"{scenario}: no shop is called {shop!r}.", field="shop") from error


def _own(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
