"""`/api/v1` of the registry: districts, trades, enterprises with zones and contacts, and what was changed.

The ETag of an enterprise, and of a contact, is its version: who sends it back with a change (`If-Match`) cannot
overwrite another's.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console.api_shapes import NO_NUL, Code, Responses, answer, answers
from console.guard import viewer_of
from registry.directory import Directory
from registry.trades import Trade, trades
from registry.views import (
    LONGEST_PAGE,
    ChangePage,
    Contacts,
    ContactView,
    Districts,
    EnterprisePage,
    EnterpriseView,
    Wanted,
    Zones,
)
from schemas.enterprises import Contact, District, Enterprise, Flammables, Zone
from schemas.errors import ConfigError
from schemas.viewers import Act

DistrictCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")]
Cursor = Annotated[str, Query(max_length=500, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
LongLine = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Order = Annotated[int, Path(ge=1, le=99, description="1 is told first.")]
IfMatch = Annotated[
    str,
    Header(max_length=100, description="The ETag that was seen; `*` for one that is there. 412 when it is another."),
]
IfNoneMatch = Annotated[str, Header(max_length=100, description="`*`: only if there is none yet.")]
_TAG = re.compile(r'"([0-9]{1,18})"\Z')


class Trades(msgspec.Struct, frozen=True):
    trades: list[Trade]


SHAPES = (
    Districts, District, Trades, EnterprisePage, EnterpriseView, Zones, Zone, Contacts, ContactView, ChangePage,
)  # fmt: skip


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DistrictBody(_Body):
    name: Line
    name_en: Line = ""


class EnterpriseBody(_Body):
    """All that is known: what is left out is not known any more."""

    name: Line
    name_en: Line = ""
    trade: str = Field(max_length=5, description="GB/T 4754-2017, as `H6210`.")
    district: DistrictCode
    address: LongLine = ""
    address_en: LongLine = ""
    longitude: float | None = Field(None, ge=-180, le=180, description="Degrees, WGS 84.")
    latitude: float | None = Field(None, ge=-90, le=90)
    hours: str = Field("", max_length=200, description="As OpenStreetMap writes them: `Mo-Fr 08:00-18:00`.")
    timezone: str = Field("Asia/Shanghai", max_length=64)
    area_m2: float | None = Field(None, ge=0, le=1e8)
    built: int | None = Field(None, ge=1000, le=2100, description="Year.")
    wired: int | None = Field(None, ge=1000, le=2100, description="Year in which the wiring was laid or renewed.")
    open_flame: bool | None = None
    flammables: Flammables | None = None
    people: int | None = Field(None, ge=0, le=10_000_000, description="Most people in it at once.")


class ZoneBody(_Body):
    name: Line
    name_en: Line = ""
    floor: Annotated[str, StringConstraints(max_length=64)] = ""


class ContactBody(_Body):
    name: Line
    duty: Line = ""
    phone: str = Field("", max_length=40, description="Kept in E.164; without a country it is Chinese.")
    channels: list[Literal["sms", "voice", "webhook", "journal"]] = Field(["sms"], min_length=1, max_length=4)
    language: Literal["zh", "en"] = "zh"
    hours: str = Field("", max_length=200, description="When they may be called; a red is told at any hour.")
    least: Literal["blue", "yellow", "orange", "red"] = Field("orange", description="Lowest grade that is told.")


def registry_router(directory: Directory) -> APIRouter:
    router = APIRouter(tags=["registry"])
    _enterprises(router, directory)
    _zones(router, directory)
    _contacts(router, directory)
    _rest(router, directory)
    return router


def _enterprises(router: APIRouter, directory: Directory) -> None:
    @router.get(
        "/enterprises",
        responses=answers(EnterprisePage, 400, 401, 403, 503, cached=True),
        summary="Enterprises, by code, in pages.",
    )
    def list_enterprises(
        request: Request,
        district: Annotated[list[DistrictCode] | None, Query(description="Repeatable.")] = None,
        trade: Annotated[str, Query(max_length=5, pattern=NO_NUL, description="The beginning of its code.")] = "",
        text: Annotated[str, Query(max_length=100, pattern=NO_NUL, description="In code, names and addresses.")] = "",
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        wanted = Wanted(district or (), trade, text.strip())
        return answer(request, directory.enterprises(viewer_of(request), wanted, limit, cursor))

    @router.get(
        "/enterprises/{code}",
        responses=answers(EnterpriseView, 401, 403, 404, 503),
        summary="One enterprise; its ETag is its version.",
    )
    def show_enterprise(request: Request, code: Code) -> Response:
        return _versioned(directory.enterprise(viewer_of(request), code))

    @router.put(
        "/enterprises/{code}",
        responses=answers(EnterpriseView, 400, 401, 403, 404, 409, 412, 503),
        summary="Add an enterprise, or replace what is known of it.",
    )
    def put_enterprise(
        request: Request, code: Code, body: EnterpriseBody, if_match: IfMatch = "", if_none_match: IfNoneMatch = ""
    ) -> Response:
        viewer = viewer_of(request)
        viewer.must(Act.CHANGE_REGISTRY)
        enterprise = Enterprise(code=code, **body.model_dump())
        return _versioned(directory.put_enterprise(viewer, enterprise, _seen(if_match, if_none_match)))

    @router.delete(
        "/enterprises/{code}",
        status_code=204,
        responses=removed(400, 401, 403, 404, 409, 412, 503),
        summary="Remove an enterprise with its zones and contacts; 409 while it has devices.",
    )
    def remove_enterprise(request: Request, code: Code, if_match: IfMatch = "") -> Response:
        directory.remove_enterprise(viewer_of(request), code, _seen(if_match, ""))
        return Response(None, 204)


def _zones(router: APIRouter, directory: Directory) -> None:
    @router.get(
        "/enterprises/{code}/zones", responses=answers(Zones, 401, 403, 404, 503, cached=True), summary="Its zones."
    )
    def list_zones(request: Request, code: Code) -> Response:
        return answer(request, Zones(directory.zones(viewer_of(request), code)))

    @router.put(
        "/enterprises/{code}/zones/{zone}",
        responses=answers(Zone, 400, 401, 403, 404, 503),
        summary="Add a zone, or rename it.",
    )
    def put_zone(request: Request, code: Code, zone: Code, body: ZoneBody) -> Response:
        return answer(request, directory.put_zone(viewer_of(request), Zone(code, zone, **body.model_dump())))

    @router.delete(
        "/enterprises/{code}/zones/{zone}",
        status_code=204,
        responses=removed(401, 403, 404, 409, 503),
        summary="Remove a zone; 409 while devices hang in it.",
    )
    def remove_zone(request: Request, code: Code, zone: Code) -> Response:
        directory.remove_zone(viewer_of(request), code, zone)
        return Response(None, 204)


def _contacts(router: APIRouter, directory: Directory) -> None:
    @router.get(
        "/enterprises/{code}/contacts",
        responses=answers(Contacts, 401, 403, 404, 503, cached=True),
        summary="Who is told, in order.",
    )
    def list_contacts(request: Request, code: Code) -> Response:
        return answer(request, Contacts(directory.contacts(viewer_of(request), code)))

    @router.get(
        "/enterprises/{code}/contacts/{order}",
        responses=answers(ContactView, 400, 401, 403, 404, 503),
        summary="Who is at a place in the order; the ETag is the contact's version.",
    )
    def show_contact(request: Request, code: Code, order: Order) -> Response:
        return _versioned(directory.contact(viewer_of(request), code, order))

    @router.put(
        "/enterprises/{code}/contacts/{order}",
        responses=answers(ContactView, 400, 401, 403, 404, 412, 503),
        summary="Add a contact at a place in the order, or replace the one that is there.",
    )
    def put_contact(
        request: Request,
        code: Code,
        order: Order,
        body: ContactBody,
        if_match: IfMatch = "",
        if_none_match: IfNoneMatch = "",
    ) -> Response:
        fields = body.model_dump() | {"channels": tuple(body.channels)}
        contact = Contact(enterprise=code, order=order, **fields)
        return _versioned(directory.put_contact(viewer_of(request), contact, _seen(if_match, if_none_match)))

    @router.delete(
        "/enterprises/{code}/contacts/{order}",
        status_code=204,
        responses=removed(400, 401, 403, 404, 412, 503),
        summary="Remove a contact; the others keep their places.",
    )
    def remove_contact(request: Request, code: Code, order: Order, if_match: IfMatch = "") -> Response:
        directory.remove_contact(viewer_of(request), code, order, _seen(if_match, ""))
        return Response(None, 204)


def _rest(router: APIRouter, directory: Directory) -> None:
    @router.get("/districts", responses=answers(Districts, 401, 403, 503, cached=True), summary="Districts in scope.")
    def list_districts(request: Request) -> Response:
        return answer(request, Districts(directory.districts(viewer_of(request))))

    @router.put(
        "/districts/{code}",
        responses=answers(District, 400, 401, 403, 503),
        summary="Add a district, or rename it.",
    )
    def put_district(request: Request, code: DistrictCode, body: DistrictBody) -> Response:
        return answer(request, directory.put_district(viewer_of(request), District(code, **body.model_dump())))

    @router.get(
        "/trades",
        responses=answers(Trades, 400, 401, 403, 503, cached=True),
        summary="Trades of GB/T 4754-2017 that have a name here.",
    )
    def list_trades(
        request: Request, prefix: Annotated[str, Query(max_length=5, description="The beginning of the code.")] = ""
    ) -> Response:
        viewer_of(request).must(Act.SEE_ENTERPRISES)
        return answer(request, Trades(trades(prefix)))

    @router.get(
        "/registry/changes",
        responses=answers(ChangePage, 400, 401, 403, 503, cached=True),
        summary="What was changed in the registry, newest first.",
    )
    def list_changes(
        request: Request, enterprise: Annotated[Code | None, Query()] = None, limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        return answer(request, directory.changes(viewer_of(request), enterprise, limit, cursor))


def _versioned(shown: EnterpriseView | ContactView) -> Response:
    headers = {"ETag": f'"{shown.version}"', "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    return Response(msgspec.json.encode(shown), 200, headers, media_type="application/json")


def _seen(if_match: str, if_none_match: str) -> int | None:
    """The version that a change is meant for. Raises ConfigError for an ETag that is not one of ours."""
    if if_none_match:
        if if_none_match.strip() != "*" or if_match:
            raise ConfigError("only `*` alone can be meant.", field="If-None-Match", mend="Leave it out.")
        return 0
    if not if_match or if_match.strip() == "*":
        return None
    found = _TAG.match(if_match.strip())
    if found is None:
        raise ConfigError("this is not an ETag of the registry.", field="If-Match", mend="Send it as it was given.")
    return int(found.group(1))


def removed(*errors: int) -> Responses:
    """The document's words of what is removed."""
    found = answers(Zone, *errors, status=201)
    return {204: {"description": "Gone."}, **{status: said for status, said in found.items() if status != 201}}
