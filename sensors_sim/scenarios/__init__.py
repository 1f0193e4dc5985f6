"""The scenarios and shops that come with Tocsin, and reading one from a file of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from schemas.errors import ConfigError
from sensors_sim.scenario import Scenario, ShopPlan, check, parse

_SHOP = "shop_"


def names() -> list[str]:
    """Names of the scenarios that `load` knows."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(f.removesuffix(".toml") for f in files if f.endswith(".toml") and not f.startswith(_SHOP))


def load(name: str) -> tuple[Scenario, ShopPlan]:
    """The scenario called `name`, or the one in the file of that path, with its shop. Raises ConfigError."""
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
    try:
        shop = parse(_own(_SHOP + scenario.shop), ShopPlan, scenario.shop)
    except FileNotFoundError as error:
        raise ConfigError(f"{name}: no shop is called {scenario.shop!r}.", field="shop") from error
    check(scenario, shop, name)
    return scenario, shop


def _own(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
