"""deploy/kubernetes: by Kubernetes' own schemas, whole in itself, and with no more rights than a part needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.recipes import DEPLOY, compose, is_ours, manifests, pod_of

FOLDER = DEPLOY / "kubernetes"
MANIFESTS = dict(manifests())
PODS = {name: pod for name, one in MANIFESTS.items() if (pod := pod_of(one)) is not None}
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
VERSION = "1.31"
"""The oldest that is supported: what is valid there is valid later."""


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in MANIFESTS.values() if one["kind"] == kind}


@pytest.mark.parametrize("name", MANIFESTS)
def test_it_is_valid_by_the_published_schema(name: str) -> None:
    """A field that is misspelt is dropped by the server, or refused at night."""
    kubernetes_validate.validate(MANIFESTS[name], VERSION, strict=True)


def test_kustomize_builds_it() -> None:
    """Where kubectl is installed, its own word counts."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is missing; the schemas are checked all the same")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert len(built) == len(MANIFESTS)


def test_every_file_is_named_by_the_kustomization() -> None:
    """A file that is not named is not applied."""
    assert set(KUSTOMIZATION["resources"]) == {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_more_rights_than_it_needs(name: str) -> None:
    """What Kubernetes calls restricted, and no token for its API."""
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"requests", "limits"} <= set(container["resources"])


@pytest.mark.parametrize("name", PODS)
def test_a_services_own_variables_do_not_look_like_settings(name: str) -> None:
    """A Service named tocsin-mqtt would set TOCSIN_MQTT_PORT to `tcp://…`, and the door would refuse to start."""
    assert PODS[name]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", [name for name in PODS if "Job" not in name])
def test_what_runs_is_probed_and_knows_its_name(name: str) -> None:
    """A name that stays with the pod is how a door or a worker finds what it had begun."""
    (container,) = PODS[name]["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    (instance,) = container["env"]
    assert instance == {"name": "TOCSIN_INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert "StatefulSet" in name or "console" in name


@pytest.mark.parametrize("name", PODS)
def test_volumes_are_those_that_are_mounted_and_fit_the_image(name: str) -> None:
    """With a root that is read only, each folder that is written must be a volume."""
    (container,) = PODS[name]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in PODS[name]["volumes"]}
    assert {"/var/lib/tocsin", "/var/cache/tocsin", "/tmp"} <= set(mounted.values())
    assert mounted["secrets"] == of_kind("ConfigMap")["tocsin"]["data"]["TOCSIN_SECRETS_DIR"]


def test_secrets_are_those_of_compose() -> None:
    """The same files, made in the same way; and the kustomization says how they come in."""
    keys = {
        item["key"]
        for pod in PODS.values()
        for volume in pod["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }
    parts = [service for service in compose()["services"].values() if is_ours(service)]
    given = {one if isinstance(one, str) else one["source"] for part in parts for one in part.get("secrets", [])}
    assert keys == given
    said = (FOLDER / "kustomization.yaml").read_text()
    assert all(f"--from-file={key}" in said for key in keys)


def test_settings_are_those_of_compose() -> None:
    """Who moves from one machine to many takes them along."""
    services = [one for one in compose()["services"].values() if is_ours(one)]
    told = {name for one in services for name in one.get("environment", {})} - {"TOCSIN_INSTANCE"}
    assert set(of_kind("ConfigMap")["tocsin"]["data"]) == told


def test_the_owners_role_is_with_those_of_compose() -> None:
    """Door, bridge, desk and console face the outside; none of them could drop a table."""
    owners = {
        name.split(".")[0]
        for name, pod in PODS.items()
        for volume in pod["volumes"]
        for item in volume.get("secret", {}).get("items", [])
        if item["key"] == "owner_dsn"
    }
    assert owners == {"migrate", "worker"}


def test_selectors_find_their_pods() -> None:
    """A budget or a Service that selects nothing protects and leads nowhere."""
    labels = [MANIFESTS[name]["spec"]["template"]["metadata"]["labels"] for name in PODS]
    for name, one in MANIFESTS.items():
        spec = one.get("spec", {})
        match one["kind"]:
            case "Service":
                wanted = spec["selector"]
            case "PodDisruptionBudget" | "StatefulSet" | "Deployment":
                wanted = spec["selector"]["matchLabels"]
            case "NetworkPolicy":
                wanted = spec["podSelector"].get("matchLabels", {})
            case _:
                continue
        assert any(wanted.items() <= found.items() for found in labels), name


def test_an_upgrade_takes_one_at_a_time() -> None:
    """The others go on, and a node that is emptied waits."""
    parts = {Path(name.split("/")[0]).stem for name in PODS} - {"migrate"}
    assert set(of_kind("PodDisruptionBudget")) == parts
    assert all(one["spec"]["maxUnavailable"] == 1 for one in of_kind("PodDisruptionBudget").values())


def test_nothing_comes_in_that_is_not_named() -> None:
    """A policy that allows is only worth something beside one that refuses."""
    policies = of_kind("NetworkPolicy")
    assert policies["nothing-comes-in"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    for one in of_kind("StatefulSet").values():
        assert one["spec"]["serviceName"] in of_kind("Service")
