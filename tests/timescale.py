"""A PostgreSQL with TimescaleDB for the tests: Debian's, in a chroot of its own, or the one of TOCSIN_TEST_TIMESCALE.

The chroot is made once, in about a minute and half a gigabyte, and kept in ~/.cache/tocsin; each session makes a fresh
server in it. That needs root and mmdebstrap. Debian's is the Apache edition; name another server to test the full one.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from schemas.errors import ConfigError
from tests.waiting import until
from tocsin.local.mosquitto import free_port
from tocsin.migrate import migrate

_SUITE = "trixie"
_MAJOR = 17
_PROGRAMS = f"/usr/lib/postgresql/{_MAJOR}/bin"
_SETTINGS = {
    "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off", "timezone": "UTC", "fsync": "off", "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
}  # fmt: skip


class Timescale:
    """`start`, any number of `database`s, `stop`."""

    def __init__(self, existing: str = "") -> None:
        """existing: DSN of a server of yours, by a role that may make databases and extensions."""
        self._admin = existing
        self._root: Path | None = None
        self._data: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._run = secrets.token_hex(3)
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Raises ConfigError when there can be none on this machine."""
        if self._admin:
            return
        self._root = _chroot()
        self._data = "/var/tmp/tocsin-" + self._run
        _run_in(self._root, f"{_PROGRAMS}/initdb", "-D", self._data, "-U", "tocsin", "-A", "trust", "-E", "UTF8", "-N")
        port = free_port()
        options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        log = self._root / f"{self._data[1:]}/log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*_into(self._root), f"{_PROGRAMS}/postgres", "-D", self._data, "-p", str(port), *options],
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._admin = f"host=127.0.0.1 port={port} user=tocsin dbname=postgres"
        until(self._answers, f"TimescaleDB answers; see {log}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._root is not None and self._data is not None:
            shutil.rmtree(self._root / self._data[1:], ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The DSN of a fresh database with the extension and every migration."""
        name = f"tocsin_{self._run}_{next(self._numbers)}"
        dsn = make_conninfo(self._admin, dbname=name)
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            migrate(dsn)
            yield dsn
        finally:
            with psycopg.connect(self._admin, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None
        with suppress(psycopg.OperationalError), psycopg.connect(self._admin, connect_timeout=2):
            return True
        return False


def _chroot() -> Path:
    """Debian with PostgreSQL and TimescaleDB, made once; two who make it at once both succeed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tocsin"
    root = cache / f"timescale-{_SUITE}-{_MAJOR}"
    if root.exists():
        return root
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise ConfigError(
            "a TimescaleDB for the tests needs root and mmdebstrap.",
            field="TOCSIN_TEST_TIMESCALE",
            mend="As root: apt-get install mmdebstrap; or name a server of yours.",
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="timescale-", dir=cache, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "root"
        command = [
            "mmdebstrap", "--mode=root", "--variant=essential", "--dpkgopt=path-exclude=/usr/share/doc/*",
            f"--include=postgresql-{_MAJOR},postgresql-{_MAJOR}-timescaledb", _SUITE, str(made), *_mirror(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"mmdebstrap failed: {done.stderr[-2000:]}", mend="Name a server: TOCSIN_TEST_TIMESCALE.")
        # The folder is private while it is made; the server in it runs as another user.
        made.chmod(0o755)
        with suppress(OSError):
            made.rename(root)
    return root


def _mirror() -> list[str]:
    """Where this machine has its packages from, when it is a Debian and says so."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True, check=False
    )
    return [uri for uri in told.stdout.split() if uri.rstrip("/").endswith("/debian")][:1]


def _into(root: Path) -> list[str]:
    return ["chroot", "--userspec=postgres:postgres", str(root)]


def _run_in(root: Path, *command: str) -> None:
    done = subprocess.run([*_into(root), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"{command[0]} failed: {done.stderr[-2000:]}")
