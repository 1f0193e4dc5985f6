"""docs/reference/commands.md and each `--help` say the same, with an example."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tocsin.cli import WORDS, app

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text()
SECTIONS: dict[str, str] = dict(re.findall(r"^##+ `(.+?)`\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))


def _commands() -> Iterator[tuple[str, Any]]:
    """Every word and its subwords, under the name by which it is called."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    context = root.context_class(root)
    for word in root.list_commands(context):
        command = root.get_command(context, word)
        assert command is not None
        yield f"tocsin {word}", command
        if isinstance(command, TyperGroup):
            yield from ((f"tocsin {word} {name}", one) for name, one in command.commands.items())


COMMANDS = dict(_commands())


def test_every_command_has_its_heading_and_no_heading_is_of_none() -> None:
    """A word that is not on the page is found by nobody."""
    assert set(SECTIONS) == set(COMMANDS)
    assert {f"tocsin {word}" for word in WORDS} <= set(SECTIONS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_of_its_own_word(name: str) -> None:
    """A person copies the example; one of another word would be wrong."""
    assert _example(name).startswith(name)


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if not isinstance(one, TyperGroup)])
def test_the_page_shows_the_examples_of_the_help(name: str) -> None:
    """Two examples of one word would drift apart."""
    assert _example(name) in SECTIONS[name]


@pytest.mark.parametrize("name", [name for name, one in COMMANDS.items() if not isinstance(one, TyperGroup)])
def test_every_example_can_be_read_by_its_command(name: str) -> None:
    """An example with an option that is gone is an error on its first use."""
    arguments = shlex.split(_example(name))[len(name.split()) :]
    COMMANDS[name].make_context(name, arguments, resilient_parsing=False)


def _example(name: str) -> str:
    found = re.search(r"For example: `(.+?)`", re.sub(r"\s+", " ", COMMANDS[name].help or ""))
    assert found is not None, f"{name} --help has no example"
    return found.group(1)
