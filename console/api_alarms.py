"""`/api/v1/alarms`: the alarms in pages, one whole, and what people do about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from alerting.lists import Wanted
from alerting.people import ASKED, LONGEST_PAGE, People
from alerting.views import (
    AlarmDetail,
    AlarmPage,
    Assignee,
    Assignment,
    Command,
    Comment,
    Verdict,
    VerdictWord,
    WatchedAlarm,
    decode_cursor,
)
from console.api_shapes import NO_NUL, Code, IdempotencyKey, answer, answers, content
from console.guard import viewer_of
from schemas.alarms import Grade, Kind
from schemas.errors import ConfigError
from schemas.viewers import Viewer, house

GradeWord = Literal["blue", "yellow", "orange", "red"]
Key = Annotated[str, Path(description="The alarm's key, 32 hex digits.")]
Login = Annotated[str, StringConstraints(max_length=100, pattern=NO_NUL)]
STATES = {"open": True, "ended": False, "all": None}


class Assignees(msgspec.Struct, frozen=True):
    assignees: list[Assignee]


SHAPES = (AlarmPage, AlarmDetail, WatchedAlarm, Command, Comment, Assignment, Verdict, Assignees)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: str = Field(
        "",
        max_length=100,
        pattern=NO_NUL,
        description="Who does this. Only for the house's token, which may speak for others; everybody else acts in"
        " their own name.",
    )


class Act(_Body):
    """What a person does about an alarm."""

    step: int | None = Field(None, ge=1, lt=1 << 31, description="The step that was seen; the newest if left out.")
    note: str = Field("", max_length=1000, pattern=NO_NUL)


class ResetAct(Act):
    """A reset, with what the alarm turned out to be, if that is known."""

    verdict: VerdictWord | None = None


class VerdictAct(Act):
    """What an alarm turned out to be."""

    verdict: VerdictWord


class CommentAct(_Body):
    """What a person says about an alarm."""

    text: str = Field(min_length=1, max_length=2000, pattern=NO_NUL)


class AssignAct(_Body):
    """Who is to see to an alarm; empty is nobody."""

    to: Login


def alarms_router(people: People) -> APIRouter:
    router = APIRouter(tags=["alarms"])

    @router.get("/alarms", responses=answers(AlarmPage, 400, 401, 403, 503, cached=True), summary="Alarms, in pages.")
    def list_alarms(
        request: Request,
        state: Annotated[Literal["open", "ended", "all"], Query()] = "open",
        grade: Annotated[list[GradeWord] | None, Query(description="Repeatable.")] = None,
        kind: Annotated[list[Kind] | None, Query(description="Repeatable.")] = None,
        enterprise: Annotated[list[Code] | None, Query(description="Repeatable.")] = None,
        district: Annotated[list[Code] | None, Query(description="Repeatable.")] = None,
        device: Annotated[str, Query(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = "",
        acknowledged: Annotated[bool | None, Query()] = None,
        assigned_to: Annotated[Login, Query()] = "",
        verdict: Annotated[VerdictWord | None, Query()] = None,
        text: Annotated[
            str,
            Query(
                max_length=100, pattern=NO_NUL, description="In codes, names and addresses of enterprise, zone, device."
            ),
        ] = "",
        since: Annotated[datetime | None, Query(description="Raised at or after, RFC 3339.")] = None,
        until: Annotated[datetime | None, Query(description="Raised before, RFC 3339.")] = None,
        order: Annotated[Literal["worst", "newest"], Query()] = "worst",
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
        cursor: Annotated[str, Query(max_length=500, description="`next` of the page before.")] = "",
    ) -> Response:
        wanted = Wanted(
            open=STATES[state],
            grades=[Grade.of(word) for word in grade] if grade else None,
            kinds=kind or None,
            enterprises=enterprise or None,
            districts=district or None,
            device=device,
            acknowledged=acknowledged,
            assigned_to=assigned_to,
            verdict=verdict or "",
            text=text.strip(),
            since_us=_us(since, "since"),
            until_us=_us(until, "until"),
            order=order,
        )
        place = decode_cursor(cursor) if cursor else None
        return answer(request, people.list_alarms(viewer_of(request), wanted, limit, place))

    @router.get(
        "/alarms/{key}",
        responses=answers(AlarmDetail, 401, 403, 404, 503, cached=True),
        summary="One alarm, whole.",
    )
    def show_alarm(request: Request, key: Key) -> Response:
        return answer(request, people.show(viewer_of(request), key))

    @router.get(
        "/alarms/{key}/assignees",
        responses=answers(Assignees, 401, 403, 404, 503, cached=True),
        summary="To whom the alarm may be given.",
    )
    def assignees(request: Request, key: Key) -> Response:
        return answer(request, Assignees(people.assignees(viewer_of(request), key)))

    @router.post(
        "/alarms/{key}/ack",
        responses=answers(WatchedAlarm, 400, 401, 403, 404, 409, 503),
        summary="A person takes notice of the alarm as it stood at a step.",
    )
    def acknowledge(request: Request, key: Key, act: Act, idempotency_key: IdempotencyKey = "") -> Response:
        viewer = _acting(request, act)
        done = people.acknowledge(viewer, key, step=act.step, note=act.note, idempotency_key=idempotency_key)
        return answer(request, done)

    @router.post(
        "/alarms/{key}/reset",
        responses=answers(Command, 400, 401, 403, 404, 409, 503)
        | {202: {"description": "Asked, not judged yet.", "content": content(Command)}},
        summary="Ask the engine to reset a latched alarm; 202 until it has judged, then its answer.",
    )
    def reset(request: Request, key: Key, act: ResetAct, idempotency_key: IdempotencyKey = "") -> Response:
        command = people.ask_reset(
            _acting(request, act),
            key,
            step=act.step,
            note=act.note,
            verdict=act.verdict or "",
            idempotency_key=idempotency_key,
        )
        return answer(request, command, 202 if command.standing == ASKED else 200)

    @router.post(
        "/alarms/{key}/comments",
        status_code=201,
        responses=answers(Comment, 400, 401, 403, 404, 409, 503, status=201),
        summary="A person says something about the alarm.",
    )
    def comment(request: Request, key: Key, act: CommentAct, idempotency_key: IdempotencyKey = "") -> Response:
        said = people.comment(_acting(request, act), key, act.text, idempotency_key=idempotency_key)
        return answer(request, said, 201)

    @router.post(
        "/alarms/{key}/assign",
        responses=answers(Assignment, 400, 401, 403, 404, 409, 503),
        summary="Give the alarm to somebody, or to nobody.",
    )
    def assign(request: Request, key: Key, act: AssignAct, idempotency_key: IdempotencyKey = "") -> Response:
        return answer(request, people.assign(_acting(request, act), key, act.to, idempotency_key=idempotency_key))

    @router.post(
        "/alarms/{key}/verdict",
        responses=answers(Verdict, 400, 401, 403, 404, 409, 503),
        summary="Say what an alarm that has cleared turned out to be.",
    )
    def judge(request: Request, key: Key, act: VerdictAct, idempotency_key: IdempotencyKey = "") -> Response:
        viewer = _acting(request, act)
        judged = people.judge(viewer, key, act.verdict, step=act.step, note=act.note, idempotency_key=idempotency_key)
        return answer(request, judged)

    @router.get(
        "/commands/{key}",
        responses=answers(Command, 401, 403, 404, 503, cached=True),
        summary="What became of a person's command.",
    )
    def command(request: Request, key: str) -> Response:
        return answer(request, people.command(viewer_of(request), key))

    return router


def _acting(request: Request, act: _Body) -> Viewer:
    """The viewer in whose name this is done."""
    viewer, by = viewer_of(request), act.by.strip()
    if not by or by == viewer.name:
        return viewer
    if viewer.account:
        raise ConfigError("only the house's token may act for others.", field="by", mend="Leave it out.")
    return house(by)


def _us(at: datetime | None, field: str) -> int | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ConfigError("this time has no zone.", field=field, mend="End it with Z, or with +08:00.")
    return round(at.timestamp() * 1e6)
