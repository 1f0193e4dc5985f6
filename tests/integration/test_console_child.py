"""The console's process beside the one process: started again when it dies, ended with its parent."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from schemas.errors import ConfigError
from tests.waiting import until
from tocsin.console_child import ConsoleChild, ConsoleSettings

TOKEN = "a token of this test, long enough"


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/login", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_console_that_is_killed_is_followed_by_another_and_ends_with_its_parent(dsn: str) -> None:
    """The engine goes on, and whoever waits in the browser is answered by the next."""
    child = ConsoleChild(ConsoleSettings(dsn, TOKEN), "127.0.0.1", 0)
    thread = threading.Thread(target=child.run)
    thread.start()
    try:
        until(lambda: _answers(child.port), "the console answers")
        first = child.pid
        os.kill(first, signal.SIGKILL)
        until(lambda: child.pid not in (0, first), "another is started")
        assert child.restarts == 1
        until(lambda: _answers(child.port), "the next one answers")
        last = child.pid
    finally:
        child.stop()
        thread.join(20)
        child.kill()
    assert not thread.is_alive()
    assert not Path(f"/proc/{last}").exists()


def test_a_taken_port_is_said_before_anything_is_started(dsn: str) -> None:
    """Not by a child that dies again and again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError) as refused:
            ConsoleChild(ConsoleSettings(dsn, TOKEN), "127.0.0.1", taken.getsockname()[1])
    assert refused.value.field == "TOCSIN_CONSOLE_PORT"
