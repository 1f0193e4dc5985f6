"""The rules by which readings are judged, in words: the pack that is active, else the one that comes with Tocsin."""

from __future__ import annotations

import threading
import time

from console.words import LANGUAGES, words_of
from schemas.viewers import Act, Viewer
from streams.activation import active_pack
from streams.pack_words import Names, PackWords, words_of_pack
from streams.packs import load_pack

_KEPT_S = 5.0


class Rulebook:
    """Thread-safe. Raises ServiceAway when PostgreSQL is away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._words: PackWords | None = None
        self._read_at = float("-inf")

    def words(self, viewer: Viewer) -> PackWords:
        """The pack in every language. Raises NotAllowed."""
        viewer.must(Act.SEE_RULES)
        with self._lock:
            if self._words is None or time.monotonic() - self._read_at > _KEPT_S:
                pack = active_pack(self._dsn) or load_pack()
                if self._words is None or self._words.version != pack.version:
                    self._words = words_of_pack(pack, {language: names_of(language) for language in LANGUAGES})
                self._read_at = time.monotonic()
            return self._words


def names_of(language: str) -> Names:
    of = words_of(language).of("measure", "grade")
    named = {group: {key.split(".", 1)[1]: text for key, text in of.items() if key.startswith(group + ".")}
             for group in ("measure", "grade")}  # fmt: skip
    return Names(language, named["measure"], named["grade"])
