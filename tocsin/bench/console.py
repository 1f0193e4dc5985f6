"""`tocsin bench console`: what people wait for. An alarm in twenty open browsers, the list of alarms over a million of
history, a page's first paint, a risk that is recomputed; and whether devices and alarms notice that somebody looks.

Needs Chromium (`apt-get install chromium`) and Playwright (`./dev setup`). Everything is on loopback: browsers, server,
PostgreSQL and sensors share this machine's cores.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from registry.accounts import Accounts
from schemas.errors import ConfigError
from schemas.viewers import Role, house
from sensors_sim import webhook_sink
from sensors_sim.load_plan import LoadPlan
from sensors_sim.loadgen import start
from tocsin.bench import latency, risk
from tocsin.bench.load import learn, sustain
from tocsin.bench.past_alarms import fill
from tocsin.bench.report import Options, Row
from tocsin.bench.service import Service, tocsin_up
from tocsin.data_directory import DataDirectory
from tocsin.demo_city import fill_registry, shops_of
from tocsin.settings import connect_dsn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

BROWSERS = 20
ALARMS = 50
"""Each in an enterprise of its own; the duty desk draws sixty of them at once."""
EVERY_S = 2.0
"""Twenty Chromiums on two cores without a graphics card draw one alarm in some tenths of a second."""
PAST = 1_000_000
ASKED = 500
PAINTS = 40
ENTERPRISES = 30_000
SECONDS = 60.0
PAGES = ("/", "/map", "/enterprises", "/devices", "/supervisor", "/rules", "/health")
LISTS = (
    "/api/v1/alarms",
    "/api/v1/alarms?state=all",
    "/api/v1/alarms?state=ended&order=newest",
    "/api/v1/alarms?state=all&kind=gas&grade=red",
    "/api/v1/alarms?state=all&enterprise=past-00042",
)
_SAW = """
    window.saw = {};
    const look = () => {
        for (const row of document.querySelectorAll("[data-key]")) {
            const key = row.dataset.key;
            if (window.saw[key]) continue;
            window.saw[key] = -1;
            requestAnimationFrame(() => setTimeout(() => { window.saw[key] = Date.now(); }, 0));
        }
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true });
"""
"""Behind the frame in which a row was drawn, when it first stands there."""
_PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0] || -1"
_console = Console(stderr=True, highlight=False)


def run(options: Options) -> list[Row]:
    assert options.keep is not None
    folder = options.keep / "console"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with _chromium() as browser:
        with _watched(folder / "watched", int(300 * options.scale) or 1, options.seed) as (service, token):
            rows.append(_drawn(browser, service, token, options))
            rows.append(_painted(browser, service, token, options))
            rows.append(_listed(service, options))
        rows += risk.run(options)
        rows += _beside(browser, folder, options)
    return rows


# --- what people see ---


def _drawn(browser: Browser, service: Service, token: str, options: Options) -> Row:
    """From the moment at which the engine writes the event, just before its commit, to the frame that shows it."""
    pages = [_open(browser, service, token) for _ in range(max(2, int(BROWSERS * options.scale)))]
    count = max(5, int(ALARMS * options.scale))
    _settle(connect_dsn(service.data))
    raise_alarms(service.running.mqtt_port, [f"bench-{n:03d}" for n in range(count)])
    wanted = judged(connect_dsn(service.data), "bench-%", count)
    took: list[float] = []
    missing = 0
    until = time.monotonic() + 20.0
    for page in pages:
        saw = page.evaluate("window.saw")
        while sum(1 for key in wanted if saw.get(key, -1) > 0) < count and time.monotonic() < until:
            time.sleep(0.2)
            saw = page.evaluate("window.saw")
        took += [saw[key] - at_ms for key, at_ms in wanted.items() if saw.get(key, -1) > 0]
        missing += sum(1 for key in wanted if saw.get(key, -1) <= 0)
        page.context.close()
    note = f"{count} alarms in {len(pages)} browsers, {missing} not drawn; p50 {np.quantile(took, 0.5):.0f} ms"
    # What never came is later than everything.
    value = float(np.quantile(took + [math.inf] * missing, 0.99, method="inverted_cdf"))
    return Row("console.drawn_p99", value, "ms", 500, 150, smaller=True, note=note)


def _painted(browser: Browser, service: Service, token: str, options: Options) -> Row:
    """Every page in a browser that has been here before: its files are in the browser's cache, the page is not."""
    context = _context(browser, service, token)
    page = context.new_page()
    for path in PAGES:
        page.goto(_url(service) + path, wait_until="load")
    took: dict[str, list[float]] = {path: [] for path in PAGES}
    for number in range(max(len(PAGES), int(PAINTS * len(PAGES) * options.scale))):
        path = PAGES[number % len(PAGES)]
        page.goto(_url(service) + path, wait_until="load")
        page.wait_for_function(f"{_PAINT} > 0")
        took[path].append(float(page.evaluate(_PAINT)))
    context.close()
    every = [ms for of_page in took.values() for ms in of_page]
    slowest = max(took, key=lambda path: float(np.quantile(took[path], 0.95)))
    note = f"{len(every)} loads of {len(PAGES)} pages; p50 {np.quantile(every, 0.5):.0f} ms; slowest {slowest}"
    return Row("console.first_paint_p95", float(np.quantile(every, 0.95)), "ms", 1000, 300, smaller=True, note=note)


def _listed(service: Service, options: Options) -> Row:
    past = max(1000, int(PAST * options.scale))
    begun = time.monotonic()
    fill(connect_dsn(service.data), past, options.seed)
    _console.print(f"  a past of {past:,} alarms after {time.monotonic() - begun:.0f} s")
    headers = {"Authorization": f"Bearer {DataDirectory(service.data).token()}"}
    took: dict[str, list[float]] = {path: [] for path in LISTS}
    with httpx.Client(base_url=_url(service), headers=headers, trust_env=False, timeout=30.0) as client:
        for number in range(max(len(LISTS), int(ASKED * options.scale))):
            path = LISTS[number % len(LISTS)]
            asked = time.perf_counter()
            client.get(path).raise_for_status()
            took[path].append((time.perf_counter() - asked) * 1e3)
    every = [ms for of_list in took.values() for ms in of_list]
    slowest = max(took, key=lambda path: float(np.quantile(took[path], 0.99)))
    note = f"{len(every)} pages of 100 over {past:,}; p50 {np.quantile(every, 0.5):.1f} ms; slowest {slowest}"
    return Row("console.list_p99", float(np.quantile(every, 0.99)), "ms", 100, 20, smaller=True, note=note)


# --- what devices and alarms notice of it ---


def _beside(browser: Browser, folder: Path, options: Options) -> list[Row]:
    """The same load twice in this run: on a bare Tocsin, and with the console open over 30,000 enterprises."""
    enterprises = max(1, int(ENTERPRISES * options.scale))
    bare = _loaded(folder / "bare", options, None, 0)
    watched = _loaded(folder / "open", options, browser, enterprises)
    rows = []
    for name, smaller in (("alarm_p50", True), ("alarm_p99", True), ("ingest", False)):
        ratio = watched[name] / bare[name]
        unit = "ms" if smaller else "/s"
        note = (
            f"{bare[name]:,.4g} {unit} bare, {watched[name]:,.4g} with the console open and {enterprises:,} enterprises"
        )
        needed = 1.1 if smaller else 0.9
        rows.append(Row(f"console.{name}_ratio", ratio, "", needed, needed, smaller=smaller, note=note))
    return rows


def _loaded(data: Path, options: Options, browser: Browser | None, enterprises: int) -> dict[str, float]:
    """Latency of alarms at 5,000 messages a second, then messages a second flat out. No browser: no console either."""
    data.mkdir(parents=True)
    sink = webhook_sink.start(data / "arrivals.jsonl")
    told = {"TOCSIN_WEBHOOK_URL": sink.url, "TOCSIN_WEBHOOK_SECRET": "of the bench, 24 letters"}
    seconds = max(5.0, SECONDS * options.scale)
    try:
        with _watched(data / "data", enterprises, options.seed, told, console=browser is not None) as (service, token):
            page = None if browser is None else _open(browser, service, token)
            plan = latency.plan_of(options, service.running.mqtt_port)
            _settle(connect_dsn(data / "data"))
            start(latency.quiet(plan), data / "first.npz").wait()
            _, sent = start(plan, data / "sent.npz").wait()
            found = {row.name.rpartition(".")[2]: row.value for row in latency.rows_of(sent, sink.arrivals())}
            few = LoadPlan(port=service.running.mqtt_port, connections=4, devices=25_000, burst=20, seed=options.seed)
            learn(few, data)
            found["ingest"] = sustain(few, 0.0, seconds, data).acknowledged / seconds
            if page is not None:
                page.context.close()
            return found
    finally:
        sink.stop()


# --- the room ---


@contextmanager
def _watched(
    data: Path, enterprises: int, seed: int, told: dict[str, str] | None = None, *, console: bool = True
) -> Iterator[tuple[Service, str]]:
    """A Tocsin over a city, and the token of an officer's session."""
    environment = {"TOCSIN_CONSOLE": "yes" if console else "no", "TOCSIN_CONSOLE_PORT": "0", **(told or {})}
    with tocsin_up(data, environment=environment) as service:
        dsn = connect_dsn(data)
        if enterprises:
            fill_registry(dsn, shops_of("city", enterprises, seed))
        token = ""
        if console:
            with closing(Accounts(dsn)) as accounts:
                accounts.add(house("bench"), "officer", Role.OPERATOR)
                token = accounts.follow_link(accounts.make_link("officer"))
        yield service, token


def raise_alarms(port: int, codes: list[str]) -> None:
    """A smoke alarm in each, one after the other."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-console", protocol=paho.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    begun = time.monotonic()
    for number, code in enumerate(codes):
        time.sleep(max(0.0, begun + number * EVERY_S - time.monotonic()))
        payload = json.dumps({"smoke_alarm": True})
        client.publish(f"tocsin/v1/{code}/hall/telemetry", payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def judged(dsn: str, enterprises: str, count: int) -> dict[str, float]:
    """Alarm key → when its event was written, in ms since 1970."""
    query = """
        SELECT key, extract(epoch FROM judged_at) * 1e3 FROM alarm_events WHERE state = 'raised' AND enterprise LIKE %s
    """
    until = time.monotonic() + 20.0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            found = {key: float(at_ms) for key, at_ms in connection.execute(query, (enterprises,)).fetchall()}
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.2)


def _settle(dsn: str) -> None:
    """Until all that was just imported is known to engine and risk: the first minutes of a house are not its life."""
    waits = """
        SELECT EXISTS (SELECT FROM risk_inbox)
            OR EXISTS (SELECT FROM control_outbox WHERE logged_number IS NULL AND refused IS NULL)
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute(waits).fetchone() == (True,):
            time.sleep(0.5)


def _url(service: Service) -> str:
    return f"http://127.0.0.1:{service.running.console_port}"


def _context(browser: Browser, service: Service, token: str) -> BrowserContext:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "tocsin_session", "value": token, "url": _url(service)}])
    return context


def _open(browser: Browser, service: Service, token: str) -> Page:
    """The duty desk, drawn and connected."""
    page = _context(browser, service, token).new_page()
    page.add_init_script(_SAW)
    page.goto(_url(service), wait_until="load")
    page.wait_for_selector("[data-line=live]", state="attached", timeout=20_000)
    return page


@contextmanager
def _chromium() -> Iterator[Any]:
    """Raises ConfigError when it is not there."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  in the development pins alone
    except ImportError as error:
        raise ConfigError("Playwright is not installed.", mend="Run `./dev setup` first.") from error
    chromium = which("chromium") or which("chromium-browser")
    if chromium is None:
        raise ConfigError("there is no Chromium.", mend="apt-get install chromium fonts-noto-cjk")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
