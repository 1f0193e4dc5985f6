"""Two hundred open duty desks on one console: `python -m tests.browser.crowd --pages 200`.

Two hundred Chromiums do not fit on two cores, so each page is asked for as a browser does and then kept open by the
socket that the page itself would open, with its words. What is looked at: that every page hears every alarm, how late,
that each has its beat every second, and what console and its memory say to it. Code 1 when a page missed an alarm.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx
import numpy as np
import psutil
import psycopg
import socketio

from registry.accounts import Accounts
from schemas.viewers import Role, house
from tocsin.bench.console import judged, raise_alarms
from tocsin.bench.service import Service, tocsin_up
from tocsin.demo_city import fill_registry, shops_of
from tocsin.settings import connect_dsn

_CLIENT = re.compile(r"""["']client_id["']: ?["']([^"']+)["']""")
_KEY = re.compile(r'\\*"key\\*": ?\\*"([^"\\]+)')
_AT_ONCE = 10
_SETTLE_S = 10.0


@dataclass
class Page:
    """One that is open. heard: alarm key → when it came first, in ms since 1970."""

    heard: dict[str, float] = field(default_factory=dict)
    beats: list[float] = field(default_factory=list)
    socket: socketio.AsyncClient | None = None

    def take(self, code: str) -> None:
        now_ms = time.time() * 1e3
        if "'take'" in code:
            self.beats.append(now_ms)
        elif "'change'" in code:
            for key in _KEY.findall(code):
                self.heard.setdefault(key, now_ms)

    def longest_silence_ms(self) -> float:
        return max((b - a for a, b in zip(self.beats, self.beats[1:], strict=False)), default=float("inf"))


async def open_page(url: str, token: str) -> Page:
    """Raises httpx.HTTPError or socketio.exceptions.ConnectionError when the console does not have it."""
    cookies = {"tocsin_session": token}
    async with httpx.AsyncClient(base_url=url, cookies=cookies, trust_env=False, timeout=60.0) as client:
        answer = await client.get("/")
        answer.raise_for_status()
    found = _CLIENT.search(answer.text)
    assert found is not None, "the page opens no socket"
    query = {
        "client_id": found[1], "next_message_id": "0", "implicit_handshake": "true", "tab_id": str(uuid.uuid4()),
        "document_id": str(uuid.uuid4()), "old_tab_id": "",
    }  # fmt: skip
    page = Page()
    page.socket = socketio.AsyncClient(reconnection=False)
    page.socket.on("run_javascript", lambda told: page.take(told["code"]))
    await page.socket.connect(
        f"{url}?{urlencode(query)}",
        headers={"Cookie": f"tocsin_session={token}", "Origin": url},
        transports=["websocket"],
        socketio_path="/_nicegui_ws/socket.io",
    )
    return page


async def crowd(service: Service, token: str, count: int, alarms: int) -> int:
    url = f"http://127.0.0.1:{service.running.console_port}"
    dsn = connect_dsn(service.data)
    begun = time.monotonic()
    pages: list[Page] = []
    for first in range(0, count, _AT_ONCE):
        some = range(first, min(count, first + _AT_ONCE))
        pages += await asyncio.gather(*(open_page(url, token) for _ in some))
        print(f"  {len(pages)} pages open after {time.monotonic() - begun:.0f} s", file=sys.stderr)
    console = _console_of(service)
    cpu, wall = console.cpu_times(), time.monotonic()
    codes = [f"crowd-{number:03d}" for number in range(alarms)]
    await asyncio.to_thread(raise_alarms, service.running.mqtt_port, codes)
    await asyncio.sleep(_SETTLE_S)
    spent = sum(console.cpu_times()[:2]) - sum(cpu[:2])
    share = spent / (time.monotonic() - wall)
    wanted = await asyncio.to_thread(judged, dsn, "crowd-%", alarms)
    took = [page.heard[key] - at_ms for page in pages for key, at_ms in wanted.items() if key in page.heard]
    missed = len(wanted) * len(pages) - len(took)
    silence = max(page.longest_silence_ms() for page in pages)
    with psycopg.connect(dsn) as connection:
        sessions = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        (backends,) = sessions.fetchone() or (0,)
    for page in pages:
        if page.socket is not None:
            await page.socket.disconnect()
    p50, p99 = (float(value) for value in np.percentile(took, (50, 99)))
    print(f"{count} pages, {len(wanted)} alarms: {missed} missed")
    print(f"event written to heard: p50 {p50:.0f}, p99 {p99:.0f} ms; longest silence of a page {silence:.0f} ms")
    megabytes = console.memory_info().rss >> 20
    print(f"console: {share:.0%} of a core, {megabytes} MB; {backends} sessions of PostgreSQL")
    return 1 if missed or not wanted else 0


def _console_of(service: Service) -> psutil.Process:
    for process in psutil.Process(service.process.pid).children(recursive=True):
        if "tocsin.console_process" in " ".join(process.cmdline()):
            return process
    raise SystemExit("there is no console")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--alarms", type=int, default=20)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-crowd-") as folder:
        data = Path(folder) / "data"
        environment = {"TOCSIN_CONSOLE": "yes", "TOCSIN_CONSOLE_PORT": "0"}
        with tocsin_up(data, environment=environment) as service:
            dsn = connect_dsn(data)
            fill_registry(dsn, shops_of("city", 300, 1))
            with closing(Accounts(dsn)) as accounts:
                accounts.add(house("crowd"), "officer", Role.OPERATOR)
                token = accounts.follow_link(accounts.make_link("officer"))
            return asyncio.run(crowd(service, token, told.pages, told.alarms))


if __name__ == "__main__":
    sys.exit(main())
