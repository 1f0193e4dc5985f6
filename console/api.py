"""The HTTP API: is it alive, is it ready, its metrics, and the alarms with what people do about them.

Everything it needs is handed to `make_api`. Errors have one shape (`console.errors`), access is `console.guard`.
Bodies are msgspec's JSON; their schemas stand in `/api/v1/openapi.json`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, FastAPI, Header, Query, Response
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from alerting.people import ASKED, LONGEST_PAGE, People, Wanted
from alerting.views import AlarmDetail, AlarmPage, AlarmView, Command, decode_cursor
from console.errors import SCHEMA, answer_errors
from console.guard import Guard
from console.health import Troubles, health_router
from schemas.alarms import Grade, Kind

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL in text
Enterprise = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
GradeWord = Literal["blue", "yellow", "orange", "red"]
_ANSWERS = (AlarmPage, AlarmDetail, AlarmView, Command)
_IDEMPOTENCY = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        pattern=r"^[\x21-\x7e]*$",
        description="A repeat under the same key changes nothing.",
    ),
]


class Act(BaseModel):
    """What a person does about an alarm."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=100, pattern=_NO_NUL, description="Who does this.")
    step: int | None = Field(None, ge=1, lt=1 << 31, description="The step that was seen; the newest if left out.")
    note: str = Field("", max_length=1000, pattern=_NO_NUL)


def make_api(people: People, registry: CollectorRegistry, troubles: Troubles, token: str) -> FastAPI:
    """An ASGI app. token: what `/api/` asks for, at least 16 characters."""
    app = FastAPI(title="Tocsin", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    answer_errors(app)
    app.add_middleware(Guard, token=token)
    app.include_router(health_router(registry, troubles))
    app.include_router(_alarms(people), prefix="/api/v1")
    document: dict[str, Any] = {}

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        if not document:
            document.update(_document(app))
        return document

    return app


def _alarms(people: People) -> APIRouter:
    router = APIRouter(tags=["alarms"])

    @router.get("/alarms", responses=_answers(AlarmPage, 400, 401, 503), summary="Alarms, worst first, in pages.")
    def list_alarms(
        state: Annotated[Literal["open", "ended", "all"], Query()] = "open",
        grade: Annotated[list[GradeWord] | None, Query(description="Repeatable.")] = None,
        kind: Annotated[list[Kind] | None, Query(description="Repeatable.")] = None,
        enterprise: Annotated[list[Enterprise] | None, Query(description="Repeatable.")] = None,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
        cursor: Annotated[str, Query(max_length=500, description="`next` of the page before.")] = "",
    ) -> Response:
        wanted = Wanted(
            {"open": True, "ended": False, "all": None}[state],
            [Grade.of(word) for word in grade] if grade else None,
            kind,
            enterprise,
        )
        return _json(people.list_alarms(wanted, limit, decode_cursor(cursor) if cursor else None))

    @router.get("/alarms/{key}", responses=_answers(AlarmDetail, 401, 404, 503), summary="One alarm, whole.")
    def show_alarm(key: str) -> Response:
        return _json(people.show(key))

    @router.post(
        "/alarms/{key}/ack",
        responses=_answers(AlarmView, 400, 401, 404, 409, 503),
        summary="A person takes notice of the alarm as it stood at a step.",
    )
    def acknowledge(key: str, act: Act, idempotency_key: _IDEMPOTENCY = "") -> Response:
        return _json(people.acknowledge(key, act.by, step=act.step, note=act.note, idempotency_key=idempotency_key))

    @router.post(
        "/alarms/{key}/reset",
        responses=_answers(Command, 400, 401, 404, 409, 503) | _answer(202, Command),
        summary="Ask the engine to reset a latched alarm; 202 until it has judged, then its answer.",
    )
    def reset(key: str, act: Act, idempotency_key: _IDEMPOTENCY = "") -> Response:
        command = people.ask_reset(key, act.by, step=act.step, note=act.note, idempotency_key=idempotency_key)
        return _json(command, 202 if command.standing == ASKED else 200)

    @router.get(
        "/commands/{key}", responses=_answers(Command, 401, 404, 503), summary="What became of a person's command."
    )
    def command(key: str) -> Response:
        return _json(people.command(key))

    return router


def _json(answer: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _answer(status: int, shape: type) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}}
    return {status: {"description": "The answer." if status == 200 else "Asked, not judged yet.", "content": content}}


def _answers(shape: type, *errors: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return _answer(200, shape) | {status: {"description": "Error.", "content": content} for status in errors}


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the shapes of msgspec and ours of errors in place of the framework's."""
    document: dict[str, Any] = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, shapes = msgspec.json.schema_components(_ANSWERS, ref_template="#/components/schemas/{name}")
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
