"""Reserved memory: arrays as large as they may ever get, of which only the touched pages exist.

A table that grows by touching the next page never moves and never pauses to be copied.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

_NORESERVE = 0x4000
"""MAP_NORESERVE of Linux, which Python 3.11 does not name: the promise of memory is not counted until it is touched."""


def reserve(dtype: npt.DTypeLike, length: int, *, huge: bool = False) -> npt.NDArray[Any]:
    """(length,) zeros of `dtype`, committed page by page.

    huge: ask for large pages (fewer misses of the TLB), for arrays that fill from their start.
    Raises MemoryError when the address space has no room.
    """
    size = max(1, length * np.dtype(dtype).itemsize)
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    except OSError as error:
        raise MemoryError(f"{size} bytes of address space cannot be reserved") from error
    if huge and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            pages.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel without large pages: slower, not wrong
            return np.frombuffer(pages, dtype, length)
    return np.frombuffer(pages, dtype, length)


def forget(array: npt.NDArray[Any]) -> None:
    """Make an array of `reserve` all zeros again; its memory goes back to the system."""
    pages = array.base.obj  # type: ignore[union-attr]
    pages.madvise(mmap.MADV_DONTNEED)
