"""Named SQL of this stage: each query of `queries.sql` has a name and one line of purpose."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries() -> dict[str, LiteralString]:
    """name → SQL. The text ships with the package, so it is as good as a literal."""
    parts = _NAME.split(files("registry").joinpath("queries.sql").read_text(encoding="utf-8"))
    return {name: cast(LiteralString, body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
