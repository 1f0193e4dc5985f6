"""Coming in and going out: the login page, one-time links, the session's cookie. Plain pages: no script is needed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from console.guard import drop_session, keep_session, local_path, session_of
from console.words import LANGUAGES, Words, language_asked, words_of
from registry.accounts import LinkRefused, LockedOut, LoginRefused
from schemas.errors import ServiceAway, TocsinError

if TYPE_CHECKING:
    from console.app import House

LANGUAGE_COOKIE = "tocsin_language"
_templates = Jinja2Templates(Path(__file__).parent / "templates")


def make_entry(house: House) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    accounts = house.accounts

    def page(request: Request, refusal: str = "", status: int = 200, login: str = "", **more: Any) -> HTMLResponse:
        words = _words(request, house.language)
        return _templates.TemplateResponse(
            request,
            "login.html",
            {
                "words": words,
                "static": house.static,
                "next": local_path(request.query_params.get("next", "/")),
                "refusal": refusal,
                "login": login,
                "theme": request.cookies.get("tocsin_theme", "auto"),
                **more,
            },
            status,
            headers={"Cache-Control": "no-store"},
        )

    def come_in(request: Request, token: str, target: str) -> Response:
        """The session before ends: at a desk that many share nobody goes on under the name of who sat there."""
        with suppress(TocsinError):
            accounts.log_out(session_of(request.headers))
        answer = RedirectResponse(local_path(target), 303)
        keep_session(answer, token, request.scope)
        return answer

    @router.get("/login")
    def show(request: Request, language: str = "", ended: str = "") -> Response:
        if language in LANGUAGES:
            after = request.url.remove_query_params("language")
            answer = RedirectResponse(f"{after.path}?{after.query}" if after.query else after.path, 303)
            answer.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 86400, samesite="lax")
            return answer
        return page(request)

    @router.post("/login")
    def log_in(
        request: Request,
        login: Annotated[str, Form(max_length=200)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        next: Annotated[str, Form(max_length=2000)] = "",  # noqa: A002  the parameter's name in the URL
    ) -> Response:
        words = _words(request, house.language)
        try:
            token = accounts.log_in(login.strip(), password, _agent(request), _address(request))
        except LockedOut as error:
            return page(request, words("login.locked", seconds=error.wait_s), 429, login, next=local_path(next))
        except LoginRefused:
            return page(request, words("login.refused"), 401, login, next=local_path(next))
        except ServiceAway:
            return page(request, words("login.away"), 503, login, next=local_path(next))
        return come_in(request, token, next)

    @router.get("/login/link/{token}")
    def link(request: Request, token: str) -> Response:
        """Asks first: what looks at links on their way (mail scanners, previews) does not use it up."""
        return page(request, link=True)

    @router.post("/login/link/{token}")
    def follow(request: Request, token: str) -> Response:
        words = _words(request, house.language)
        try:
            session = accounts.follow_link(token, _agent(request), _address(request))
        except (LinkRefused, LockedOut):
            return page(request, words("login.link_refused"), 401)
        except ServiceAway:
            return page(request, words("login.away"), 503, link=True)
        return come_in(request, session, request.query_params.get("next", "/"))

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        # The cookie goes in any case, and the session ends by itself.
        with suppress(TocsinError):
            accounts.log_out(session_of(request.headers))
        answer = RedirectResponse("/login", 303)
        drop_session(answer)
        return answer

    return router


def _words(request: Request, default: str) -> Words:
    said = request.cookies.get(LANGUAGE_COOKIE, "")
    accepted = request.headers.get("accept-language", "")
    return words_of(said if said in LANGUAGES else language_asked(accepted) if accepted else default)


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")[:200]


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
