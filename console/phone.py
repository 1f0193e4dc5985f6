"""The page behind the link of a message, on whatever phone: plain HTML, no script, no account, nothing loaded.

A GET shows and never acknowledges, since messengers and scanners look at links on their way; so it stamps nothing
either. The button posts the token, which stands in no cookie: a page elsewhere that does not have it cannot press.
A link that is not ours any more says whom to call, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.concurrency import run_in_threadpool

from alerting import names
from alerting.answering import Answering, Opened, Told
from alerting.links import PATH, LinkRefused
from alerting.message import UNITS, quantity
from console.words import Words, language_asked, words_of
from schemas.alarms import Kind
from schemas.errors import ServiceAway

_US = 1_000_000
_FIRE_SERVICE = "119"
_CALLS_FIRE_SERVICE = frozenset({Kind.FIRE, Kind.GAS, Kind.ELECTRICAL})
_LONGEST_TOKEN = 64
_SHOWN = 10
"""Alarms of one message; the rest is a number."""
_NOT_DIALLED = re.compile(r"[^0-9+]")
_templates = Jinja2Templates(Path(__file__).parent / "templates")
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class _Call:
    number: str
    label: str


def make_phone(
    answering: Answering, now_us: Callable[[], int], duty_phone: str = "", language: str = "zh"
) -> APIRouter:
    """language: of who has not said theirs."""
    router = APIRouter(include_in_schema=False)

    async def answer(request: Request, token: str, do: Callable[[str], Opened]) -> Response:
        accepted = request.headers.get("accept-language", "")
        words = words_of(language_asked(accepted) if accepted else language)
        try:
            opened = await run_in_threadpool(do, token[:_LONGEST_TOKEN])
        except LinkRefused as error:
            title = words(f"phone.{error.why.value}_title")
            page: dict[str, Any] = {"title": title, "problem": words(f"phone.{error.why.value}")}
            return _page(request, words, page, _calls(words, duty_phone, fire=True), 404)
        except ServiceAway:
            page = {"title": words("phone.title"), "problem": words("phone.away"), "retry": request.method == "GET"}
            return _page(request, words, page, _calls(words, duty_phone, fire=True), 503)
        words = words_of(opened.language)
        fire = any(told.line.active and told.line.kind in _CALLS_FIRE_SERVICE for told in opened.alarms)
        page = _shown(opened, words, now_us()) | {"token": token}
        return _page(request, words, page, _calls(words, duty_phone, fire=fire), 200)

    @router.get(PATH + "{token}")
    async def show(request: Request, token: str) -> Response:
        return await answer(request, token, answering.look)

    @router.post(PATH + "{token}")
    async def acknowledge(request: Request, token: str) -> Response:
        """The token counts that is in the body; the one in the address was only looked at."""
        body = (await request.body()).decode("ascii", "replace")
        try:
            posted = parse_qs(body, max_num_fields=4).get("token", [""])[0]
        except ValueError:
            posted = ""
        return await answer(request, posted, answering.acknowledge)

    return router


def _page(request: Request, words: Words, page: dict[str, Any], calls: list[_Call], status: int) -> HTMLResponse:
    context = {"words": words, "language": words.language, "calls": calls, **page}
    return _templates.TemplateResponse(request, "phone.html", context, status, headers=_HEADERS)


def _calls(words: Words, duty_phone: str, *, fire: bool) -> list[_Call]:
    calls = [_Call(_FIRE_SERVICE, words("phone.fire_service"))] if fire else []
    if duty_phone:
        calls.append(_Call(_NOT_DIALLED.sub("", duty_phone), words("phone.duty_desk", phone=duty_phone)))
    return calls


def _shown(opened: Opened, words: Words, now_us: int) -> dict[str, Any]:
    zone, count = ZoneInfo(opened.timezone), len(opened.alarms)
    key = "phone.acknowledge" if count == 1 else "phone.acknowledge_all"
    return {
        "title": words("phone.title"),
        "contact": opened.contact,
        "alarms": [_alarm(told, opened.recipient, words, zone, now_us) for told in opened.alarms[:_SHOWN]],
        "more": words("phone.more", count=count - _SHOWN) if count > _SHOWN else "",
        "acknowledge": words(key, count=count),
        "may_acknowledge": opened.may_acknowledge,
        "expires": words("phone.expires", time=_time(opened.expires_us, now_us, zone)),
    }


def _alarm(told: Told, recipient: str, words: Words, zone: ZoneInfo, now_us: int) -> dict[str, Any]:
    line, language = told.line, words.language
    grade = line.grade.word
    since = words("phone.since", time=_time(line.onset_us, now_us, zone))
    if not line.active:
        since += " · " + words("phone.over_since", time=_time(line.event_us, now_us, zone))
    inside = (names.zone_name(line, language), names.device_name(line, language))
    action = f"action.{line.kind.value}.{grade}"
    return {
        "colour": grade if line.active else "over",
        "head": f"{words(f'grade.{grade}')} · {words(f'kind.{line.kind.value}')}",
        "enterprise": names.enterprise_name(line, language),
        "address": names.address_of(line, language),
        "inside": " · ".join(name for name in inside if name),
        "measured": _measured(told, words),
        "since": since,
        "action": words(action) if line.active and action in words else "",
        "answer": _answer(told, recipient, words),
        "is_answered": bool(told.acknowledged_by) or not line.active,
    }


def _answer(told: Told, recipient: str, words: Words) -> str:
    if told.anew:
        return words("phone.anew")
    if told.acknowledged_by:
        key = "phone.yours" if told.by_contact == recipient else "phone.taken"
        return words(key, name=told.acknowledged_by)
    if not told.line.active:
        return words("phone.over_latched" if told.line.latched else "phone.over")
    return words("phone.nobody")


def _measured(told: Told, words: Words) -> str:
    line = told.line
    if not line.measure:
        return ""
    key = f"measure.{line.measure}"
    measure = words(key) if key in words else line.measure
    if line.value is None or line.unit == "flag":
        return measure
    said = words("phone.value", measure=measure, value=quantity(line.value, line.unit, UNITS))
    if line.limit is None:
        return said
    return f"{said} ({words('phone.limit', limit=quantity(line.limit, line.unit, UNITS))})"


def _time(at_us: int, now_us: int, zone: ZoneInfo) -> str:
    at, now = (datetime.fromtimestamp(us / _US, UTC).astimezone(zone) for us in (at_us, now_us))
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%m-%d %H:%M}"
