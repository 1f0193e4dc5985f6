"""Every page in a real browser: on a narrow phone, for each role, and the guide of a newcomer."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from console.pages import PAGES
from schemas.viewers import Role, Viewer, house
from tests.browser.conftest import Opened
from tests.browser.watch_room import PEOPLE, WatchRoom

MENU = [page.path for page in PAGES if page.icon] + ["/me"]
NARROW = {"width": 360, "height": 740}


def test_no_page_is_wider_than_a_narrow_phone(room: WatchRoom, open_as: Opened) -> None:
    """Who reads a fire on the street does not scroll sideways."""
    code = room.enterprise(
        "narrow-1", "一家名字很长很长很长很长很长很长的面馆有限责任公司", "A very long name of a noodle house"
    )
    room.burn(code)
    key = room.alarm(code)["key"]
    page = open_as("chief", "/", viewport=NARROW)
    wide = {}
    for path in [*MENU, f"/alarms/{key}", "/enterprises/shop-1"]:
        page.goto(room.url + path)
        expect(page.locator('body[data-line="live"]')).to_have_count(1)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: width for path, width in wide.items() if width > NARROW["width"]} == {}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_narrow_phone_shows_the_whole_menu(open_as: Opened, room: WatchRoom, language: str) -> None:
    """Health lay outside at the right, where nobody looked for it."""
    room.accounts.change(house(), "chief", language=language)
    page = open_as("chief", "/rules", viewport={"width": 320, "height": 640}, new=True)
    room.accounts.change(house(), "chief", language="en")
    links = page.locator(".t-nav a")
    expect(links).to_have_count(len([one for one in PAGES if one.icon]))
    ends = links.evaluate_all(
        "all => all.map(one => [one.getBoundingClientRect().left, one.getBoundingClientRect().right,"
        " one.scrollWidth - one.clientWidth])"
    )
    assert all(left >= 0 and right <= 320 and hidden <= 0 for left, right, hidden in ends), ends


def test_what_was_shown_pales_on_every_page_while_the_line_is_cut(open_as: Opened, room: WatchRoom) -> None:
    """How it stands, and by which rules, was of before the cut, and looked like now."""
    page = open_as("chief", "/")
    for path in [one.path for one in PAGES if one.icon]:
        page.goto(room.url + path)
        expect(page.locator('body[data-line="live"]')).to_have_count(1)
        expect(page.locator(".t-main .t-data").first).to_be_attached()


@pytest.mark.parametrize("login", PEOPLE)
def test_each_role_finds_the_pages_of_its_menu_and_no_others(room: WatchRoom, open_as: Opened, login: str) -> None:
    """A menu that leads to a refusal is an insult; a page that it hides must refuse all the same."""
    role, sees = PEOPLE[login]
    viewer = Viewer(login, role, **sees)
    page = open_as(login, "/me")
    shown = page.locator(".t-nav a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert shown == [one.path for one in PAGES if one.icon and (one.act is None or viewer.may(one.act))]
    for one in PAGES:
        if not one.icon or one.path == "/":
            continue
        answer = room.api("GET", one.path, login=login)
        may = one.act is None or viewer.may(one.act)
        assert answer.status_code == (200 if may else 403), one.path
        assert ("Your role may not open this page" in answer.text) is not may, one.path
    if role is Role.INTEGRATOR:
        page.goto(room.url)
        page.wait_for_url("**/devices*")


def test_the_guide_follows_a_newcomer_from_the_quiet_to_the_reset(room: WatchRoom, open_as: Opened) -> None:
    """It walks with what they really do."""
    code = room.enterprise("guide-1")
    page = open_as("second", f"/?guide=1&text={code}", new=True)
    guide = page.get_by_test_id("guide")
    expect(guide).to_be_visible()
    assert "guide=" not in page.url
    room.burn(code)
    expect(guide).to_contain_text("2 / 4")
    page.locator('[data-testid="alarm"] .w-title').click()
    page.wait_for_url("**/alarms/*")
    expect(guide).to_contain_text("3 / 4")
    page.get_by_test_id("acknowledge").click()
    expect(guide).to_contain_text("over, waits for reset")
    room.cool(code)
    page.get_by_test_id("reset").click()
    expect(guide).to_contain_text("Done")
    guide.get_by_role("button").click()
    expect(guide).to_have_count(0)


def test_an_alarm_of_somebody_else_is_not_there(room: WatchRoom, open_as: Opened) -> None:
    """What is outside the scope is never said to be forbidden."""
    code = room.enterprise("foreign-1")
    room.burn(code)
    key = room.alarm(code)["key"]
    page = open_as("owner", f"/alarms/{key}")
    expect(page.locator(".t-message")).to_contain_text("Not found")
    assert code not in page.content()
