"""Reads TOML of one shape, from whichever thread comes first.

msgspec builds what it knows of a shape at its first use, and a second thread that comes meanwhile finds it half built:
the process dies of it, without a word. Whoever makes a decoder when a module is imported is alone; of JSON and msgpack
msgspec has such decoders, of TOML it has none.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class TomlDecoder(Generic[T]):
    """To be made at import."""

    def __init__(self, shape: type[T]) -> None:
        self._shape = shape
        # Builds what is known of the shape; it stays with the shape's class.
        msgspec.json.Decoder(shape)

    def decode(self, body: bytes) -> T:
        """Raises msgspec.DecodeError."""
        return msgspec.toml.decode(body, type=self._shape)
