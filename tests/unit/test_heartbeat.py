"""The dead man's heartbeat beats only while all is well."""

from __future__ import annotations

import httpx
import pytest
from structlog.testing import capture_logs

from alerting.heartbeat import Heartbeat

URL = "https://watcher.example.org/token-in-path"


class Watcher:
    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.method)
        return httpx.Response(self.status)


def beat(watcher: Watcher, healthy: object, method: str = "GET") -> bool:
    heart = Heartbeat(URL, 30.0, healthy, method=method, transport=httpx.MockTransport(watcher))  # type: ignore[arg-type]
    try:
        return heart.beat()
    finally:
        heart.stop()
        heart.run()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_beats_while_all_is_well(method: str) -> None:
    watcher = Watcher()
    assert beat(watcher, lambda: True, method) and watcher.calls == [method]


def test_it_is_silent_when_something_is_wrong() -> None:
    watcher = Watcher()
    assert not beat(watcher, lambda: False) and watcher.calls == []


def test_health_that_cannot_be_told_is_not_health() -> None:
    watcher = Watcher()
    with capture_logs():
        assert not beat(watcher, lambda: 1 / 0)
    assert watcher.calls == []


def test_a_watcher_that_fails_is_logged_once_and_without_its_address() -> None:
    heart = Heartbeat(URL, 30.0, lambda: True, transport=httpx.MockTransport(Watcher(500)))
    with capture_logs() as logs:
        assert not heart.beat() and not heart.beat()
    heart.stop()
    heart.run()
    assert len(logs) == 1 and "token-in-path" not in str(logs)


def test_run_beats_at_once_and_ends_on_stop() -> None:
    watcher = Watcher()
    heart: Heartbeat

    def healthy() -> bool:
        heart.stop()
        return True

    heart = Heartbeat(URL, 3600.0, healthy, transport=httpx.MockTransport(watcher))
    heart.run()
    assert watcher.calls == ["GET"]
