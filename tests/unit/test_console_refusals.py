"""Refusals on pages: what the services say in English is read in Chinese by who reads Chinese."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alerting.people import NotPossible
from alerting.trials import TooManyTests
from console.acts import Acts
from console.pages.doing import do
from console.refusals import in_language, refusal, word
from console.words import words_of
from registry.accounts import LinkRefused, LockedOut, LoginRefused
from registry.errors import Stale
from registry.passwords import check_password
from schemas.errors import ConfigError, ServiceAway, TocsinError
from schemas.viewers import Act, NeedsPerson, NotAllowed, Role, Viewer

ROOT = Path(__file__).parents[2]
ZH, EN = words_of("zh"), words_of("en")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SERVICES = (
    *sorted((ROOT / "registry").glob("*.py")),
    *(ROOT / "alerting" / name for name in ("people.py", "trials.py", "life.py", "contacts.py")),
    *(ROOT / "ingest" / name for name in ("payloads.py", "mending.py")),
    ROOT / "streams" / "risk_book.py", ROOT / "database" / "connections.py", ROOT / "schemas" / "viewers.py",
)  # fmt: skip
NOT_ON_PAGES = frozenset({"importing.py", "columns.py", "applying.py"})
"""Of files that are imported: they answer the command and the API."""
RAISED = frozenset({
    "ConfigError", "NotPossible", "InTheWay", "NotNow", "TooManyTests", "Problem", "UnknownPlace", "UnknownDevice",
    "UnknownMessage", "TooMuch",
})  # fmt: skip
NO_SENTENCE = frozenset({"Problem"})
"""Whose first argument is a field."""
FILLED = "x-1"


def text_of(node: ast.expr) -> str:
    """As it is said, with something in the holes; empty for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
    return ""


def sentences(source: Path) -> Iterator[str]:
    """Those with which a service refuses: of its errors, and what is kept under a name to be said by one."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.Return) and node.value is not None:
            said = text_of(node.value)
            if isinstance(node, ast.Assign) and re.match(r".*mend", str(getattr(node.targets[0], "id", "")), re.I):
                yield said
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in RAISED or name == "__init__":
            yield from (text_of(one) for one in node.args[1 if name in NO_SENTENCE else 0 :])
            yield from (text_of(one.value) for one in node.keywords if one.arg == "mend")


def spoken(sentence: str) -> bool:
    """A sentence, not a name or a key."""
    return " " in sentence and sentence.endswith(".")


@pytest.mark.parametrize("source", SERVICES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_sentence_of_a_service_has_its_chinese(source: Path) -> None:
    """One that is changed there and not here was read in English by who reads none."""
    said = {one for one in sentences(source) if spoken(one)} if source.name not in NOT_ON_PAGES else set()
    missing = sorted(one for one in said if not CHINESE.search(in_language(one, ZH)))
    assert not missing


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LoginRefused(), "账号或密码错误。请重试，或向管理员索取登录链接。"),
        (LinkRefused(), "此链接已失效。请向管理员索取新链接。"),
        (LockedOut(61_000_000, 1_000_000), "登录失败次数过多，请在 60 秒后重试。请稍候，或向管理员索取登录链接。"),
        (NotAllowed(Viewer("li", Role.OWNER), Act.DIRECT), ZH("acts.not_allowed")),
        (
            NeedsPerson("make keys of its account"),
            "不能用程序密钥执行此操作（为本账户生成密钥）。请用该账户的密码或登录链接登录后操作。",
        ),
        (TooManyTests("a test message went there within the last minute.", 30_000_000),
         "一分钟内已向该号码发送过测试消息。请在 30 秒后再发。"),
        (TooManyTests("20 test messages went to this number within a day.", 36_000_000_000),
         "一天内已向该号码发送 20 条测试消息。请在 600 分钟后再发。"),
        (Stale("enterprise", "shop-1", 3), "单位 shop-1 刚刚被他人修改。请重新查看后再修改。"),
        (ServiceAway("PostgreSQL", "connection to 10.0.0.1 refused"), ZH("acts.away")),
        (NotPossible("the alarm is still active.", mend="Say what it was when it has cleared."),
         "报警仍在持续。请在报警恢复后再核实。"),
        (ConfigError("the login li is there already.", field="login", mend="Choose another."),
         "账号 li 已存在。请换一个。"),
        (ConfigError("supervisor without districts would see nothing.", field="districts", mend="Name one."),
         "区域：监管人员没有区域就什么也看不到。请至少填写一个。"),
        (TocsinError("a sentence of another version."), "a sentence of another version."),
    ],
)  # fmt: skip
def test_a_refusal_is_read_in_chinese(error: TocsinError, said: str) -> None:
    assert refusal(error, ZH) == said


def test_a_refusal_is_read_in_english_as_it_was_said() -> None:
    with pytest.raises(ConfigError) as caught:
        check_password("short", "li")
    assert refusal(caught.value, EN) == "password: a password has 10 to 200 characters. A few words do well."
    assert refusal(caught.value, ZH) == "密码须为 10 至 200 个字符。用几个词组成即可。"
    away = ServiceAway("PostgreSQL", "connection to 10.0.0.1 refused")
    assert "10.0.0.1" not in refusal(away, EN), "a driver's words are for the log"


def reader(language: str) -> Any:
    """As an open page has it."""

    async def in_() -> bool:
        return True

    async def ask(act: Callable[..., object], *given: object, **more: object) -> object:
        return act(*given, **more)

    def judge(*_: object, **__: object) -> None:
        raise NotPossible("the alarm is still active.", mend="Say what it was when it has cleared.")

    services = SimpleNamespace(people=SimpleNamespace(judge=judge))
    return SimpleNamespace(
        words=words_of(language), still_in=in_, ask=ask, services=services, viewer=None, reader=SimpleNamespace()
    )


def test_a_page_says_why_it_did_nothing_in_the_language_of_its_reader() -> None:
    """Chinese words around an English sentence were all that there was."""

    async def refuse() -> None:
        raise TooManyTests("a test message went there within the last minute.", 30_000_000)

    said = asyncio.run(do(reader("zh"), refuse))
    assert said == "未执行：一分钟内已向该号码发送过测试消息。请在 30 秒后再发。"
    assert "within the last minute" in asyncio.run(do(reader("en"), refuse))
    judged = asyncio.run(Acts(reader("zh")).do({"act": "verdict", "key": "k", "note": "false"}))
    assert judged == "未执行：报警仍在持续。请在报警恢复后再核实。"


@pytest.mark.parametrize("reason", ["active", "unknown", "raised again"])
def test_why_the_engine_resets_nothing_is_read_in_chinese(reason: str) -> None:
    assert CHINESE.search(word(reason, ZH))
