"""`/api/v1` of messages: what one would say, and test messages."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from alerting.trials import Preview, TestMessage, Trials
from console.api_shapes import Code, answer, answers
from console.guard import viewer_of
from schemas.alarms import Grade, Kind

SHAPES = (Preview, TestMessage)
_ERRORS = (400, 401, 403, 404, 409, 503)


def messages_router(trials: Trials) -> APIRouter:
    router = APIRouter(tags=["messages"])

    @router.get(
        "/enterprises/{code}/message",
        responses=answers(Preview, 400, 401, 403, 404, 503),
        summary="What a contact would read of an alarm there, with what it costs as SMS.",
    )
    def preview(
        request: Request,
        code: Code,
        kind: Kind = Kind.FIRE,
        grade: Annotated[Literal["blue", "yellow", "orange", "red"], Query()] = "red",
        language: Annotated[Literal["zh", "en"], Query()] = "zh",
        channel: Annotated[Literal["sms", "journal", "webhook"], Query()] = "sms",
    ) -> Response:
        return answer(request, trials.preview(viewer_of(request), code, kind, Grade.of(grade), language, channel))

    @router.post(
        "/enterprises/{code}/contacts/{order}/test",
        status_code=202,
        responses=answers(TestMessage, *_ERRORS, status=202),
        summary="Send a contact a test message; once a minute at most.",
    )
    def test_contact(
        request: Request, code: Code, order: Annotated[int, Path(ge=1, le=99, description="1 is told first.")]
    ) -> Response:
        return answer(request, trials.test_contact(viewer_of(request), code, order), 202)

    @router.post(
        "/me/test-message",
        status_code=202,
        responses=answers(TestMessage, 401, 409, 503, status=202),
        summary="Send yourself a test message; once a minute at most.",
    )
    def test_message(request: Request) -> Response:
        return answer(request, trials.test_message(viewer_of(request)), 202)

    return router
