"""What is deployed, read from the repository: compose, units, manifests, and the commands and settings they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tocsin.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SETTINGS = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}

Json = dict[str, Any]


def compose() -> Json:
    document: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def filled(text: str) -> str:
    """As compose fills in `${NAME:-default}` where .env says nothing."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def is_ours(service: Json) -> bool:
    return str(service["image"]).startswith("${IMAGE:-tocsin")


def manifests() -> Iterator[tuple[str, Json]]:
    """Every object of deploy/kubernetes, with `file/kind/name`."""
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        if file.name != "kustomization.yaml":
            for one in yaml.safe_load_all(file.read_text()):
                yield f"{file.name}/{one['kind']}/{one['metadata']['name']}", one


def pod_of(manifest: Json) -> Json | None:
    """The pod that it makes, if it makes one."""
    pod: Json | None = manifest.get("spec", {}).get("template", {}).get("spec")
    return pod


def units() -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted((DEPLOY / "systemd").glob("*.service"))}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of `tocsin` in the recipes: `RECIPE where`, and its words."""
    for name, service in compose()["services"].items():
        if is_ours(service) and "entrypoint" not in service:
            yield f"compose {name}", [filled(str(word)) for word in service["command"]]
    for name, text in units().items():
        (line,) = re.findall(r"^ExecStart=\S+/tocsin (.*)$", text, re.M)
        yield f"systemd {name}", shlex.split(line)
    for name, manifest in manifests():
        pod = pod_of(manifest)
        if pod is not None:
            yield f"kubernetes {name}", pod["containers"][0]["args"]


def texts() -> dict[str, str]:
    """Every file that an operator copies, by its path in the repository."""
    named = ("docker-compose.yml", "Dockerfile", ".env.example", "docs/how-to/run-a-cluster.md")
    files = [ROOT / name for name in named]
    files += [file for file in DEPLOY.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    return {str(file.relative_to(ROOT)): file.read_text() for file in sorted(files) if file.exists()}
