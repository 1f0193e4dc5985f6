"""Shapes are known before the first thread asks: two threads that use one first at the same time end the process."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "scoring", "streams", "alerting", "registry", "database", "ingest", "tocsin", "console")
HERE = "schemas/toml_decoder.py"
RACE = """
import sys, threading
from scoring.risk_table import risk_table
sys.setswitchinterval(1e-6)
together = threading.Barrier(4)
def ask():
    together.wait()
    risk_table()
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_shapes_are_given_to_decoders_and_not_to_calls() -> None:
    """A call builds what it knows of its shape when it comes, in whichever thread it comes."""
    found = []
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
                    shaped = any(word.arg == "type" for word in node.keywords)
                    found += [f"{file.relative_to(ROOT)}:{node.lineno}"] * shaped
    assert [place for place in found if not place.startswith(HERE)] == []


CALLS = {f"msgspec.{form}.decode" for form in ("json", "msgpack", "toml", "yaml")} | {"msgspec.convert"}


def test_four_workers_partitions_read_the_table_of_risks_at_once() -> None:
    """As a worker's do when it starts; each try is its own process, for only the first use counts."""
    for _ in range(3):
        subprocess.run([sys.executable, "-c", RACE], check=True, cwd=ROOT)
