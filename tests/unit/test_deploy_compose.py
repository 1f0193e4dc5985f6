"""docker-compose.yml: by the published schema, whole in itself, and with no more rights than a part needs."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.recipes import DEPLOY, ROOT, compose, filled, is_ours

COMPOSE = compose()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
RUNNING = {name: service for name, service in SERVICES.items() if "profiles" not in service}
PARTS = {name: one for name, one in RUNNING.items() if is_ours(one) and name != "migrate"}


def test_it_is_valid_by_the_published_schema() -> None:
    """The schema of the compose specification, as check-jsonschema ships it."""
    shipped = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(shipped)).read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(COMPOSE)] == []


def test_docker_takes_it() -> None:
    """Where Docker's client has compose, its own word counts."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is missing; the schema is checked all the same")
    done = subprocess.run(
        [docker, "compose", "--profile", "*", "config", "--quiet"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COMPOSE_FILE": "docker-compose.yml"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _secrets(service: dict[str, Any]) -> set[str]:
    return {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}


@pytest.mark.parametrize("kind", ["secrets", "networks", "volumes"])
def test_what_is_declared_is_used_and_what_is_used_is_declared(kind: str) -> None:
    """What nobody uses is left over; what nobody declares is an error at the start."""
    used: set[str] = set()
    for service in SERVICES.values():
        if kind == "volumes":
            sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
            used |= {source for source in sources if not source.startswith(".")}
        else:
            used |= _secrets(service) if kind == "secrets" else set(service.get("networks", []))
    assert used == set(COMPOSE[kind])


def test_setup_makes_every_secret(tmp_path: Path) -> None:
    """A secret that nothing makes is a container that does not start."""
    runpy.run_path(str(DEPLOY / "make_secrets.py"))["make_missing"](tmp_path, ["localhost"])
    assert {Path(one["file"]).name for one in COMPOSE["secrets"].values()} <= {one.name for one in tmp_path.iterdir()}


def test_every_file_that_is_mounted_exists() -> None:
    """Docker makes a folder in the place of a file that is missing, and the service fails on it."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or source == "./secrets" or (ROOT / source).exists(), name


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_more_rights_than_it_needs(name: str) -> None:
    """What breaks into one part must not find the means to go on from there."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "devices"} & set(service)
    assert set(service.get("cap_add", [])) <= ({"CHOWN", "DAC_OVERRIDE"} if name == "setup" else set())
    # Kafka's image writes its configuration beside its program, as a user of its own.
    assert service.get("read_only", False) or name == "kafka"
    assert service.get("user", "") != "0:0" or name == "setup"


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_is_watched_limited_and_started_again(name: str) -> None:
    """A part that hangs, or eats the machine, must not take the others with it."""
    service = RUNNING[name]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= set(limits)
    once = name == "migrate"
    assert service["restart"] == ("no" if once else "unless-stopped")
    assert once or service["healthcheck"]["test"][0] == "CMD"


def test_images_have_a_version() -> None:
    """`latest` is another image tomorrow."""
    for name, service in SERVICES.items():
        tag = filled(service["image"]).partition(":")[2]
        assert tag, name
        assert tag != "latest", name


@pytest.mark.parametrize("name", PARTS)
def test_parts_start_when_tables_and_topics_are_there(name: str) -> None:
    """Before that they would only fail and start again."""
    needs = PARTS[name]["depends_on"]
    assert needs["migrate"]["condition"] == "service_completed_successfully"
    assert {needs[service]["condition"] for service in ("kafka", "postgres")} == {"service_healthy"}


def test_every_part_has_a_name_of_its_own() -> None:
    """By it a door or a worker finds what it had begun; two of one name would fence each other."""
    names = [service["environment"]["TOCSIN_INSTANCE"] for service in PARTS.values()]
    assert sorted(names) == sorted({f"{name}-1" if "-" not in name else name for name in PARTS})


def test_only_those_who_change_tables_have_the_owners_role() -> None:
    """Door, bridge, desk and console face the outside; none of them could drop a table."""
    owners = {name for name, service in SERVICES.items() if "owner_dsn" in _secrets(service)}
    assert owners == {"migrate", "worker-1", "worker-2"}
    assert all(("app_dsn" in _secrets(one)) != (name in owners) for name, one in PARTS.items())


def test_a_part_reaches_what_it_needs_and_nothing_else() -> None:
    """Kafka has no password of its own here: the network is what keeps others out."""
    networks = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
    inside = {name for name, told in COMPOSE["networks"].items() if told.get("internal")}
    assert {"log", "rows", "broker", "watch"} == inside
    assert networks["kafka"] == {"log"}
    assert networks["postgres"] == {"rows"}
    assert networks["worker-1"] <= inside
    assert networks["bridge"] <= inside
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert all(networks[name] - inside for name in published), "a published port needs a network that leads outside"
    assert not any(
        "rows" in networks[name] or "log" in networks[name] for name in ("mosquitto", "prometheus", "grafana")
    )
