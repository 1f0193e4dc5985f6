"""A real one-process Tocsin with its console, for tests in a real browser: enterprises, people, devices that speak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho

from registry.accounts import Accounts
from registry.directory import Directory
from registry.views import Placed
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.viewers import Role, house
from tests.waiting import until
from tocsin.data_directory import DataDirectory, Running
from tocsin.settings import connect_dsn

RULES = """
[[rule]]
id      = "heat.heavy"
measure = "temperature"
family  = "heat"
kind    = "fire"
grade   = "red"
raise   = { at_or_above = 90.0, readings = 2 }
clear   = { below = 70.0, for = "1s" }
latched = true
source  = "Ours, with a clear that a test can wait for."

[[rule]]
id      = "co.pre"
measure = "co"
family  = "co"
kind    = "gas"
grade   = "yellow"
raise   = { at_or_above = 30.0, readings = 2 }
clear   = { below = 20.0, for = "1s" }
source  = "Ours, for a test."
"""
_START_S = 300.0
"""The first start on a machine compiles its kernels."""
HOT, COLD = 95.0, 21.0
PASSWORD = "a long night at the desk"
MARKUP = '<img src=x onerror="window.hit=1">&amp;{{7*7}}'
DISTRICTS = (District("990101", "望潮区", "Wangchao District"), District("990102", "青枫区", "Qingfeng District"))
PEOPLE: dict[str, tuple[Role, dict[str, tuple[str, ...]]]] = {
    "officer": (Role.OPERATOR, {}),
    "second": (Role.OPERATOR, {}),
    "bureau": (Role.SUPERVISOR, {"districts": ("990101",)}),
    "owner": (Role.OWNER, {"enterprises": ("shop-1",)}),
    "fitter": (Role.INTEGRATOR, {"enterprises": ("shop-1",)}),
    "chief": (Role.ADMINISTRATOR, {}),
}


@dataclass
class WatchRoom:
    data: Path
    process: subprocess.Popen[bytes]
    running: Running
    accounts: Accounts
    directory: Directory
    client: paho.Client
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.running.console_port}"

    def token(self, login: str, *, new: bool = False) -> str:
        """Of a session of that person."""
        if new or login not in self.tokens:
            self.tokens[login] = self.accounts.follow_link(self.accounts.make_link(login))
        return self.tokens[login]

    def enterprise(self, code: str, name: str = "", name_en: str = "") -> str:
        """One more, with a kitchen, a device in it and somebody to call."""
        viewer = house("test")
        self.directory.put_enterprise(
            viewer,
            Enterprise(
                code=code, name=name or f"{code} 面馆", name_en=name_en or f"{code} Noodles", trade="H6210",
                district="990101", address="望潮路 1 号", address_en="1 Wangchao Road", longitude=122.9, latitude=31.0,
            ),
        )  # fmt: skip
        self.directory.put_zone(viewer, Zone(code, "kitchen", "厨房", "Kitchen", "1F"))
        contact = Contact(enterprise=code, order=1, name="王经理", duty="负责人", phone="+8613800000001")
        self.directory.put_contact(viewer, contact)
        device = Placed(enterprise=code, device="kitchen", zone="kitchen", name="感温探测器", name_en="Heat detector")
        self.directory.put_device(viewer, device, login=False)
        return code

    def say(self, code: str, *values: float, measure: str = "temperature") -> None:
        """The device in the kitchen reports, and each report is acknowledged."""
        for value in values:
            topic = f"tocsin/v1/{code}/kitchen/telemetry"
            self.client.publish(topic, json.dumps({measure: value}), qos=1).wait_for_publish(20)

    def burn(self, code: str) -> None:
        self.say(code, HOT, HOT + 1)

    def cool(self, code: str) -> None:
        """Until its only alarm has cleared: that takes a second of cold readings."""

        def is_cold() -> bool:
            self.say(code, COLD)
            return not self.alarm(code)["active"]

        until(is_cold, f"the alarm of {code} has cleared")

    def api(self, method: str, path: str, login: str = "", **more: Any) -> httpx.Response:
        """Asked with the house's token, or as somebody in a browser."""
        headers = {} if login else {"Authorization": f"Bearer {DataDirectory(self.data).token()}"}
        cookies = {"tocsin_session": self.token(login)} if login else {}
        if login and method != "GET":
            headers["Origin"] = self.url
        with httpx.Client(cookies=cookies) as client:
            return client.request(method, self.url + path, headers=headers, timeout=30.0, **more)

    def alarm(self, code: str) -> dict[str, Any]:
        """The only open one of an enterprise, once it is there."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = self.api("GET", f"/api/v1/alarms?enterprise={code}").json()["alarms"]
            return len(found) == 1

        until(there, f"{code} has an alarm")
        return found[0]

    def console_pid(self) -> int:
        """Of the console's process, a child of the one process; 0 between two."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                is_child = f"PPid:\t{self.process.pid}\n" in status.read_text()
                if is_child and b"tocsin.console_process" in status.with_name("cmdline").read_bytes():
                    return int(status.parent.name)
            except OSError:
                continue  # it ended meanwhile
        return 0


@contextmanager
def open_room(folder: Path) -> Iterator[WatchRoom]:
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    data = folder / "data"
    command = [sys.executable, "-m", "tocsin", "up", "--data", str(data), "--mqtt-port", "0", "--http-port", "0"]
    environment = os.environ | {"TOCSIN_CONSOLE": "yes", "TOCSIN_CONSOLE_PORT": "0"}
    log = (folder / "up.log").open("wb")
    with log, subprocess.Popen([*command, "--rules", str(rules)], env=environment, stdout=log, stderr=log) as process:
        try:
            running = _running(process, data, folder / "up.log")
            client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="test")
            client.connect("127.0.0.1", running.mqtt_port)
            client.loop_start()
            dsn = connect_dsn(data)
            room = WatchRoom(data, process, running, Accounts(dsn, _now_us), Directory(dsn), client)
            _furnish(room)
            try:
                yield room
            finally:
                client.disconnect()
                client.loop_stop()
                room.accounts.close()
                room.directory.close()
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _running(process: subprocess.Popen[bytes], data: Path, log: Path) -> Running:
    seen: list[Running] = []

    def answers() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        running = DataDirectory(data).running()
        if running is None:
            return False
        try:
            httpx.get(f"http://127.0.0.1:{running.console_port}/login", timeout=1.0)
        except httpx.HTTPError:
            return False
        seen[:] = [running]
        return True

    try:
        until(answers, "the console answers", _START_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {log.read_text(errors='replace')[-3000:]}") from error
    return seen[0]


def _furnish(room: WatchRoom) -> None:
    viewer = house("test")
    for district in DISTRICTS:
        room.directory.put_district(viewer, district)
    room.enterprise("shop-1", "乐味面馆", "Lewei Noodles")
    for login, (role, sees) in PEOPLE.items():
        room.accounts.add(viewer, login, role=role, password=PASSWORD, language="en", **sees)


def _now_us() -> int:
    import time

    return time.time_ns() // 1000
