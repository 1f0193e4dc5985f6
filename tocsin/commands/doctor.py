"""`tocsin doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from tocsin.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
_STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


@app.command()
def doctor(
    data: Annotated[Path | None, typer.Option(help="Of the Tocsin to examine. (TOCSIN_DATA, ./tocsin-data)")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Look at every part; exit code 1 if something is wrong.

    For example: `tocsin doctor --data ./tocsin-data`
    """
    from tocsin.doctor import Verdict, examine  # noqa: PLC0415  not needed for --help

    console = Console(highlight=False)
    findings = []
    for finding in examine(Settings.told(data=data)):
        findings.append(finding)
        if not json:
            verdict = f"[{_STYLES[finding.verdict]}]{finding.verdict:8}[/]"
            console.print(f"{verdict} {finding.part:12} {escape(finding.words)}", soft_wrap=True)
            if finding.mend:
                console.print(f"{'':22}{escape(finding.mend)}", style="dim", soft_wrap=True)
    if json:
        sys.stdout.write(msgspec.json.encode([asdict(finding) for finding in findings]).decode() + "\n")
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        raise typer.Exit(1)
