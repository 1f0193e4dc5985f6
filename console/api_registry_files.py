"""`/api/v1/registry/import` and `/export`: the registry's files over HTTP, by the functions of the command."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from console.api_shapes import Responses, answer, answers
from console.guard import viewer_of
from registry.applying import MOST_PROBLEMS, NewLogin, Report
from registry.columns import Sort
from registry.directory import Directory
from registry.importing import read
from schemas.viewers import Act, Viewer

PATH = "/api/v1/registry/import"
LARGEST_BODY = 32 * 1024 * 1024
LARGER = {PATH: LARGEST_BODY}
"""For `console.guard.Guard`: a file is larger than other bodies."""
_TOML = "application/toml"
_BODY = {
    "required": True,
    "description": f"CSV in UTF-8 or GB 18030, or TOML; at most {LARGEST_BODY // 1024 // 1024} MiB.",
    "content": {kind: {"schema": {"type": "string", "minLength": 1}} for kind in ("text/csv", _TOML)},
}
_FILE: Responses = {
    200: {
        "description": "The file.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
        "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
    }
}


class Imported(Report):
    """logins: of new devices, where they were asked for. Their passwords are shown this once."""

    logins: list[NewLogin] = msgspec.field(default_factory=list)


SHAPES = (Imported,)


def registry_files_router(directory: Directory) -> APIRouter:
    router = APIRouter(tags=["registry"])

    @router.post(
        "/registry/import",
        responses=answers(Imported, 400, 401, 403, 411, 413, 503),
        openapi_extra={"requestBody": _BODY},
        summary="Import a file, all of it or nothing; `imported` says whether it was.",
    )
    async def import_file(
        request: Request,
        dry_run: Annotated[bool, Query(description="Say what would be done, and do nothing.")] = False,
        skip_bad: Annotated[bool, Query(description="Take the good rows, and leave the bad ones.")] = False,
        logins: Annotated[bool, Query(description="Make a login for every new device.")] = False,
        about: Annotated[Sort | None, Query(description="What it is about, where its headings do not tell.")] = None,
        problems: Annotated[int, Query(ge=0, le=MOST_PROBLEMS, description="Show so many of them.")] = 1000,
    ) -> Response:
        viewer = viewer_of(request)
        viewer.must(Act.CHANGE_REGISTRY)
        name = "body.toml" if _kind(request) == _TOML else "body.csv"
        data = await request.body()
        report = await run_in_threadpool(_import, directory, viewer, name, data, about, dry_run, skip_bad, logins)
        report.problems = report.problems[:problems]
        return answer(request, report)

    @router.get(
        "/registry/export/{about}",
        response_class=StreamingResponse,
        responses=_FILE | {status: said for status, said in answers(Imported, 401, 403, 503).items() if status != 200},
        summary="What the viewer sees, as a CSV file that an import reads back unchanged.",
    )
    def export_file(request: Request, about: Sort) -> StreamingResponse:
        pieces = directory.export(viewer_of(request), about)
        headers = {"Content-Disposition": f'attachment; filename="{about}.csv"', "Cache-Control": "no-store"}
        # What is refused, or away, is said before the first byte.
        return StreamingResponse(_bytes(chain([next(pieces)], pieces)), 200, headers, "text/csv; charset=utf-8")

    return router


def _import(
    directory: Directory,
    viewer: Viewer,
    name: str,
    data: bytes,
    about: Sort | None,
    dry_run: bool,
    skip_bad: bool,
    logins: bool,
) -> Imported:
    report, made = directory.apply(viewer, read(name, data, about), dry_run=dry_run, skip_bad=skip_bad, logins=logins)
    return Imported(report.dry_run, report.imported, report.files, report.wrong, report.problems, made)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _bytes(pieces: Iterator[str]) -> Iterator[bytes]:
    return (piece.encode() for piece in pieces)
