"""The whole process, from a client that others have written to the alarm, the answer and the webhook."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensors_sim import webhook_sink
from tests.waiting import until
from tocsin.bench.service import Service, tocsin_up
from tocsin.data_directory import DataDirectory

pytestmark = pytest.mark.integration
SECRET = "a secret of this test, 32 letters"
_PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webhook_sink.SinkProcess]:
    running = webhook_sink.start(tmp_path_factory.mktemp("sink") / "arrivals.jsonl")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sink: webhook_sink.SinkProcess) -> Iterator[Service]:
    told = {"TOCSIN_WEBHOOK_URL": sink.url, "TOCSIN_WEBHOOK_SECRET": SECRET}
    with tocsin_up(tmp_path_factory.mktemp("one") / "data", environment=told) as running:
        yield running


def tocsin(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments], capture_output=True, text=True, timeout=_PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def mosquitto(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
        say(f"{name} is missing: apt-get install mosquitto-clients")
    assert found is not None
    return found


def publish(service: Service, device: str, payload: str, *more: str) -> int:
    command = [mosquitto("mosquitto_pub"), "-p", str(service.running.mqtt_port), "-q", "1", "-V", "5", *more]
    return subprocess.run(
        [*command, "-t", f"tocsin/v1/{device}/telemetry", "-m", payload], timeout=30, capture_output=True
    ).returncode


def test_two_hot_readings_become_an_alarm_a_message_and_an_answer(
    service: Service, sink: webhook_sink.SinkProcess
) -> None:
    """The path that everything else serves; the alarm stands within a second of the second reading."""
    assert publish(service, "shop-1/kitchen", '{"temperature": 95.0}') == 0
    assert publish(service, "shop-1/kitchen", '{"temperature": 95.5}') == 0
    sent = time.monotonic()

    def alarms() -> list[dict[str, object]]:
        listed: list[dict[str, object]] = json.loads(tocsin("alarms", "list", "--json", "--data", str(service.data)))
        return [alarm for alarm in listed if alarm["subject"] == "shop-1/kitchen/temperature"]

    until(lambda: bool(alarms()), "the alarm is listed")
    assert time.monotonic() - sent < 30
    (alarm,) = alarms()
    assert (alarm["grade"], alarm["kind"], alarm["rule"]) == ("red", "fire", "heat.heavy")
    until(lambda: any(line.subject == alarm["subject"] for a in sink.arrivals() for line in a.notification().lines),
          "the webhook has it")  # fmt: skip
    token = DataDirectory(service.data).token()
    url = f"http://127.0.0.1:{service.running.http_port}/api/v1/alarms/{alarm['key']}"
    assert httpx.get(url).status_code == 401
    until(lambda: len(httpx.get(url, headers={"Authorization": f"Bearer {token}"}).json()["readings"] or ()) == 2,
          "the readings around it are stored")  # fmt: skip


def test_a_latched_alarm_is_acknowledged_and_reset_once_it_has_cleared(service: Service) -> None:
    """What people do about an alarm; a reset before it has cleared is refused with its reason."""
    for value in ("96.0", "97.0"):
        assert publish(service, "shop-2/kitchen", f'{{"temperature": {value}}}') == 0

    def alarm() -> dict[str, object]:
        listed = json.loads(tocsin("alarms", "list", "--json", "--enterprise", "shop-2", "--data", str(service.data)))
        return listed[0] if listed else {}

    until(lambda: bool(alarm()), "the alarm is listed")
    key = str(alarm()["key"])
    tocsin("alarms", "ack", key, "--by", "tester", "--data", str(service.data))
    assert alarm()["acknowledged_by"] == "tester"
    asked = [sys.executable, "-m", "tocsin", "alarms", "reset", key, "--by", "tester", "--data", str(service.data)]
    refused = subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE_S)
    assert refused.returncode == 1
    assert "active" in refused.stderr + refused.stdout


def test_the_place_of_a_fire_is_red_with_its_reason(service: Service) -> None:
    """The risk follows the alarm by itself, also where the registry does not know the enterprise yet."""
    for value in ("95.0", "96.0"):
        assert publish(service, "shop-7/kitchen", f'{{"temperature": {value}}}') == 0
    token = DataDirectory(service.data).token()

    def risk() -> dict[str, Any]:
        url = f"http://127.0.0.1:{service.running.http_port}/api/v1/risk/shop-7"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else {}

    until(lambda: risk().get("colour") == "red", "the place is red")
    found = risk()
    assert found["risk"]["reasons"][0]["code"] == "open_red"
    assert found["risk"]["on_file"] is False
    assert "kitchen" in found["words"]["reasons"][0]


def test_a_bad_payload_is_answered_on_errors_and_kept(service: Service) -> None:
    """Data that vanishes without a word is what integrators must never meet."""
    with subprocess.Popen(
        ["stdbuf", "-oL", mosquitto("mosquitto_sub"), "-p", str(service.running.mqtt_port), "-q", "1",
         "-d", "-C", "1", "-W", "20", "-F", "%p", "-t", "tocsin/v1/shop-3/boiler/errors"],
        stdout=subprocess.PIPE, text=True,
    ) as heard:  # fmt: skip
        assert heard.stdout is not None
        for line in heard.stdout:
            if "SUBACK" in line:
                break
        assert publish(service, "shop-3/boiler", '{"temprature": 21.0, "temperature": 21.0}') == 0
        words = heard.stdout.read()
    assert '"field":"temprature"' in words
    assert '"mend"' in words
    findings = json.loads(tocsin("doctor", "--json", "--data", str(service.data)))
    assert any(f["part"] == "quarantine" and f["words"].startswith("1 ") for f in findings)


def test_a_logged_in_client_cannot_publish_for_another_device(service: Service) -> None:
    """Credentials that open other people's devices are worse than none."""
    made = json.loads(tocsin("devices", "add", "shop-4/oven", "--json", "--data", str(service.data)))
    secret = made["password"]
    login = ("-u", "shop-4/oven", "-P", secret)
    until(lambda: publish(service, "shop-4/oven", '{"temperature": 20.0}', *login) == 0, "the login is known")
    reasons: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="oven", protocol=paho.MQTTv5)
    client.username_pw_set("shop-4/oven", secret)
    client.on_publish = lambda _c, _u, _mid, reason, _p: reasons.append(reason.value)
    client.connect("127.0.0.1", service.running.mqtt_port)
    client.loop_start()
    try:
        client.publish("tocsin/v1/shop-5/oven/telemetry", b'{"temperature": 99.0}', qos=1).wait_for_publish(20)
        client.publish("tocsin/v1/shop-4/oven/telemetry", b'{"temperature": 20.5}', qos=1).wait_for_publish(20)
        until(lambda: len(reasons) == 2, "both are answered")
    finally:
        client.disconnect()
        client.loop_stop()
    assert reasons == [0x87, 0x00]
    assert publish(service, "shop-4/oven", "{}", "-u", "shop-4/oven", "-P", "wrong") != 0


def test_metrics_and_readiness_tell_of_every_station(service: Service) -> None:
    """An engineer finds out without a login on the machine itself."""
    base = f"http://127.0.0.1:{service.running.http_port}"
    assert httpx.get(f"{base}/healthz").json() == {"alive": True}
    ready = httpx.get(f"{base}/readyz").json()
    assert ready["ready"] is True
    assert set(ready["parts"]) >= {"door", "log", "judging", "desk", "store"}
    text = httpx.get(f"{base}/metrics").text
    for name in ("tocsin_door_messages_total", "tocsin_log_head", "tocsin_engine_readings_judged_total",
                 "tocsin_store_stored_total", "tocsin_alerting_events_total"):  # fmt: skip
        assert name in text


def test_a_second_start_in_the_same_directory_is_refused_in_one_line(service: Service) -> None:
    """Two engines over one log would each take the other for a second writer."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "up", "--data", str(service.data), "--mqtt-port", "0", "--http-port", "0"],
        capture_output=True, text=True, timeout=_PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert "another Tocsin" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_ctrl_c_ends_everything_and_a_second_start_continues(tmp_path: Path) -> None:
    """Nothing is left running, and the alarm is still there."""
    with tocsin_up(tmp_path / "data") as first:
        for value in ("95.0", "95.5"):
            assert publish(first, "shop-9/kitchen", f'{{"temperature": {value}}}') == 0
        begun = time.monotonic()
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(20) == 0
        # Five seconds on a machine that does nothing else; tests share theirs.
        assert time.monotonic() - begun < 15
    assert DataDirectory(tmp_path / "data").running() is None
    with tocsin_up(tmp_path / "data") as second:
        listed = json.loads(tocsin("alarms", "list", "--json", "--data", str(second.data)))
        assert [alarm["subject"] for alarm in listed] == ["shop-9/kitchen/temperature"]


def test_the_demo_shows_a_fire_and_its_message_and_ends_by_itself(tmp_path: Path) -> None:
    """The first thing anyone runs."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "demo", "--terminal", "--seconds", "40", "--data", str(tmp_path / "demo")],
        capture_output=True, text=True, timeout=_PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "[RED] Fire · shop-0001" in said
    assert "messages handed out" in said


def test_a_door_open_to_the_network_without_logins_is_refused(tmp_path: Path) -> None:
    """Anonymous clients may come from this machine only."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "up", "--data", str(tmp_path / "d"), "--mqtt-host", "0.0.0.0",
         "--mqtt-port", "0", "--http-port", "0"],
        capture_output=True, text=True, timeout=_PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert "tocsin devices add" in done.stderr
