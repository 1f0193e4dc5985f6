"""The HTTP API: is it alive, is it ready, its metrics, and `/api/v1` with a router for each matter.

Everything it needs is handed to `make_api`. Errors have one shape (`console.errors`), access is `console.guard`.
Bodies are msgspec's JSON; their schemas stand in `/api/v1/openapi.json`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry

from console import api_alarms, api_stream
from console.errors import SCHEMA, answer_errors
from console.guard import Guard
from console.health import Troubles, health_router
from console.services import Services

_SHAPES: tuple[type, ...] = (*api_alarms.SHAPES, *api_stream.SHAPES)


def make_api(services: Services, registry: CollectorRegistry, troubles: Troubles, token: str) -> FastAPI:
    """An ASGI app. token: what `/api/` asks for, at least 16 characters."""
    app = FastAPI(title="Tocsin", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    answer_errors(app)
    app.add_middleware(Guard, token=token, accounts=services.accounts)
    app.include_router(health_router(registry, troubles))
    add_api(app, services)
    return app


def add_api(app: FastAPI, services: Services) -> None:
    """Mount `/api/v1`; the app has its errors and its guard already."""
    app.include_router(api_stream.stream_router(services.live), prefix="/api/v1")
    app.include_router(api_alarms.alarms_router(services.people), prefix="/api/v1")
    document: dict[str, Any] = {}

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        if not document:
            document.update(_document(app))
        return document


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the shapes of msgspec and ours of errors in place of the framework's."""
    document: dict[str, Any] = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, shapes = msgspec.json.schema_components(_SHAPES, ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(shapes, Error=SCHEMA)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    return document
