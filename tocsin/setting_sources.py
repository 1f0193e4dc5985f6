"""Every setting with its value, as far as it may be shown, and where it comes from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from tocsin.settings import Settings

MASK = "********"
ARGUMENT, ENVIRONMENT, FILE, DEFAULT = "argument", "environment", "file of secrets", "default"


class Sourced(msgspec.Struct, frozen=True):
    """A setting. value: masked where it is secret or may hold a secret; empty for none."""

    name: str
    value: str
    source: str
    where: str
    """The option, variable or file; empty for a default."""
    default: str


class Told(msgspec.Struct, frozen=True):
    settings: list[Sourced]
    not_known: dict[str, str]
    """Variables and files that look like settings and are none → the setting that was likely meant, or nothing."""


def told(settings: Settings, arguments: Mapping[str, Any], environment: Mapping[str, str]) -> Told:
    """arguments: of the command, None where not given.  environment: of this process."""
    variables = {name.lower(): name for name in environment}
    files = {file.name.lower(): file for file in _files(settings.secrets_dir)}
    rows = []
    for name, field in Settings.model_fields.items():
        variable = f"tocsin_{name}"
        source, where = DEFAULT, ""
        if arguments.get(name) is not None:
            source, where = ARGUMENT, f"--{name.replace('_', '-')}"
        elif variable in variables:
            source, where = ENVIRONMENT, variables[variable]
        elif variable in files:
            source, where = FILE, str(files[variable])
        value = getattr(settings, name)
        rows.append(Sourced(variable.upper(), shown(name, value), source, where, shown(name, field.default)))
    known = {f"tocsin_{name}" for name in Settings.model_fields}
    odd = [original for name, original in variables.items() if name.startswith("tocsin_") and name not in known]
    odd += [str(file) for name, file in files.items() if name.startswith("tocsin_") and name not in known]
    return Told(rows, {one: _meant(one, known) for one in sorted(odd)})


def shown(name: str, value: Any) -> str:
    """The value for a screen: no secret, of an address that may hold one only where it leads."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    text = "" if value is None else str(value)
    if not text or Settings.model_fields[name].repr:
        return text
    if name == "dsn":
        return _without_password(text)
    address = urlsplit(text)
    return f"{address.scheme}://{address.hostname or ''}/{MASK}" if address.scheme else MASK


def _without_password(dsn: str) -> str:
    try:
        parts = conninfo_to_dict(dsn)
    except ProgrammingError:
        return MASK
    said = {name: MASK if name in ("password", "sslpassword") else part for name, part in parts.items()}
    return make_conninfo("", **said)


def _files(folder: Path | None) -> Iterable[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file()) if folder is not None else ()


def _meant(name: str, known: Iterable[str]) -> str:
    bare = Path(name).name.lower().removeprefix("tocsin_")
    near = difflib.get_close_matches(bare, [one.removeprefix("tocsin_") for one in known], 1)
    return f"TOCSIN_{near[0].upper()}" if near else ""
