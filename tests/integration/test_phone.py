"""The page behind the link of a message: what is shown, what a tap does, and what a robot cannot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from msgspec import structs

from alerting import links
from alerting.answering import Answering
from alerting.composer import Reply
from alerting.lists import Wanted
from alerting.people import People
from alerting.secret import LINKS, house_secret
from console.guard import Guard
from console.phone import make_phone
from registry.accounts import Accounts
from registry.directory import Directory
from schemas.alarms import Grade, State
from schemas.viewers import house
from tests.alerting_world import US, event
from tests.people_world import Watch, add_contact, settle, watch

RED = event(State.RAISED, Grade.RED)
PHONE = {"User-Agent": "an old phone"}


class Phone:
    """A browser without cookies."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self._ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self._ask("POST", path, **more)

    def tap(self, path: str) -> httpx.Response:
        """The button of the page."""
        page = self.get(path)
        found = re.search(r'name="token" value="([^"]+)"', page.text)
        assert found is not None, page.text
        return self.post(path, data={"token": found[1]})

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin.example") as asker:
                return await asker.request(method, path, headers=PHONE | more.pop("headers", {}), **more)

        return asyncio.run(one())


@pytest.fixture
def w(dsn: str) -> Iterator[Watch]:
    settle(dsn)
    add_contact(dsn, 1, name="李伟")
    add_contact(dsn, 2, name="Anna <b>Berg</b>", language="en")
    reply = Reply("https://tocsin.example", "0571-8888 7777", house_secret(dsn, LINKS))
    with watch(dsn, reply=reply) as made:
        yield made


@pytest.fixture
def phone(dsn: str, w: Watch) -> Iterator[Phone]:
    answering, accounts = Answering(dsn, w.clock), Accounts(dsn)
    app = FastAPI()
    app.include_router(make_phone(answering, w.clock, "0571-8888 7777"))
    app.add_middleware(Guard, token="a token of the house", accounts=accounts)
    yield Phone(app)
    answering.close()
    accounts.close()


def link_of(w: Watch, number: int = 0) -> str:
    """The path of the link in a message, as it left."""
    found = re.search(r"https://tocsin\.example(/a/\S+)", w.sms.sent[number].text)
    assert found is not None, w.sms.sent[number].text
    return found[1]


def acknowledged(w: Watch) -> list[tuple[Any, ...]]:
    return w.rows("SELECT by, step FROM acknowledgements ORDER BY number")


def test_the_page_says_where_what_how_bad_and_what_to_do(w: Watch, phone: Phone) -> None:
    w.tell(RED)
    page = phone.get(link_of(w))
    assert page.status_code == 200
    for word in ("李伟", "红色 · 火灾", "城东饭店", "文三路 1 号", "后厨 · 烟感2", "温度 95 °C", "限值 56 °C",
                 "自 22:13 起", "立即疏散", 'href="tel:119"', 'href="tel:057188887777"', "尚无人确认",
                 "非政府发布"):  # fmt: skip
        assert word in page.text, word
    assert len(page.content) < 6000, "it comes over a bad line"
    assert "<script" not in page.text


def test_a_tap_acknowledges_under_the_contacts_name_and_stops_the_ladder(w: Watch, phone: Phone) -> None:
    w.tell(RED)
    answer = phone.tap(link_of(w))
    assert "已由您（李伟）确认" in answer.text and "<button" not in answer.text
    assert acknowledged(w) == [("李伟", 1)]
    w.turn(120)
    assert w.called() == ["1"]
    assert w.rows("SELECT stamp FROM receipts WHERE stamp = 'acknowledged'") == [("acknowledged",)]


def test_two_taps_are_one(w: Watch, phone: Phone) -> None:
    """An impatient thumb, or a phone that sends again."""
    w.tell(RED)
    token = link_of(w).removeprefix("/a/")
    for _ in range(3):
        assert phone.post(link_of(w), data={"token": token}).status_code == 200
    assert acknowledged(w) == [("李伟", 1)]


@pytest.mark.parametrize("robot", ["Twitterbot/1.0", "WhatsApp/2.23", "facebookexternalhit/1.1"])
def test_a_robot_that_looks_at_the_link_acknowledges_nothing(w: Watch, phone: Phone, robot: str) -> None:
    """Messengers fetch links to show a preview; nobody has read anything by that."""
    w.tell(RED)
    for method in ("GET", "HEAD"):
        phone._ask(method, link_of(w), headers={"User-Agent": robot})
    assert acknowledged(w) == [] and w.rows("SELECT count(*) FROM receipts WHERE stamp = 'opened'") == [(0,)]


def test_a_post_without_the_token_in_its_body_acknowledges_nothing(w: Watch, phone: Phone) -> None:
    """A page elsewhere can make a browser post to an address that it guessed, not send what it does not know."""
    w.tell(RED)
    for more in ({}, {"data": {"token": ""}}, {"data": {"tokens": "x"}}, {"content": b"\xff\x00&&&&&&&&"}):
        assert phone.post(link_of(w), **more).status_code == 404
    assert phone.post(link_of(w), data={"token": link_of(w).removeprefix("/a/")},
                      headers={"Origin": "https://evil.example"}).status_code == 403  # fmt: skip
    assert acknowledged(w) == []


def test_the_next_contact_sees_who_has_it(w: Watch, phone: Phone) -> None:
    w.tell(RED)
    w.turn(60)
    phone.tap(link_of(w, 1))
    assert acknowledged(w) == [("Anna <b>Berg</b>", 1)]
    page = phone.get(link_of(w, 0))
    assert "已由 Anna &lt;b&gt;Berg&lt;/b&gt; 确认" in page.text and "<b>Berg" not in page.text
    assert "You (Anna &lt;b&gt;Berg&lt;/b&gt;) have acknowledged it" in phone.get(link_of(w, 1)).text


def test_an_old_link_does_not_acknowledge_what_was_raised_again(w: Watch, phone: Phone) -> None:
    """Who taps an old message has not seen the new alarm."""
    w.tell(RED)
    w.tell(event(State.CLEARED, Grade.RED, step=2))
    w.clock.forward(600)
    w.tell(event(State.RAISED, Grade.RED, step=3))
    page = phone.get(link_of(w, 0))
    assert "请打开最新短信" in page.text and "<button" not in page.text
    phone.post(link_of(w, 0), data={"token": link_of(w, 0).removeprefix("/a/")})
    assert acknowledged(w) == []


def test_a_red_is_acknowledged_by_who_had_acknowledged_the_orange(w: Watch, phone: Phone) -> None:
    w.tell(event(State.RAISED, Grade.ORANGE))
    phone.tap(link_of(w, 0))
    w.tell(event(State.REGRADED, Grade.RED, step=2, previous=Grade.ORANGE))
    assert "尚无人确认" in phone.get(link_of(w, 1)).text
    phone.tap(link_of(w, 1))
    assert acknowledged(w) == [("李伟", 1), ("李伟", 2)]


def test_a_message_of_a_storm_is_acknowledged_whole(w: Watch, phone: Phone) -> None:
    w.tell(*(event(State.RAISED, Grade.RED, device=f"d{n}") for n in range(15)))
    w.turn(10)
    phone.tap(link_of(w, 0))
    assert len(acknowledged(w)) == 1
    page = phone.get(link_of(w, 1)).text
    assert "全部 14 条我已知晓" in page and "另有 4 条" in page and page.count("<button") == 1
    phone.tap(link_of(w, 1))
    assert len(acknowledged(w)) == 15
    w.turn(60)
    assert w.called() == ["1", "1"]


def test_what_is_over_asks_for_nothing(w: Watch, phone: Phone) -> None:
    w.tell(RED)
    w.tell(event(State.CLEARED, Grade.RED, step=2, event_us=RED.event_us + 300 * US))
    page = phone.get(link_of(w)).text
    assert "22:18 已恢复" in page and "<button" not in page and "立即疏散" not in page


@pytest.mark.parametrize("how", ["altered", "expired", "withdrawn", "never", "other house"])
def test_a_link_that_is_not_good_says_whom_to_call_and_nothing_else(w: Watch, phone: Phone, dsn: str, how: str) -> None:
    w.tell(RED)
    path = link_of(w)
    if how == "altered":
        path = path[:-3] + ("A" if path[-3] != "A" else "B") + path[-2:]
    elif how == "expired":
        w.clock.forward(links.LASTS_US / US + 300)
    elif how == "withdrawn":
        with psycopg.connect(dsn) as connection:
            connection.execute('DELETE FROM contacts WHERE "order" = 1')
    elif how == "never":
        path = "/a/" + links.make(house_secret(dsn, LINKS), "0" * 32, w.clock() + 60 * US)
    else:
        path = "/a/" + links.make(b"x" * 32, w.sms.sent[0].id, w.clock() + 60 * US)
    token = path.removeprefix("/a/")
    for page in (phone.get(path), phone.post(path, data={"token": token})):
        assert page.status_code == 404 and 'href="tel:057188887777"' in page.text and 'href="tel:119"' in page.text
        assert not any(word in page.text for word in ("城东", "李伟", "烟感", "红色", "shop-1"))
    assert acknowledged(w) == []


def test_a_contact_in_another_place_answers_by_the_same_link_and_under_the_same_name(
    w: Watch, phone: Phone, dsn: str
) -> None:
    """Their places in the order were swapped, and the link of the first acknowledged under the name of the second."""
    w.tell(RED)
    w.turn(60)
    officer, directory = house("officer"), Directory(dsn)
    directory.swap_contacts(officer, "shop-1", 1, 2)
    directory.close()
    with psycopg.connect(dsn) as connection:  # the registry's time is the machine's, the house's that of the test
        connection.execute("UPDATE registry_changes SET at = to_timestamp(%s / 1e6)", [w.clock() + US])
    assert "已由您（李伟）确认" in phone.tap(link_of(w, 0)).text
    assert "has acknowledged" in phone.get(link_of(w, 1)).text and "You (" not in phone.get(link_of(w, 1)).text
    assert acknowledged(w) == [("李伟", 1)]


def test_which_contact_has_answered_stands_with_it_and_in_the_log_of_acts(w: Watch, phone: Phone, dsn: str) -> None:
    """A name alone may be an account's, or another contact's; and it is the name as of then, whatever comes after."""
    w.tell(RED)
    phone.tap(link_of(w))
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE contacts SET name = '李玮' WHERE id = 1")
    assert w.rows("SELECT by, contact, note FROM acknowledgements") == [("李伟", "contact:shop-1:1", "")]
    acts = w.rows("SELECT who, act, detail, enterprise FROM audit_log")
    assert acts == [("李伟", "acknowledge", "contact:shop-1:1", "shop-1")]
    people = People(dsn, w.clock)
    (shown,) = people.list_alarms(house(), Wanted()).alarms
    (answer,) = people.show(house(), shown.key).acknowledgements
    assert (answer.by, answer.contact) == ("李伟", "contact:shop-1:1")
    people.acknowledge(house("officer"), shown.key)
    assert [one.contact for one in people.show(house(), shown.key).acknowledgements] == ["contact:shop-1:1", ""]
    people.close()
    kept = w.rows(
        "SELECT (SELECT jsonb_agg(a) FROM audit_log a)::text || (SELECT jsonb_agg(k) FROM acknowledgements k)::text"
    )
    assert "8610000" not in kept[0][0], "no number stands in it"


def test_of_two_with_one_name_the_page_knows_who_has_it(w: Watch, phone: Phone, dsn: str) -> None:
    """Two night guards are both called 值班: the second was told that the alarm was his already."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE contacts SET name = '值班', language = 'zh'")
    w.tell(RED)
    w.turn(60)
    assert "已由您（值班）确认" in phone.tap(link_of(w, 0)).text
    assert "已由 值班 确认" in phone.get(link_of(w, 1)).text


def test_who_is_a_contact_no_more_does_not_answer_in_the_next_ones_name(w: Watch, phone: Phone, dsn: str) -> None:
    """Somebody else was put into their place, or they have another number: it may be another's phone by now."""
    w.tell(RED)
    w.turn(60)
    officer, directory = house("officer"), Directory(dsn)
    first, second = directory.contacts(officer, "shop-1")
    directory.put_contact(officer, structs.replace(first, name="赵", phone="+8610000000008"))
    directory.put_contact(officer, structs.replace(second, phone="+8610000000009"))
    directory.close()
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE registry_changes SET at = to_timestamp(%s / 1e6)", [w.clock() + US])
    for number in (0, 1):
        path = link_of(w, number)
        assert phone.post(path, data={"token": path.removeprefix("/a/")}).status_code == 404
    assert acknowledged(w) == []


def test_a_contact_whose_name_is_mended_keeps_the_link(w: Watch, phone: Phone, dsn: str) -> None:
    w.tell(RED)
    directory = Directory(dsn)
    (first, _) = directory.contacts(house(), "shop-1")
    directory.put_contact(house(), structs.replace(first, name="李玮"))
    directory.close()
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE registry_changes SET at = to_timestamp(%s / 1e6)", [w.clock() + US])
    phone.tap(link_of(w))
    assert acknowledged(w) == [("李玮", 1)]


@pytest.mark.parametrize("path", ["/a/", "/a/%00", "/a/..%2f..%2fetc", "/a/" + "a" * 5000, "/a/" + "%F0%9F%94%A5" * 39])
def test_nonsense_is_no_defect(phone: Phone, path: str) -> None:
    assert phone.get(path).status_code in (404, 303)


def test_the_page_leaves_no_trace(w: Watch, phone: Phone) -> None:
    """Not in a cache, not in an index, not in what another site is told."""
    w.tell(RED)
    headers = phone.get(link_of(w)).headers
    assert headers["Cache-Control"] == "no-store" and "noindex" in headers["X-Robots-Tag"]
    assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert "default-src 'none'" in headers["Content-Security-Policy"] and "set-cookie" not in headers


def test_a_link_opens_its_own_alarms_alone(w: Watch, phone: Phone, dsn: str) -> None:
    settle(dsn, "shop-2", name="西溪书店")
    add_contact(dsn, 1, enterprise="shop-2")
    w.tell(RED, event(State.RAISED, Grade.RED, enterprise="shop-2"))
    first = next(n for n, message in enumerate(w.sms.sent) if message.enterprise == "shop-1")
    page = phone.tap(link_of(w, first))
    assert "西溪书店" not in page.text
    assert w.rows("SELECT enterprise FROM acknowledgements k JOIN alarms a ON a.key = k.alarm") == [("shop-1",)]


def test_the_ledger_bears_no_link_that_opens_anything(w: Watch, phone: Phone) -> None:
    """Who may read what was sent may not answer in its reader's name."""
    w.tell(RED)
    (body,) = w.rows("SELECT body->>'text' FROM notifications")[0]
    assert links.WITHHELD in body
    assert phone.get(f"/a/{links.WITHHELD}").status_code == 404
