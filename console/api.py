"""The HTTP API: is it alive, is it ready, its metrics, and `/api/v1` with a router for each matter.

Everything it needs is handed to `make_api`. Errors have one shape (`console.errors`), access is `console.guard`.
Bodies are msgspec's JSON; their schemas stand in `/api/v1/openapi.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry

from console import (
    api_accounts,
    api_alarms,
    api_devices,
    api_messages,
    api_registry,
    api_registry_devices,
    api_registry_files,
    api_risk,
    api_rules,
    api_stream,
)
from console.api_shapes import content_of
from console.errors import SCHEMA, answer_errors
from console.guard import COOKIE, Guard
from console.health import Troubles, health_router
from console.once import HEADER, Once
from console.services import Services

_SHAPES: tuple[type, ...] = (
    *api_accounts.SHAPES,
    *api_alarms.SHAPES,
    *api_stream.SHAPES,
    *api_devices.SHAPES,
    *api_messages.SHAPES,
    *api_registry.SHAPES,
    *api_registry_devices.SHAPES,
    *api_registry_files.SHAPES,
    *api_risk.SHAPES,
    *api_rules.SHAPES,
)
LARGER = api_registry_files.LARGER
"""For the guard: where a body may be larger than elsewhere."""
_SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The key of a program (`POST /api/v1/keys`), or the house's token in the data directory.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Of somebody who has logged in. What changes something must then be asked by a page of ours.",
    },
}


def make_api(services: Services, registry: CollectorRegistry, troubles: Troubles, token: str) -> FastAPI:
    """An ASGI app. token: what `/api/` asks for, at least 16 characters."""
    app = FastAPI(title="Tocsin", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    answer_errors(app)
    if services.once is not None:
        app.add_middleware(Once, book=services.once)
    app.add_middleware(Guard, token=token, accounts=services.accounts, larger=LARGER)
    app.include_router(health_router(registry, troubles))
    add_api(app, services)
    return app


def add_api(app: FastAPI, services: Services) -> None:
    """Mount `/api/v1`; the app has its errors and its guard already."""
    for router in _routers(services):
        app.include_router(router, prefix="/api/v1")
    document: dict[str, Any] = {}

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        if not document:
            document.update(_document(app))
        return document


def _routers(services: Services) -> Iterator[APIRouter]:
    """Of what the process has. A fixed path stands before one that would take its last part for a name."""
    if services.accounts is not None:
        yield api_accounts.accounts_router(services.accounts)
    yield api_stream.stream_router(services.live)
    yield api_alarms.alarms_router(services.people)
    if services.payloads is not None:
        yield api_devices.devices_router(services.payloads)
    if services.directory is not None:
        yield api_registry.registry_router(services.directory)
        yield api_registry_devices.registered_devices_router(services.directory)
        yield api_registry_files.registry_files_router(services.directory)
    if services.trials is not None:
        yield api_messages.messages_router(services.trials)
    if services.risk is not None:
        yield api_risk.risk_router(services.risk)
    if services.rules is not None:
        yield api_rules.rules_router(services.rules)
    if services.health is not None:
        yield api_rules.house_health_router(services.health)


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the shapes of msgspec and ours of errors in place of the framework's."""
    document: dict[str, Any] = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, shapes = msgspec.json.schema_components(_SHAPES, ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(shapes, Error=SCHEMA)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            if path.startswith("/api/"):
                if method == "post" and path != "/api/v1/session":
                    _add_key(operation)
                _add_errors(operation)
            for answer in operation["responses"].values():
                _drop_empty(answer.get("content", {}))
    components["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    return document


def _add_errors(operation: dict[str, Any]) -> None:
    """What is answered before an endpoint hears of it: no good parameter, a stranger, a body that is too large."""
    asks, changes = "parameters" in operation, "requestBody" in operation
    for status, says in ((400, asks or changes), (401, True), (411, changes), (413, changes)):
        if says:
            error = {"description": "Error.", "content": content_of("Error")}
            operation["responses"].setdefault(str(status), error)


def _add_key(operation: dict[str, Any]) -> None:
    """What `console.once` does for every POST that does not know its key itself."""
    parameters = operation.setdefault("parameters", [])
    if not any(one["name"].lower() == HEADER.lower() for one in parameters):
        schema = {"type": "string", "maxLength": 200, "pattern": r"^[\x21-\x7e]*$"}
        says = (
            "A repeat under the same key is not done again, and is told so (`not_possible`): that it was done, or that "
            "it was begun and what came of it is not known, as when the console died meanwhile. Then look, and use a "
            "new key."
        )
        parameters.append({"name": HEADER, "in": "header", "required": False, "schema": schema, "description": says})
        error = {"description": "Error.", "content": content_of("Error")}
        operation["responses"].setdefault("409", error)


def _drop_empty(content: dict[str, Any]) -> None:
    """The framework's own type, where the endpoint has said another."""
    if len(content) > 1 and not content.get("application/json", {"schema": True}).get("schema"):
        del content["application/json"]
