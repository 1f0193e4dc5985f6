"""Calls of the C library that a compiled kernel makes itself, so that a busy socket costs no Python.

Resolved by name when a kernel is linked, so kernels that use them can be cached.  Pointers are addresses
(`array.ctypes.data`).
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from scoring.compiled import inlined

_int, _ptr, _size = types.int32, types.intp, types.uintp

send: Any = types.ExternalFunction("send", types.intp(_int, _ptr, _size, _int))
recv: Any = types.ExternalFunction("recv", types.intp(_int, _ptr, _size, _int))
epoll_wait: Any = types.ExternalFunction("epoll_wait", _int(_int, _ptr, _int, _int))
ppoll: Any = types.ExternalFunction("ppoll", _int(_ptr, _size, _ptr, _ptr))
nanosleep: Any = types.ExternalFunction("nanosleep", _int(_ptr, _ptr))
clock_gettime: Any = types.ExternalFunction("clock_gettime", _int(_int, _ptr))
_errno_location: Any = types.ExternalFunction("__errno_location", types.voidptr())

EINTR, EAGAIN = 4, 11
DONT_WAIT = 0x40 | 0x4000
"""MSG_DONTWAIT | MSG_NOSIGNAL"""
EPOLL_WORDS, EPOLL_FD = (3, 1) if platform.machine() == "x86_64" else (4, 2)
"""32-bit words of a struct epoll_event, and which of them is the descriptor (packed on x86-64 only)."""


@inlined
def errno() -> int:
    return int(carray(_errno_location(), (1,), np.int32)[0])
