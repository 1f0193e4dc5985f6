"""The `tocsin` command. Each word lives in `tocsin/commands/`; a word is imported only when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from schemas.errors import TocsinError

WORDS = (
    "up", "demo", "door", "bridge", "worker", "desk", "console", "sim", "replay", "rules", "devices", "quarantine",
    "enterprises", "alarms", "accounts", "settings", "doctor", "migrate",
    "backup", "restore", "certs", "bench",
)  # fmt: skip


class _Words(TyperGroup):
    """Finds a word's module by its name, so that `tocsin alarms` does not load the engine."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(WORDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in WORDS:
            return None
        command = typer.main.get_command(import_module(f"tocsin.commands.{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Words,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Turns sensor readings into warnings that reach a person who acts.\n\nFor example: `tocsin demo`",
)


@app.callback()
def _root() -> None:
    """Turns sensor readings into warnings that reach a person who acts."""


def main() -> None:
    """Run the command; what we raise on purpose is one line on stderr and exit code 1."""
    try:
        app(prog_name="tocsin")
    except TocsinError as error:
        print(f"tocsin: {error}", file=sys.stderr)  # noqa: T201  the command's own voice
        sys.exit(1)
