"""docs/reference/settings.md says of each setting what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.main import get_command

from tocsin.commands.up import app
from tocsin.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "settings.md").read_text()
SECTIONS = {
    name: (default, argument)
    for name, default, argument in re.findall(r"^### `(\w+)`\nDefault: (\S+)(?: · argument: `(\S+)`)?$", PAGE, re.M)
}


def _written(value: object) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "none" if plain is None else "empty" if plain == "" else f"`{plain}`"


def test_every_setting_has_its_heading_and_no_heading_is_of_none() -> None:
    """A setting that is not on the page is found by nobody."""
    assert set(SECTIONS) == {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}
    assert PAGE.count("\n### ") == len(SECTIONS)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_default_on_the_page_is_the_codes(name: str) -> None:
    """A changed default changes the page with it."""
    assert SECTIONS[f"TOCSIN_{name.upper()}"][0] == _written(Settings.model_fields[name].default)


def test_arguments_named_on_the_page_are_those_of_up() -> None:
    """`tocsin up` takes what the page says and nothing that it does not say."""
    options = {option for parameter in get_command(app).params for option in parameter.opts}
    named = {argument for _, argument in SECTIONS.values() if argument}
    assert named == {option for option in options if "completion" not in option and option != "--help"}
