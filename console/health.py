"""What supervisors and Prometheus ask of any process: is it alive, is it ready, its metrics.

`make_probes` serves that alone; the API (`console.api`) has it beside its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from console.errors import answer_errors, error_body
from console.guard import Guard

Troubles = Callable[[], Mapping[str, str]]
"""Every part → what is wrong with it, for a person, "" where nothing is. Must not block."""


def make_probes(registry: CollectorRegistry, troubles: Troubles, token: str) -> FastAPI:
    """An ASGI app. token: opens `/readyz` and `/metrics` from elsewhere, at least 16 characters."""
    app = FastAPI(title="Tocsin", docs_url=None, redoc_url=None, openapi_url=None)
    answer_errors(app)
    app.add_middleware(Guard, token=token)
    app.include_router(health_router(registry, troubles))
    return app


def health_router(registry: CollectorRegistry, troubles: Troubles) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", summary="The process is alive.")
    def healthz() -> dict[str, bool]:
        return {"alive": True}

    @router.get("/readyz", summary="Every part can do its work; 503 with words when one cannot.")
    def readyz() -> JSONResponse:
        said = troubles()
        states = {name: trouble or "ok" for name, trouble in said.items()}
        wrong = "; ".join(f"{name}: {trouble}" for name, trouble in said.items() if trouble)
        if not wrong:
            return JSONResponse({"ready": True, "parts": states})
        body = {"ready": False, "parts": states, **error_body("away", wrong, mend="Run `tocsin doctor`.")}
        return JSONResponse(body, 503)

    @router.get("/metrics", summary="Metrics in Prometheus' text format.", response_class=Response)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
