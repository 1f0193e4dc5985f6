"""Named SQL: each query of a `.sql` file has a name and one line of purpose."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries(package: str, file: str = "queries.sql") -> dict[str, LiteralString]:
    """name → SQL of `file` in `package`. The text ships with the package, so it is as good as a literal."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {name: cast(LiteralString, body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
