"""`devices test` and `quarantine`, as an integrator uses them while Tocsin runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from typer.testing import CliRunner

from schemas.errors import TocsinError
from tests.waiting import until
from tocsin.bench.service import Service, tocsin_up
from tocsin.commands.quarantine import app
from tocsin.settings import connect_dsn

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with tocsin_up(tmp_path_factory.mktemp("device") / "data", environment={"TOCSIN_CONSOLE": "false"}) as running:
        yield running


def publish(service: Service, payload: str) -> None:
    words = ["-p", str(service.running.mqtt_port), "-q", "1", "-t", "tocsin/v1/shop-1/boiler/telemetry", "-m", payload]
    subprocess.run(["mosquitto_pub", *words], check=True, timeout=30)


def tocsin(service: Service, *words: str, code: int = 0) -> str:
    """What the command says, on stderr where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", *words, "--data", str(service.data)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_misnamed_measure_is_found_mended_and_its_history_kept(service: Service) -> None:
    """The way from the first message of a device that was set up wrongly to its readings."""
    assert "nothing has been heard of shop-1/boiler" in tocsin(service, "devices", "test", "shop-1/boiler", code=1)
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tocsin",
            "devices",
            "test",
            "shop-1/boiler",
            "--wait",
            "--json",
            "--data",
            str(service.data),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    assert "waiting" in waiting.stderr.readline()
    publish(service, '{"temprature": 21.5}')
    seen = json.loads(waiting.communicate(timeout=120)[0])
    assert [one["field"] for one in seen["refused"]["message"]["told"]] == ["temprature"]
    assert seen["refused"]["suggestion"] == {"rename": {"temprature": "temperature"}}
    publish(service, '{"temprature": 22.5}')
    assert "temprature: There is no measure of this name." in tocsin(service, "quarantine", "list")
    said = tocsin(
        service, "quarantine", "replay", "--device", "shop-1/boiler", "--rename", "temprature=temperature", "--json"
    )
    assert json.loads(said) == {"asked": 2, "left": 0}
    assert "Nothing was refused." in tocsin(service, "quarantine", "list")

    def stored() -> int:
        with psycopg.connect(connect_dsn(service.data)) as connection:
            return len(connection.execute("SELECT FROM readings").fetchall())

    until(lambda: stored() == 2, "the replayed readings are stored")
    now = json.loads(tocsin(service, "devices", "test", "shop-1/boiler", "--json"))
    assert "heat.fire" in now["rules"]["temperature"]
    assert [(one["sensor"], one["value"]) for one in now["values"]] == [("temperature", 22.5)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["replay"], "nothing is named"),
        (["replay", "123", "--all"], "named already"),
        (["replay", "--all", "--rename", "a=smoak"], "no measure"),
        (["replay", "--all", "--rename", "smoke"], "not KEY=VALUE"),
        (["replay", "--all", "--factor", "smoke=much"], "not a number"),
        (["show", "one"], "names no message"),
        (["show", "123"], "no refused message"),
    ],
)
def test_what_is_asked_wrongly_is_said(service: Service, words: list[str], why: str) -> None:
    """Nothing is replayed by accident."""
    done = CliRunner().invoke(app, [*words, "--data", str(service.data)])
    assert isinstance(done.exception, TocsinError)
    assert why in str(done.exception)
