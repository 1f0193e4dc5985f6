"""How every kernel of Tocsin is compiled: cached, without the GIL, without fastmath.

No fastmath anywhere: another machine must give the same answer. Bounds checks are switched by NUMBA_BOUNDSCHECK=1
(fuzzing) and compilation by NUMBA_DISABLE_JIT=1, both read by Numba itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` on its first call; arrays in, arrays or numbers out."""
    return cast(F, numba.njit(cache=True, nogil=True, fastmath=False)(function))


def inlined(function: F) -> F:
    """Like `kernel`, for a small helper that is called from kernels only."""
    return cast(F, numba.njit(cache=True, nogil=True, fastmath=False, inline="never")(function))
