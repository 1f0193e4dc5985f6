"""What the recipes name exists in the code (settings, secrets, ports): a recipe is code that nobody imports."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.recipes import DEPLOY, ROOT, SETTINGS, compose, filled, is_ours, manifests, pod_of, texts, units
from tocsin.settings import Settings

PORTS = {"mqtt": Settings.model_fields["mqtt_port"].default, "http": Settings.model_fields["http_port"].default}


@pytest.mark.parametrize("file", texts())
def test_every_setting_of_a_recipe_exists(file: str) -> None:
    """An unknown variable is not read, and nobody says so."""
    found = set(re.findall(r"\bTOCSIN_[A-Z0-9_]+", texts()[file]))
    assert found <= SETTINGS


def test_secrets_are_handed_out_under_the_names_of_settings() -> None:
    """A file of another name would be passed over in silence."""
    targets = {
        secret["target"]
        for service in compose()["services"].values()
        for secret in service.get("secrets", [])
        if is_ours(service) and isinstance(secret, dict)
    }
    for _, manifest in manifests():
        for volume in (pod_of(manifest) or {}).get("volumes", []):
            targets |= {item["path"] for item in volume.get("secret", {}).get("items", [])}
    files = re.findall(r"^# Files of secrets: (.*)$", "\n".join(units().values()), re.M)
    targets |= {f"tocsin_{name}" for line in files for name in re.findall(r"\b(dsn|token|\w+_\w+)\b", line)}
    assert {target.upper() for target in targets - {"ca.crt", "tocsin_tocsin_app"}} <= SETTINGS


def test_secrets_are_files_and_never_in_an_environment() -> None:
    """An environment is shown by `docker inspect`, `systemctl show` and `kubectl describe`."""
    secret = {"TOCSIN_DSN", "TOCSIN_TOKEN", "TOCSIN_WEBHOOK_SECRET", "TOCSIN_BROKER_PASSWORD"}
    assert secret <= SETTINGS
    for file, text in texts().items():
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        assert not secret & set(re.findall(r"(TOCSIN_\w+)\s*[=:]", "\n".join(lines))), file


def test_the_image_opens_the_ports_of_the_settings() -> None:
    """Who changes a default changes it everywhere."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    (exposed,) = re.findall(r"^EXPOSE (.*)$", dockerfile, re.M)
    assert {int(port) for port in exposed.split()} == set(PORTS.values())


def test_published_ports_are_those_that_something_listens_on() -> None:
    """A port of nobody is found by the first device only."""
    inside = {
        name: int(filled(port).rpartition(":")[2])
        for name, service in compose()["services"].items()
        for port in service.get("ports", [])
    }
    assert inside == {
        "door": PORTS["mqtt"], "console": PORTS["http"], "mosquitto": 8883, "prometheus": 9090, "grafana": 3000,
    }  # fmt: skip
    assert "listener 8883\n" in (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
    for name, manifest in manifests():
        for container in (pod_of(manifest) or {}).get("containers", []):
            assert all(PORTS[port["name"]] == port["containerPort"] for port in container.get("ports", [])), name


def test_nothing_is_published_beyond_this_machine_by_default() -> None:
    """MQTT and the API speak without TLS: letting others in is a decision."""
    for name, service in compose()["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("${PUBLISH:-127.0.0.1}:"), name


def test_probes_ask_the_port_and_the_paths_of_the_api() -> None:
    """A probe of another path restarts a healthy part for ever."""
    for file, text in texts().items():
        for port, path in re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)'", text):
            assert (int(port), path) == (PORTS["http"], "/readyz"), file


def test_pins_are_of_the_registry_alone() -> None:
    """A folder of one machine in the pins is no folder of another's."""
    for file in (ROOT / "requirements").glob("*.txt"):
        assert not re.findall(r"^--(?!hash)\S+", file.read_text(), re.M), file.name


def test_the_image_installs_by_hash_and_carries_no_installer() -> None:
    """What runs is what was pinned, and nothing in it can fetch more."""
    build, final = (ROOT / "Dockerfile").read_text().split("\nFROM ")[1:]
    assert "--require-hashes" in build
    assert "--only-binary :all:" in build
    assert "uninstall --yes --quiet --root-user-action=ignore setuptools wheel pip" in final
    assert "USER 10001:10001" in final
    assert "HEALTHCHECK" in final
    copied = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.M))
    packages = {file.parent.name for file in ROOT.glob("*/py.typed")}
    assert copied >= packages | {"pyproject.toml", "README.md", "LICENSE", "requirements/cluster.txt"}


def test_the_environment_file_of_compose_is_whole() -> None:
    """What can be changed stands there with the value that holds without it."""
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    assert set(used) - {"IMAGE"} == set(example)
    assert {name: used[name] for name in example if name != "MQTTS_NAMES"} == {
        name: value for name, value in example.items() if name != "MQTTS_NAMES"
    }
    assert shlex.split(example["MQTTS_NAMES"])[0] == used["MQTTS_NAMES"]
