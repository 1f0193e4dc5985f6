"""docs/how-to/connect-a-sensor.md, followed to the letter against a running Tocsin."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until
from tocsin.bench.service import Service, tocsin_up

pytestmark = pytest.mark.integration
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "connect-a-sensor.md").read_text()


def block(language: str, having: str) -> str:
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S) if having in text]
    return str(found)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with tocsin_up(tmp_path_factory.mktemp("page") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def password(service: Service) -> str:
    """Of the login that the page adds, once the door knows it."""
    arguments = block("sh", "devices add").split()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", *arguments, "--json", "--data", str(service.data)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    made = json.loads(done.stdout)
    assert made["username"] == "shop-1/kitchen"
    return str(made["password"])


def told(service: Service, password: str, text: str) -> str:
    """The page's words with this run's port and password."""
    return text.replace('"PASSWORD"', repr(password)).replace("1883", str(service.running.mqtt_port))


def test_the_python_of_the_page_is_acknowledged(service: Service, password: str) -> None:
    """It is the first thing an integrator copies."""
    program = told(service, password, block("python", "import paho"))

    def runs() -> bool:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        return done.stdout.strip() == "on disk"

    until(runs, "the page's Python is acknowledged")


def test_the_shell_of_the_page_publishes_and_hears_its_errors(service: Service, password: str) -> None:
    """Both lines as they stand, with a payload that is wrong."""
    if shutil.which("mosquitto_pub") is None:
        say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
        say("mosquitto_pub is missing: apt-get install mosquitto-clients")
    send, hear = (told(service, password, block("sh", word)) for word in ("mosquitto_pub", "mosquitto_sub"))
    told_password = {**os.environ, "PASSWORD": password}

    def sends() -> bool:
        return subprocess.run(["sh", "-c", send], env=told_password, timeout=60, capture_output=True).returncode == 0

    until(sends, "the login is known and the reading is acknowledged")
    with subprocess.Popen(
        ["sh", "-c", f"exec {hear.strip()} -C 1"], env=told_password, stdout=subprocess.PIPE, text=True
    ) as ear:
        wrong = send.replace("0.4", '"0.4"')
        until(lambda: bool(_said(wrong, told_password, ear)), "the mistake is answered")
        assert ear.stdout is not None
        (reject,) = json.loads(ear.stdout.read())["rejects"]
    (example,) = json.loads(block("json", "rejects"))["rejects"]
    assert reject == example


def _said(wrong: str, environment: dict[str, str], ear: subprocess.Popen[str]) -> bool:
    """Send the mistake once more; True when the listener has had its one answer and ended."""
    subprocess.run(["sh", "-c", wrong], env=environment, timeout=60, capture_output=True)
    return ear.poll() is not None
