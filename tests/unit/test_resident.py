"""Memory that a process gives back once it is up; in a process of its own, since it is the whole process's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_GIVE_BACK = """
import mmap, sys
from pathlib import Path
import pyarrow
from tocsin.resident import give_back_code, share_arenas

def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind))

share_arenas()
private = mmap.mmap(-1, 1 << 20)
private.write(b"x" * (1 << 20))
with open(sys.argv[1], "r+b") as file:
    changed = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
changed[:5] = b"after"
before = resident("RssFile:")
give_back_code()
assert resident("RssFile:") < before / 2
assert private[:] == b"x" * (1 << 20)
assert changed[:] == b"after it"
assert pyarrow.array([1, 2]).to_pylist() == [1, 2]
print("whole")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_unchanged_code_goes_and_nothing_is_lost(tmp_path: Path) -> None:
    """What was written to stays, and what is needed again comes back from its file."""
    file = tmp_path / "file"
    file.write_bytes(b"first it")
    done = subprocess.run([sys.executable, "-c", _GIVE_BACK, str(file)], capture_output=True, text=True, check=False)
    assert done.stdout == "whole\n", done.stderr
