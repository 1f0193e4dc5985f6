"""`/api/v1/rules` and `/api/v1/health`: by what is judged, and how every part stands."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from console.api_shapes import answer, answers
from console.guard import viewer_of
from console.house_health import Health, HouseHealth
from console.rulebook import Rulebook
from streams.pack_words import PackWords

SHAPES = (PackWords, Health)


def rules_router(rules: Rulebook) -> APIRouter:
    router = APIRouter(tags=["rules"])

    @router.get(
        "/rules",
        responses=answers(PackWords, 401, 403, 503, cached=True),
        summary="The active rule pack, with its numbers and in words.",
    )
    def show_rules(request: Request) -> Response:
        return answer(request, rules.words(viewer_of(request)))

    return router


def house_health_router(health: HouseHealth) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get(
        "/health",
        responses=answers(Health, 401, 403),
        summary="How every part stands, and what to do about what does not.",
    )
    def show_health(request: Request) -> Response:
        return answer(request, health.look(viewer_of(request)))

    return router
