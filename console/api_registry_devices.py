"""`/api/v1/devices` of the registry: what is known of each, and those that speak without being known."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console.api_registry import Cursor, Limit, Line, removed
from console.api_shapes import Code, answer, answers
from console.guard import viewer_of
from registry.directory import Directory
from registry.views import Added, DevicePage, DeviceView, Placed, UnclaimedPage

_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]

SHAPES = (DevicePage, DeviceView, Added, UnclaimedPage)


class DeviceBody(BaseModel):
    """All that is known: what is left out is not known any more. The trade is the enterprise's where it is left out."""

    model_config = ConfigDict(extra="forbid")

    zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    name: Line = ""
    name_en: Line = ""
    rated_current_a: float | None = Field(None, gt=0, le=1e9, description="Of what it watches, in A.")
    period_s: float | None = Field(None, gt=0, le=1e9, description="How often it reports, in s.")
    supply: Literal["mains", "gateway", "battery"] | None = None
    heat_class: str | None = Field(None, pattern=r"^(A1|A2|[B-G])[RS]?$", description="EN 54-5.")
    trade: _Word | None = None
    profiles: list[_Word] = Field([], max_length=20)
    out_of_service: bool = False
    gateway: Code | None = Field(None, description="The device of the enterprise through which it speaks.")


class ClaimBody(DeviceBody):
    """A claim: what is known of the device, and whether it is given a login of its own."""

    login: bool = False


def registered_devices_router(directory: Directory) -> APIRouter:
    router = APIRouter(tags=["registry"])

    @router.get(
        "/devices",
        responses=answers(DevicePage, 400, 401, 403, 404, 503, cached=True),
        summary="Devices that the registry knows, in pages.",
    )
    def list_devices(
        request: Request, enterprise: Annotated[Code | None, Query()] = None, limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        return answer(request, directory.devices(viewer_of(request), enterprise, limit, cursor))

    @router.get(
        "/devices/unclaimed",
        responses=answers(UnclaimedPage, 400, 401, 403, 503, cached=True),
        summary="Devices that have spoken and that the registry does not know.",
    )
    def list_unclaimed(
        request: Request, enterprise: Annotated[Code | None, Query()] = None, limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        return answer(request, directory.unclaimed(viewer_of(request), limit, cursor, enterprise))

    @router.get(
        "/devices/{enterprise}/{device}",
        responses=answers(DeviceView, 401, 403, 404, 503, cached=True),
        summary="What is known of a device.",
    )
    def show_device(request: Request, enterprise: Code, device: Code) -> Response:
        return answer(request, directory.device(viewer_of(request), enterprise, device))

    @router.put(
        "/devices/{enterprise}/{device}",
        responses=answers(Added, 400, 401, 403, 404, 503),
        summary="Change what is known of a device, or add it with a login; its password is shown this once. While a "
        "device that is new to the registry has an open alarm, an integrator gives it zone and names alone.",
    )
    def put_device(request: Request, enterprise: Code, device: Code, body: DeviceBody) -> Response:
        return answer(request, directory.put_device(viewer_of(request), _placed(enterprise, device, body)))

    @router.post(
        "/devices/{enterprise}/{device}/claim",
        responses=answers(Added, 400, 401, 403, 404, 409, 503),
        summary="Take a device that has spoken into the registry; it goes on as it is, its alarms too. While one is "
        "open, an integrator gives it zone and names alone.",
    )
    def claim(request: Request, enterprise: Code, device: Code, body: ClaimBody) -> Response:
        placed = _placed(enterprise, device, body)
        return answer(request, directory.claim(viewer_of(request), placed, login=body.login))

    @router.delete(
        "/devices/{enterprise}/{device}",
        status_code=204,
        responses=removed(401, 403, 404, 503),
        summary="Remove a device and its own login. If it goes on to speak, it is unclaimed.",
    )
    def remove_device(request: Request, enterprise: Code, device: Code) -> Response:
        directory.remove_device(viewer_of(request), enterprise, device)
        return Response(None, 204)

    return router


def _placed(enterprise: str, device: str, body: DeviceBody) -> Placed:
    fields: dict[str, Any] = body.model_dump(exclude={"login"}) | {"profiles": tuple(body.profiles)}
    return Placed(enterprise=enterprise, device=device, **fields)
