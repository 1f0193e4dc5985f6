"""The data directory of one process: who runs in it, where it answers, and the token that opens its API."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from schemas.errors import ConfigError


class Running(msgspec.Struct, frozen=True):
    """What a running process writes down for the commands beside it."""

    pid: int
    mqtt_port: int
    http_port: int
    console_port: int = 0
    """Of the web console, 0 where there is none."""


_running = msgspec.json.Decoder(Running)


@dataclass
class DataDirectory:
    """Take it with `claim()`; a second process is refused until `release()` or the holder's death."""

    path: Path
    _lock: IO[str] | None = field(default=None, repr=False)

    def claim(self) -> None:
        """Raises ConfigError when another process runs here, or the directory cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # 0711: the embedded server's own user must reach its folder below when we are root; nothing here is listed.
            self.path.chmod(0o711)
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be written: {error.strerror}", field="--data", mend="Name a directory of yours."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise ConfigError(
                f"another Tocsin (process {holder}) runs in {self.path}",
                field="--data",
                mend="Stop it, or name another directory with --data.",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        (self.path / "running.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def announce(self, running: Running) -> None:
        (self.path / "running.json").write_bytes(msgspec.json.encode(running))

    def running(self) -> Running | None:
        """What the process here has announced; None when there is none."""
        try:
            return _running.decode((self.path / "running.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def token(self) -> str:
        """The API's bearer token: 256 random bits, made once, readable by its owner only."""
        file = self.path / "token"
        try:
            return file.read_text().strip()
        except FileNotFoundError:
            made = secrets.token_urlsafe(32)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as out:
                out.write(made + "\n")
            return made

    def keep_first_login(self, link: str) -> Path:
        """The link by which the first administrator comes in, for who may read this directory; where it stands."""
        file = self.path / "first-login"
        file.unlink(missing_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            out.write(link + "\n")
        return file
