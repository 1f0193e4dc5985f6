"""Columns that grow without being copied: the system moves their pages (`mremap`), never their content.

A million keys are tens of megabytes; doubling an array of that size would stop the door for tens of
milliseconds, remapping it takes well under one. Memory that was never written costs address space only.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt


class Column:
    """A one-dimensional array of `dtype` that starts as zeros and grows.

    `array` is the column until the next `reserve`; a view that somebody keeps beyond it shows the old content, since
    then, and only then, growing copies. (Numba's compiler keeps its first arguments for a while.)
    """

    __slots__ = ("_memory", "array")

    def __init__(self, dtype: npt.DTypeLike, length: int) -> None:
        kind = np.dtype(dtype)
        self._memory = _anonymous(length * kind.itemsize)
        self.array: npt.NDArray[Any] = np.frombuffer(self._memory, kind)

    def __len__(self) -> int:
        return len(self.array)

    def reserve(self, length: int) -> None:
        """Make room for at least `length` items, at least doubling; what is new is zero."""
        if length <= len(self.array):
            return
        kind, wanted = self.array.dtype, max(length, 2 * len(self.array))
        self.array = np.empty(0, kind)
        try:
            self._memory.resize(_pages(wanted * kind.itemsize))
        except BufferError:
            before = np.frombuffer(self._memory, kind)
            self._memory = _anonymous(wanted * kind.itemsize)
            np.frombuffer(self._memory, kind)[: len(before)] = before
        self.array = np.frombuffer(self._memory, kind)


def _anonymous(size: int) -> mmap.mmap:
    return mmap.mmap(-1, _pages(size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _pages(size: int) -> int:
    """`size` rounded up to whole pages, at least one."""
    return max(1, -(-size // mmap.PAGESIZE)) * mmap.PAGESIZE
