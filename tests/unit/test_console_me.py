"""One's own page: what is done from it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from console.pages.me import _Me
from console.pages.page import At
from console.words import words_of
from schemas.viewers import Role, Viewer


def test_a_session_that_has_ended_makes_no_keys_any_more() -> None:
    """The open page of an account that was just disabled went on to act until its socket was found out."""
    told, done = [], []

    async def gone() -> bool:
        return False

    async def act(said: dict[str, str]) -> None:
        done.append(said)

    at: Any = SimpleNamespace(
        words=words_of("en"),
        viewer=Viewer("li", Role.ADMINISTRATOR, account=1),
        house=SimpleNamespace(accounts=None),
        still_in=gone,
        reader=SimpleNamespace(expired=lambda: told.append("expired")),
    )
    asyncio.run(_Me(cast(At, at))._try(act, {"name": "till"}))
    assert (told, done) == (["expired"], [])
