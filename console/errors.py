"""The one shape in which the API says that something went wrong, for every endpoint and every cause.

    {"error": {"code": "not_found", "what": "there is no alarm 12.", "field": "", "mend": "Look at /api/v1/alarms."}}

`code` is one of `CODES`; `what` and `mend` are sentences for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from alerting.people import NotPossible, UnknownAlarm, UnknownCommand
from alerting.trials import TooManyTests, UnknownPlace
from ingest.payloads import UnknownDevice, UnknownMessage
from registry.account_rows import UnknownAccount, UnknownKey
from registry.accounts import LinkRefused, LockedOut, LoginRefused
from registry.errors import InTheWay, NotThere, Stale
from schemas.errors import ConfigError, ServiceAway, TocsinError
from schemas.viewers import NotAllowed
from streams.risk_book import UnknownRisk

CODES: dict[str, int] = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_possible": 409,
    "length_required": 411,
    "stale": 412,
    "too_large": 413,
    "too_many": 429,
    "internal": 500,
    "away": 503,
}
"""code → HTTP status."""
_UNKNOWN = (
    UnknownCommand,
    UnknownAccount,
    UnknownKey,
    UnknownDevice,
    UnknownMessage,
    UnknownPlace,
    UnknownRisk,
    NotThere,
)
_CODE_OF_STATUS = {status: code for code, status in CODES.items()}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "what", "field", "mend"],
            "properties": {
                "code": {"type": "string", "enum": list(CODES)},
                "what": {"type": "string", "description": "What is wrong, for a person."},
                "field": {"type": "string", "description": "The parameter or key that is meant, or empty."},
                "mend": {"type": "string", "description": "What can be done about it, or empty."},
            },
        }
    },
}


class NotLoggedIn(TocsinError):
    def __init__(self) -> None:
        super().__init__("this needs a login.", mend="Log in, or send a key.")


def error_body(code: str, what: str, field: str = "", mend: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "what": what, "field": field, "mend": mend}}


def error_response(
    code: str, what: str, field: str = "", mend: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(error_body(code, what, field, mend), CODES[code], headers)


def answer_errors(app: FastAPI) -> None:
    """Give every failure of `app` the shape, also those of the framework."""
    app.add_exception_handler(TocsinError, _tocsin)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)


def away_response(error: ServiceAway) -> JSONResponse:
    wait = {"Retry-After": str(max(1, round(error.retry_after_s)))}
    # Only the service's name: what a driver says may hold addresses and names.
    return error_response("away", f"{error.service} does not answer.", mend="Try again.", headers=wait)


async def _tocsin(request: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError)
    if isinstance(error, UnknownAlarm):
        return error_response("not_found", error.what, mend="Look at /api/v1/alarms?state=all.")
    if isinstance(error, _UNKNOWN):
        return error_response("not_found", error.what)
    if isinstance(error, NotAllowed):
        return error_response("forbidden", error.what, mend=error.mend)
    if isinstance(error, NotLoggedIn | LoginRefused | LinkRefused):
        return error_response("unauthorized", error.what, mend=error.mend, headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, LockedOut):
        return error_response("too_many", error.what, mend=error.mend, headers={"Retry-After": str(error.wait_s)})
    if isinstance(error, TooManyTests):
        return error_response("too_many", error.what, mend=error.mend, headers={"Retry-After": str(error.wait_s)})
    if isinstance(error, Stale):
        return error_response("stale", error.what, mend=error.mend)
    if isinstance(error, NotPossible | InTheWay):
        return error_response("not_possible", error.what, mend=error.mend)
    if isinstance(error, ConfigError):
        return error_response("bad_request", str(error), error.field, error.mend)
    if isinstance(error, ServiceAway):
        return away_response(error)
    return error_response("internal", "something failed here.", mend="Look into the log.")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return error_response("bad_request", f"{first['msg']}.", field, "See /api/v1/openapi.json.")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODE_OF_STATUS.get(error.status_code, "bad_request")
    what = f"there is nothing at {request.url.path}." if code == "not_found" else f"{error.detail}."
    headers = {**(error.headers or {})}
    return error_response(code, what, mend="See /api/v1/openapi.json.", headers=headers)


async def _defect(request: Request, error: Exception) -> Response:
    return error_response("internal", "something failed here.", mend="Look into the log.")
