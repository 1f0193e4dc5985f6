"""`/api/v1` of messages: what one would say, and a test message to oneself or to a contact."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from alerting.trials import Preview, TestMessage, Trials
from console.api_shapes import Code, answer, answers
from console.guard import viewer_of
from schemas.alarms import Grade, Kind

SHAPES = (Preview, TestMessage)
Order = Annotated[int, Path(ge=1, le=99, description="1 is told first.")]


def messages_router(trials: Trials) -> APIRouter:
    router = APIRouter(tags=["messages"])

    @router.get(
        "/enterprises/{code}/preview",
        responses=answers(Preview, 400, 401, 403, 404, 503, cached=True),
        summary="What a contact would read of an alarm there, and what a carrier would count.",
    )
    def preview(
        request: Request,
        code: Code,
        kind: Annotated[Kind, Query()] = Kind.FIRE,
        grade: Annotated[Literal["blue", "yellow", "orange", "red"], Query()] = "red",
        language: Annotated[Literal["zh", "en"], Query()] = "zh",
        channel: Annotated[Literal["sms", "journal", "webhook"], Query()] = "sms",
    ) -> Response:
        return answer(request, trials.preview(viewer_of(request), code, kind, Grade.of(grade), language, channel))

    @router.post(
        "/messages/test",
        status_code=202,
        responses=answers(TestMessage, 401, 403, 409, 429, 503, status=202),
        summary="A test message to one's own phone; once a minute, five an hour, twenty a day to a number at most.",
    )
    def test_message(request: Request) -> Response:
        return answer(request, trials.test_message(viewer_of(request)), 202)

    @router.post(
        "/enterprises/{code}/contacts/{order}/test",
        status_code=202,
        responses=answers(TestMessage, 400, 401, 403, 404, 409, 429, 503, status=202),
        summary="A test message to a contact; once a minute, five an hour, twenty a day to a number at most.",
    )
    def test_contact(request: Request, code: Code, order: Order) -> Response:
        return answer(request, trials.test_contact(viewer_of(request), code, order), 202)

    return router
