"""Keys of acts: a repeat is told the truth, also when the first came to no end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from console.errors import answer_errors
from console.once import HEADER, Once, OnceBook
from schemas.errors import ConfigError, ServiceAway
from schemas.viewers import house

pytestmark = pytest.mark.integration
Ask = Callable[..., httpx.Response]


class _House:
    """In the guard's place."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"viewer": house()}
        await self._app(scope, receive, send)


class _Killed(BaseException):
    """In the place of a process that dies in the middle: nothing runs after it."""


@pytest.fixture
def book(dsn: str) -> Iterator[OnceBook]:
    made = OnceBook(dsn)
    yield made
    made.close()


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def ask(book: OnceBook, done: list[str]) -> Ask:
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(Once, book=book)
    app.add_middleware(_House)

    @app.post("/api/v1/things/{how}")
    async def make(request: Request, how: str) -> Response:
        if how == "refused":
            raise ConfigError("it cannot be so.")
        done.append(how)
        if how == "away":
            raise ServiceAway("PostgreSQL", "gone before it said whether it took it")
        if how == "killed":
            raise _Killed
        return Response(status_code=201)

    def ask(path: str, key: str = "k", **more: Any) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin/api/v1") as asker:
                return await asker.post(f"/things/{path}", headers={HEADER: key}, **more)

        return asyncio.run(one())

    return ask


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 409 and answer.json()["error"]["field"] == HEADER
    return str(answer.json()["error"]["what"])


def test_what_was_done_is_said_to_be_done(ask: Ask, done: list[str]) -> None:
    assert ask("made").status_code == 201
    assert "was done already" in said(ask("made"))
    assert done == ["made"]


def test_what_died_in_the_middle_is_not_said_to_be_done(ask: Ask, done: list[str]) -> None:
    """It was: a script that was cut off with its console took for made what nobody had."""
    with pytest.raises(_Killed):
        ask("killed")
    repeat = ask("killed")
    assert "what came of it is not known" in said(repeat) and "look whether it was done" in repeat.text
    assert done == ["killed"], "and is not done a second time either"


def test_what_the_database_did_not_answer_is_not_done_twice(ask: Ask, done: list[str]) -> None:
    """It was forgotten as if it had come to nothing; a commit whose answer is lost may have been one."""
    assert ask("away").status_code == 503
    assert "what came of it is not known" in said(ask("away"))
    assert done == ["away"]


def test_what_is_going_on_is_not_said_to_be_done(book: OnceBook, ask: Ask, done: list[str]) -> None:
    book.claim("house", "k", "POST /api/v1/things/made")
    assert "was begun" in said(ask("made")) and not done


def test_what_was_refused_may_be_tried_again(ask: Ask) -> None:
    assert [ask("refused").status_code for _ in range(2)] == [400, 400]


def test_a_key_that_was_another_acts_says_so(ask: Ask, done: list[str]) -> None:
    """It was said to be done, and never had been."""
    assert ask("made").status_code == 201
    assert "something else" in said(ask("more"))
    assert ask("more", key="another").status_code == 201 and done == ["made", "more"]


def test_an_answer_is_heard_after_its_key_says_so(ask: Ask, dsn: str) -> None:
    ask("made")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT done_at IS NOT NULL FROM done_once").fetchall() == [(True,)]
