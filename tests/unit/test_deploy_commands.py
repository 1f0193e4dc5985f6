"""Every call of `tocsin` in the recipes is one that the command takes."""

from __future__ import annotations

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tests.recipes import commands
from tocsin.cli import app

CALLS = dict(commands())


@pytest.mark.parametrize("where", CALLS)
def test_every_command_of_a_recipe_can_be_read(where: str) -> None:
    """A word or an option that is gone would end the container at its start, again and again."""
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    word, *arguments = CALLS[where]
    if word == "--help":
        return
    command = root.get_command(root.context_class(root), word)
    assert command is not None, word
    command.make_context(word, arguments)


def test_every_part_is_in_every_recipe() -> None:
    """A part that is left out is missed when the first alarm does not come."""
    parts = {"door", "bridge", "worker", "desk", "console", "migrate"}
    for recipe in ("compose", "systemd", "kubernetes"):
        assert parts <= {words[0] for where, words in CALLS.items() if where.split()[0] == recipe}, recipe
