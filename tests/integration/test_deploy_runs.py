"""docker-compose.yml without Docker: its parts with its settings, secrets, roles and broker, from device to API."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from paho.mqtt import publish

from schemas.errors import ConfigError
from tests.deployed import SETUP, make_secrets, mosquitto_of_the_recipe, postgres_of_the_recipe
from tests.recipes import compose, filled, is_ours
from tests.waiting import until
from tocsin.local.cluster import Member
from tocsin.local.kafka import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.kafka]
_PATIENCE_S = 300.0
SERVICES: dict[str, dict[str, Any]] = {name: one for name, one in compose()["services"].items() if is_ours(one)}
PARTS = {"door": "door-1", "bridge": "bridge-1", "worker-1": "worker-1", "worker-2": "worker-2", "desk": "desk-1",
         "console": "console-1"}  # fmt: skip


class Deployment:
    """The services of compose as processes of this machine."""

    def __init__(self, folder: Path, secrets: Path, places: dict[str, str], dsns: dict[str, str]) -> None:
        """places: names inside compose's networks, and what they are here."""
        self.folder = folder
        self.secrets = secrets
        self._places = places
        self._dsns = {"owner_dsn": dsns["tocsin"], "app_dsn": dsns["tocsin_app"]}
        self.members: dict[str, Member] = {}

    def environment(self, service: str) -> dict[str, str]:
        """As compose and the image give it, with a folder of the secrets that the service is given."""
        mounted = self.folder / "mounted" / service
        mounted.mkdir(parents=True, exist_ok=True)
        for secret in SERVICES[service]["secrets"]:
            source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
            shutil.copy(self.secrets / source, mounted / target)
            if source in self._dsns:
                (mounted / target).write_text(self._dsns[source])
        told = {name: filled(str(value)) for name, value in SERVICES[service]["environment"].items()}
        for there, here in {**self._places, "/run/secrets": str(mounted)}.items():
            told = {name: value.replace(there, here) for name, value in told.items()}
        image = {"TOCSIN_HTTP_HOST": "0.0.0.0", "TOCSIN_MQTT_HOST": "0.0.0.0"}
        return {**image, **told, "TOCSIN_HTTP_PORT": "0", "TOCSIN_MQTT_PORT": "0"}

    def run(self, service: str, *words: str) -> str:
        """`docker compose run --rm SERVICE WORDS`; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "tocsin", *(words or SERVICES[service]["command"])],
            env={**bare(), **self.environment(service)}, capture_output=True, text=True, timeout=_PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        for service, instance in PARTS.items():
            environment = self.environment(service)
            assert environment["TOCSIN_INSTANCE"] == instance
            assert SERVICES[service]["command"] == [instance.rpartition("-")[0]]
            member = Member(instance, self.folder, environment)
            self.members[service] = member
            member.launch()
        for member in self.members.values():
            member.wait_until_ready(_PATIENCE_S)

    def stop(self) -> None:
        for member in self.members.values():
            member.stop()

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.members[service].running.http_port}"

    @property
    def authorization(self) -> dict[str, str]:
        """With the file that Prometheus is given."""
        return {"Authorization": f"Bearer {(self.secrets / 'prometheus_token').read_text().strip()}"}


@dataclass
class World:
    """login: of a device at Mosquitto, user name and password."""

    deployment: Deployment
    mqtts_port: int
    login: tuple[str, str]


def bare() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("deployed")
    folder.chmod(0o711)
    kafka = Kafka(folder / "kafka")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as shell:
        for name in set(os.environ) - set(bare()):
            shell.delenv(name)
        stack.callback(kafka.stop)
        try:
            kafka.start()
        except ConfigError as error:
            (pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip)(str(error))
        secrets = make_secrets(folder / "secrets")
        login = ("shop-2/kitchen", SETUP["add_login"](secrets, "shop-2/kitchen"))
        dsns = stack.enter_context(postgres_of_the_recipe(folder / "pg", secrets))
        port = stack.enter_context(mosquitto_of_the_recipe(folder / "mosquitto", secrets))
        places = {"kafka:9092": kafka.servers, "mosquitto:8883": f"localhost:{port}"}
        deployment = Deployment(folder, secrets, places, dsns)
        stack.callback(deployment.stop)
        deployment.run("migrate")
        yield World(deployment, port, login)


def hot(port: int, login: tuple[str, str], tls: Path | None = None) -> None:
    """Two readings of 95 °C, which are heavy heat. login: user name, which is the device, and password."""
    username, password = login
    topic = f"tocsin/v1/{username}/telemetry"
    messages = [{"topic": topic, "payload": json.dumps({"temperature": 95.0 + n}), "qos": 1} for n in range(2)]
    publish.multiple(
        messages,  # type: ignore[arg-type]
        hostname="localhost",
        port=port,
        auth={"username": username, "password": password},
        tls={"ca_certs": str(tls), "tls_version": ssl.PROTOCOL_TLS_CLIENT} if tls else None,
    )


def test_a_device_at_the_door_and_one_at_mosquitto_raise_alarms_that_the_api_shows(world: World) -> None:
    """Everything that compose gives its parts is enough, and each has the role that it may have."""
    deployment = world.deployment
    made = json.loads(deployment.run("tocsin", "devices", "add", "shop-1/kitchen", "--json"))
    deployment.start()
    hot(deployment.members["door"].running.mqtt_port, (made["username"], made["password"]))
    hot(world.mqtts_port, world.login, deployment.secrets / "ca.crt")

    def enterprises() -> set[str]:
        url = f"{deployment.url('console')}/api/v1/alarms"
        answer = httpx.get(url, headers=deployment.authorization).raise_for_status()
        return {alarm["enterprise"] for alarm in answer.json()["alarms"]}

    until(lambda: enterprises() >= {"shop-1", "shop-2"}, "both stand in the API", _PATIENCE_S)
