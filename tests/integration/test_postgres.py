"""PostgreSQL of our own: started, adopted, killed, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from schemas.errors import ConfigError
from tocsin.postgres import EmbeddedPostgres, cluster_in, dsn_of_running

pytestmark = pytest.mark.integration
SMALL = {"shared_buffers": "16MB"}


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        yield Path(folder)


def setting(dsn: str, name: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_it_starts_stops_and_starts_again_with_what_it_held(data: Path) -> None:
    """And a PUBACK's ground is firm: flushes are on; and nobody reaches it by TCP."""
    assert dsn_of_running(data) is None
    with EmbeddedPostgres(cluster_in(data), settings=SMALL) as server:
        assert dsn_of_running(data) == server.dsn()
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert setting(server.dsn(), name) == "on"
        assert setting(server.dsn(), "listen_addresses") == ""
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert dsn_of_running(data) is None
    begun = time.monotonic()
    with EmbeddedPostgres(cluster_in(data), settings=SMALL) as server, psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    assert time.monotonic() - begun < 30.0


def test_only_its_owner_can_reach_the_socket(data: Path) -> None:
    """It trusts whoever can connect."""
    with EmbeddedPostgres(cluster_in(data), settings=SMALL):
        assert cluster_in(data).stat().st_mode & 0o077 == 0


def test_a_server_left_by_a_kill_is_adopted(data: Path) -> None:
    """`kill -9` of Tocsin must not cost a crash recovery, nor a second server on the same files."""
    code = (
        "import sys, os, signal; from pathlib import Path; from tocsin.postgres import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1]), settings={'shared_buffers': '16MB'}); server.start();"
        "print(server.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(cluster_in(data))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    with EmbeddedPostgres(cluster_in(data), settings=SMALL) as server:
        assert server.pid == int(done.stdout)
    assert dsn_of_running(data) is None


def test_a_file_of_a_killed_server_does_not_keep_the_next_from_starting(data: Path) -> None:
    """Its process number is another process's by now."""
    with EmbeddedPostgres(cluster_in(data), settings=SMALL):
        left = (cluster_in(data) / "postmaster.pid").read_text()
    (cluster_in(data) / "postmaster.pid").write_text(left.replace(left.split("\n")[0], str(os.getpid()), 1))
    with EmbeddedPostgres(cluster_in(data), settings=SMALL) as server:
        assert server.pid != os.getpid()


def test_a_long_path_gets_a_short_socket(data: Path) -> None:
    """A unix socket's path has 107 bytes."""
    long = data / ("d" * 60) / ("e" * 60) / "postgres"
    with EmbeddedPostgres(long, settings=SMALL) as server:
        assert setting(server.dsn(), "fsync") == "on"
        assert dsn_of_running(long.parent) == server.dsn()


def test_a_stop_while_it_comes_up_again_leaves_nothing_running(data: Path) -> None:
    """Ctrl-C may come at any moment after a crash of the server."""
    for _ in range(3):
        server = EmbeddedPostgres(cluster_in(data), settings=SMALL)
        server.start()
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        assert dsn_of_running(data) is None
        with EmbeddedPostgres(cluster_in(data), settings=SMALL):
            pass


def test_a_folder_that_is_something_else_is_refused(data: Path) -> None:
    """Nothing of the user's is overwritten."""
    cluster_in(data).mkdir()
    (cluster_in(data) / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="neither empty"):
        EmbeddedPostgres(cluster_in(data)).start()


def test_a_stop_is_quick_with_sessions_open(data: Path) -> None:
    """Ctrl-C stops all within 5 s."""
    server = EmbeddedPostgres(cluster_in(data), settings=SMALL)
    server.start()
    session = psycopg.connect(server.dsn(), autocommit=True)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 5.0
    session.close()
