"""What devices sent: newest values, messages that were refused with reason and mend, their replay, who is silent."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from console.api_shapes import NO_NUL, Code, answer, answers
from console.guard import viewer_of
from ingest.payloads import LONGEST_PAGE, Payloads, WantedRefusals, read_name
from schemas.errors import ConfigError
from schemas.payloads import DeviceNow, DevicesPage, Mend, RefusedDetail, RefusedPage, ReplayAsked, SilentPage

SHAPES = (DeviceNow, DevicesPage, RefusedDetail, RefusedPage, ReplayAsked, SilentPage)

Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]
Cursor = Annotated[str, Query(max_length=300, description="`next` of the page before.")]
Message = Annotated[
    str,
    Path(max_length=100, pattern=r"^[0-9]{1,18}(:[A-Za-z0-9._-]{0,64})?$", description="Its arrival, and its door."),
]
RejectCode = Annotated[str, Query(max_length=40, pattern=r"^[a-z0-9_]*$", description="Only of this code.")]
FieldName = Annotated[str, Query(max_length=100, pattern=NO_NUL, description="Only with this field refused.")]
_STANDINGS: dict[str, bool | None] = {"waiting": True, "replayed": False, "all": None}


class MendBody(BaseModel):
    """What refused payloads meant. Keys are left out, then multiplied, then renamed."""

    model_config = ConfigDict(extra="forbid")

    rename: dict[str, str] = Field({}, max_length=64, description="Key → measure[.channel].")
    factor: dict[str, float] = Field({}, max_length=64, description="Key → what its value is multiplied by.")
    leave_out: list[str] = Field([], max_length=64)
    numbers_in_text: bool = Field(False, description='Take "21.5" for 21.5.')

    def mend(self) -> Mend:
        return Mend(self.rename, self.factor, tuple(self.leave_out), self.numbers_in_text)


class ReplayBody(BaseModel):
    """Which messages: those named, or all that wait and fit."""

    model_config = ConfigDict(extra="forbid")

    messages: list[str] | None = Field(None, min_length=1, max_length=1000, description="As the list names them.")
    enterprise: Code | None = None
    device: Code | None = None
    code: str = Field("", max_length=40, pattern=r"^[a-z0-9_]*$")
    field: str = Field("", max_length=100, pattern=NO_NUL)
    all: bool = Field(False, description="All that wait, where nothing else is said.")
    mend: MendBody | None = None


def devices_router(payloads: Payloads) -> APIRouter:
    router = APIRouter(tags=["devices"])

    @router.get(
        "/devices/heard",
        responses=answers(DevicesPage, 400, 401, 403, 503, cached=True),
        summary="Devices as they are: when they were heard, refused messages, silence, worst alarm; in pages.",
    )
    def list_heard(
        request: Request,
        enterprise: Annotated[Code | None, Query()] = None,
        text: Annotated[str, Query(max_length=100, pattern=NO_NUL, description="Stands in its name.")] = "",
        registered: Annotated[bool | None, Query(description="false: those that nobody has claimed.")] = None,
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        found = payloads.devices(
            viewer_of(request), enterprise=enterprise or "", text=text, registered=registered, limit=limit,
            cursor=cursor,
        )  # fmt: skip
        return answer(request, found)

    @router.get(
        "/devices/silent",
        responses=answers(SilentPage, 400, 401, 403, 503, cached=True),
        summary="Devices whose silence is an open alarm, worst and longest first.",
    )
    def list_silent(
        request: Request, enterprise: Annotated[Code | None, Query()] = None, limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        found = payloads.silent(viewer_of(request), enterprise=enterprise or "", limit=limit, cursor=cursor)
        return answer(request, found)

    @router.get(
        "/devices/{enterprise}/{device}/payloads",
        responses=answers(DeviceNow, 400, 401, 403, 404, 503),
        summary="What came of a device last: its newest values, and its last refused message with reason and mend.",
    )
    def show_payloads(request: Request, enterprise: Code, device: Code) -> Response:
        return answer(request, payloads.last(viewer_of(request), enterprise, device))

    @router.get(
        "/quarantine",
        responses=answers(RefusedPage, 400, 401, 403, 503, cached=True),
        summary="Messages that were refused, newest first, in pages.",
    )
    def list_quarantine(
        request: Request,
        enterprise: Annotated[Code | None, Query()] = None,
        device: Annotated[Code | None, Query()] = None,
        code: RejectCode = "",
        field: FieldName = "",
        standing: Annotated[Literal["waiting", "replayed", "all"], Query()] = "waiting",
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        wanted = WantedRefusals(enterprise or "", device or "", code, field, _STANDINGS[standing])
        return answer(request, payloads.quarantine(viewer_of(request), wanted, limit, cursor))

    @router.get(
        "/quarantine/{message}",
        responses=answers(RefusedDetail, 400, 401, 403, 404, 503, cached=True),
        summary="One refused message with its payload.",
    )
    def show_refused(request: Request, message: Message) -> Response:
        return answer(request, payloads.show(viewer_of(request), *read_name(message)))

    @router.post(
        "/quarantine/replay",
        responses=answers(ReplayAsked, 400, 401, 403, 503, status=202),
        status_code=202,
        summary="Admit refused messages again, after the mend. Within about a second they are tried.",
    )
    def replay(request: Request, body: ReplayBody) -> Response:
        fits = WantedRefusals(body.enterprise or "", body.device or "", body.code, body.field)
        narrows = fits != WantedRefusals()
        if sum((body.messages is not None, narrows, body.all)) != 1:
            mend = "Name messages, or enterprise, device, code or field, or `all`."
            raise ConfigError("it is not said which messages.", field="messages", mend=mend)
        names = [read_name(one) for one in body.messages] if body.messages is not None else None
        asked = payloads.replay(
            viewer_of(request), fits if names is None else names, body.mend.mend() if body.mend is not None else Mend()
        )
        return answer(request, asked, 202)

    return router
