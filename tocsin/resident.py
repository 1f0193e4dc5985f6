"""What a process gives back of its memory: code that was read to start it, above all the compiler's, and free heap.

The code's pages come from files and were never changed, so what is needed again comes back by itself. Sixty megabytes
are the compiler's, which loads kernels and then has nothing to do.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""
_ARENAS = 2


def share_arenas() -> None:
    """Before threads begin: let them and Arrow share two heaps. Each keeps what its busiest moment needed."""
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not every libc has it
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)


def give_back_heap() -> None:
    """Free pages within the heaps, which allocating keeps for what may come; some milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def give_back_code() -> None:
    """Let go of unchanged pages of files that are mapped to be read or run; of none where there is no /proc."""
    try:
        maps = Path("/proc/self/smaps").read_text()
    except OSError:
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for start, end in _unchanged(maps):
        madvise(start, end - start, mmap.MADV_DONTNEED)


def _unchanged(maps: str) -> Iterator[tuple[int, int]]:
    """Where private mappings of files lie that cannot be written to and have no page of their own."""
    start = end = 0
    of_file = False
    for line in maps.splitlines():
        first, *rest = line.split(maxsplit=5)
        if first.endswith(":"):
            if of_file and first == "Anonymous:" and rest[0] == "0":
                yield start, end
        else:
            start, end = (int(place, 16) for place in first.split("-"))
            of_file = rest[0] in ("r--p", "r-xp") and len(rest) == 5 and rest[4].startswith("/")
