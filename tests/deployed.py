"""The recipes of deploy/ on this machine, without Docker: the committed files, with paths and ports of a test."""

from __future__ import annotations

import os
import runpy
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.recipes import DEPLOY
from tests.waiting import until
from tocsin.local.mosquitto import free_port
from tocsin.postgres import EmbeddedPostgres
from tocsin.postgres_machine import binaries

SETUP: dict[str, Any] = runpy.run_path(str(DEPLOY / "make_secrets.py"))
"""What `docker compose run --rm setup` runs."""


def make_secrets(folder: Path) -> Path:
    """Every secret of compose, in a new folder."""
    folder.mkdir()
    SETUP["make_missing"](folder, ["localhost"])
    return folder


@contextmanager
def postgres_of_the_recipe(folder: Path, secrets: Path) -> Iterator[dict[str, str]]:
    """A server on which 10-roles.sh has run as the image runs it. By role (postgres, tocsin, tocsin_app): a dsn."""
    with EmbeddedPostgres(folder, settings={"shared_buffers": "64MB"}) as server:
        # The embedded server's superuser has the name that the owner has in the recipe: it makes way.
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE postgres SUPERUSER LOGIN")
        admin = make_conninfo(server.dsn("postgres"), user="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("ALTER ROLE tocsin RENAME TO embedded")
            connection.execute("DROP DATABASE tocsin")
        script = (DEPLOY / "postgres" / "10-roles.sh").read_text()
        script = _here(script, {"/run/secrets": secrets, "/etc/tocsin": DEPLOY / "postgres"})
        path = f"{binaries()}:{os.environ['PATH']}"
        where = str(conninfo_to_dict(admin)["host"])
        environment = {**os.environ, "PATH": path, "PGHOST": where, "POSTGRES_USER": "postgres"}
        subprocess.run(["sh", "-c", script], check=True, env=environment, capture_output=True)
        yield {role: make_conninfo(admin, user=role, dbname="tocsin") for role in ("postgres", "tocsin", "tocsin_app")}


@contextmanager
def mosquitto_of_the_recipe(folder: Path, secrets: Path) -> Iterator[int]:
    """A Mosquitto by the committed configuration; its port. Skips, or fails, where there is none."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
        say("Mosquitto is missing. On Debian: apt install mosquitto")
    folder.mkdir()
    port = free_port()
    config = _here(
        (DEPLOY / "mosquitto" / "mosquitto.conf").read_text(),
        {
            "listener 8883": f"listener {port} 127.0.0.1",
            "/run/secrets": secrets,
            "/mosquitto/config": DEPLOY / "mosquitto",
            "/mosquitto/data": folder,
        },
    )
    # Root's Mosquitto would become another user, who cannot read a test's folder.
    (folder / "mosquitto.conf").write_text(config + ("user root\n" if os.geteuid() == 0 else ""))
    process = subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")])

    def is_up() -> bool:
        assert process.poll() is None, "Mosquitto does not take its configuration"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(is_up, "Mosquitto listens")
        yield port
    finally:
        process.terminate()
        process.wait()


def _here(text: str, places: dict[str, Any]) -> str:
    """Names of the container as names of this machine; each must be in the text."""
    for there, here in places.items():
        assert there in text
        text = text.replace(there, str(here))
    return text
