"""What is told to many open pages: encoded once, however many they are. Pure."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec


class Telling(dict[str, Any]):
    """Plain data; not changed once it is made."""

    @cached_property
    def text(self) -> str:
        """As JSON, which is JavaScript, too."""
        return msgspec.json.encode(dict(self)).decode()
