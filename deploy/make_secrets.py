#!/usr/bin/env python3
"""The secrets of docker-compose.yml, one a file: passwords, the API's token, certificates, logins of Mosquitto.

    docker compose run --rm setup                           makes what is missing, and changes nothing that is there
    docker compose run --rm setup --login shop-1/kitchen    a login of a device at Mosquitto; its password, once

As root it hands each file to the user of the container that reads it; nobody else can.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.errors import ConfigError, TocsinError
from tocsin.certs import issue

TOCSIN, MOSQUITTO, POSTGRES, PROMETHEUS, GRAFANA = 10001, 1883, 70, 65534, 472
"""Users inside the images."""
_BRIDGE = "tocsin-bridge"
_YEAR = timedelta(days=365)
_ROUNDS = 101
"""Of PBKDF2, as mosquitto_passwd makes them: it hashes at every connect, and our passwords are long and random."""


def make_missing(folder: Path, server_names: list[str]) -> list[str]:
    """Every secret that is not there yet; returns the names of those made."""
    before = {file.name for file in folder.iterdir()}
    passwords = {name: _kept(folder, f"{name}_password", POSTGRES) for name in ("postgres", "owner", "app")}
    for name, role in (("owner", "tocsin"), ("app", "tocsin_app")):
        _put(folder, f"{name}_dsn", f"postgresql://{role}:{passwords[name]}@postgres:5432/tocsin", TOCSIN)
    token = _kept(folder, "token", TOCSIN)
    _put(folder, "prometheus_token", token, PROMETHEUS)
    _kept(folder, "webhook_secret", TOCSIN)
    # The carrier's, which no chance can make: empty until somebody writes it there.
    _put(folder, "twilio_token", "", TOCSIN)
    _kept(folder, "grafana_password", GRAFANA)
    broker = _kept(folder, "broker_password", TOCSIN)
    if not (folder / "mosquitto_passwords").exists():
        _put(folder, "mosquitto_passwords", _login(_BRIDGE, broker), MOSQUITTO)
    if not (folder / "mosquitto.crt").exists():
        files = issue(folder, ["mosquitto", *server_names], 2 * _YEAR, 10 * _YEAR, datetime.now(UTC))
        _hand_over(files.key, MOSQUITTO)
    return sorted({file.name for file in folder.iterdir()} - before)


def add_login(folder: Path, username: str) -> str:
    """A new login of Mosquitto, or a new password of an old one. Returns the password."""
    if not username or len(username) > 129 or any(letter in username for letter in ":+#\n\0"):
        raise ConfigError(f"{username!r} is no user name", mend="A device's is ENTERPRISE/DEVICE.")
    file = folder / "mosquitto_passwords"
    if not file.exists():
        raise ConfigError(f"{file} is not there", mend="Make the secrets first: docker compose run --rm setup.")
    others = [line for line in file.read_text().splitlines() if not line.startswith(f"{username}:")]
    password = secrets.token_urlsafe(24)
    # Written in place: the container has this very file mounted.
    file.write_text("\n".join([*others, _login(username, password)]) + "\n")
    return password


def _login(username: str, password: str) -> str:
    """A line of Mosquitto's password file."""
    salt = secrets.token_bytes(12)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    return f"{username}:$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}"


def _kept(folder: Path, name: str, owner: int) -> str:
    """The secret of this name, made if it is missing."""
    file = folder / name
    if not file.exists():
        _put(folder, name, secrets.token_urlsafe(32), owner)
    return file.read_text().strip()


def _put(folder: Path, name: str, content: str, owner: int) -> None:
    file = folder / name
    if file.exists():
        return
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(content + "\n")
    _hand_over(file, owner)


def _hand_over(file: Path, owner: int) -> None:
    if os.geteuid() == 0:
        os.chown(file, owner, owner)


def main() -> None:
    parser = argparse.ArgumentParser(description="The secrets of docker-compose.yml.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--names", default="localhost", help="by which devices reach Mosquitto, apart by blanks")
    parser.add_argument("--login", metavar="ENTERPRISE/DEVICE", help="a login at Mosquitto")
    told = parser.parse_args()
    try:
        if told.login:
            password = add_login(told.folder, told.login)
            sys.stdout.write(f"user name {told.login}\npassword  {password}\n")
            sys.stdout.write("Let Mosquitto read it: docker compose kill --signal HUP mosquitto\n")
            return
        told.folder.mkdir(parents=True, exist_ok=True)
        made = make_missing(told.folder, told.names.split())
        sys.stdout.write(f"made {', '.join(made)}\n" if made else "nothing is missing\n")
        sys.stdout.write("Devices trust secrets/ca.crt. Keep secrets/ca.key elsewhere: it makes any certificate.\n")
    except TocsinError as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
