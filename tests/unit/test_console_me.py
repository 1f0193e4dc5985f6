"""One's own page: what is done from it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec import structs

from console.pages.act_log import detail
from console.pages.me import _Me
from console.pages.page import At
from console.words import words_of
from registry.account_book import said_of
from registry.account_rows import Account
from registry.audit import Entry
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


LI = Account(id=1, login="li", name="Li", role=Role.OPERATOR, districts=("310101", "310104"))


def entry(act: str, said: str) -> Entry:
    return Entry(1, datetime(2026, 5, 8, tzinfo=UTC), "admin", act, "li", "", False, said)


@pytest.mark.parametrize(
    ("act", "said", "zh", "en"),
    [
        (
            "add_account",
            said_of(LI),
            "角色：值班员；区域：310101、310104",
            "role: Duty desk; districts: 310101, 310104",
        ),
        (
            "change_account",
            said_of(
                structs.replace(LI, role=Role.OWNER, districts=(), enterprises=("shop-1",), disabled=True), LI, True
            ),
            "角色：单位负责人；区域：不再列出；单位：shop-1；停用；新密码",
            "role: Owner; districts: no longer listed; enterprises: shop-1; closed; a new password",
        ),
        (
            "change_account",
            said_of(structs.replace(LI, name="Bo", phone="+8613800000000"), structs.replace(LI, disabled=True)),
            "重新启用；新姓名；新电话号码",
            "opened again; a new name; a new phone number",
        ),
        (
            "change_account",
            said_of(structs.replace(LI, districts=()), LI),
            "区域：不再列出；可见全部",
            "districts: no longer listed; sees everything",
        ),
        ("change_language", "language=en", "语言：英文", "language: English"),
        ("log_in", "locked for 60 s", "锁定 60 秒", "locked for 60 s"),
        ("log_in", "", "", ""),
    ],
)
def test_the_log_of_acts_is_read_in_words(act: str, said: str, zh: str, en: str) -> None:
    """Who looks for an account that sees too much does not want to learn our codes."""
    assert [detail(entry(act, said), words_of(language)) for language in ("zh", "en")] == [zh, en]


@pytest.mark.parametrize(
    "said", ["role=", "role=caretaker", "districts", "desk=3", "disabled", "something else", "=", "said="]
)
def test_a_detail_that_is_not_known_is_shown_as_it_is(said: str) -> None:
    """Of a version before or after this one."""
    assert detail(entry("change_account", f"{said}; language=zh"), words_of("zh")) == f"{said}；语言：中文"


def test_what_somebody_wrote_is_not_taken_for_codes() -> None:
    """A key may be named `role=administrator`."""
    assert detail(entry("make_key", "4f2a90c1d3b7 role=operator"), words_of("zh")) == "4f2a90c1d3b7 role=operator"
