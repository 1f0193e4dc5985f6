"""The pipe between a process and its child: the child's standard input.

Its first line is what the child is told, as JSON, so that no secret stands in arguments; the rest is a lifeline: when
it closes, the parent is gone or wants the child to end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

FENCED_EXIT = 3
"""Exit code of a child whose work another has taken over: do not start it again."""
_STDIN = 0
_Told = TypeVar("_Told")


def begin(module: str, *arguments: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start `python -m module`, which waits to be told. To end it, `hang_up` (or end this process); exit code 0 is a
    clean end.
    """
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, pass_fds=pass_fds)


def tell(child: subprocess.Popen[bytes], told: msgspec.Struct) -> None:
    """Once, first of all."""
    assert child.stdin is not None
    # One that is gone already is heard of by whoever waits for it.
    with suppress(BrokenPipeError):
        child.stdin.write(msgspec.json.encode(told, enc_hook=str) + b"\n")
        child.stdin.flush()


def spawn(module: str, told: msgspec.Struct, *arguments: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """`begin` and `tell`."""
    child = begin(module, *arguments, pass_fds=pass_fds)
    tell(child, told)
    return child


def hang_up(child: subprocess.Popen[bytes]) -> None:
    """Ask a child to end what it does and itself."""
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()


def read_told(form: type[_Told]) -> _Told:
    """In the child, first of all: what it is told. One that is never told anything ends here."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    return msgspec.json.Decoder(form, dec_hook=lambda kind, said: kind(said)).decode(line)


def poke(child: subprocess.Popen[bytes]) -> None:
    """Tell a child that there is something for it. Cheap; one that hangs is told no more than once it can hold."""
    if child.stdin is not None:
        # Closed here, gone there, or full of pokes that nobody has read.
        with suppress(ValueError, OSError):
            os.set_blocking(child.stdin.fileno(), False)
            os.write(child.stdin.fileno(), b"!")


def follow(end: Callable[[], None], poked: Callable[[], None] = lambda: None) -> None:
    """In the child, behind `read_told`: from a thread, call `poked` at each `poke`, and `end` once the parent hangs up
    or is gone.
    """

    def live() -> None:
        try:
            # Not by sys.stdin: a thread that waits in it keeps the interpreter from ending.
            while os.read(_STDIN, 4096):
                poked()
        finally:
            end()

    threading.Thread(target=live, name="lifeline", daemon=True).start()
