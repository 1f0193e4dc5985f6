"""What all routers of the API share: how an answer is written, its ETag, and how the document speaks of it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from fastapi import Header, Request, Response
from pydantic import StringConstraints

Responses = dict[int | str, dict[str, Any]]
NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL in text
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        pattern=r"^[\x21-\x7e]*$",
        description="A repeat under the same key changes nothing.",
    ),
]
_UNCHANGED = {"description": "It is as it was when it had the ETag of `If-None-Match`."}
_WORDS = {200: "The answer.", 201: "Made.", 202: "Asked, not judged yet."}


def answer(request: Request, shape: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`shape` as JSON, with its ETag where it is read; 304 when the asker has it already."""
    body = msgspec.json.encode(shape)
    said = dict(headers or {})
    if request.method == "GET":
        tag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
        said |= {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
        if tag in [one.strip() for one in request.headers.get("if-none-match", "").split(",")]:
            return Response(None, 304, said)
    return Response(body, status, said, media_type="application/json")


def answers(shape: type, *errors: int, status: int = 200, cached: bool = False) -> Responses:
    """The document's words of an endpoint's answers.  cached: it has an ETag."""
    found: Responses = {status: {"description": _WORDS[status], "content": content(shape)}}
    if cached:
        found[304] = _UNCHANGED
    return found | {error: {"description": "Error.", "content": content_of("Error")} for error in errors}


def content(shape: type) -> dict[str, Any]:
    return content_of(shape.__name__)


def content_of(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
