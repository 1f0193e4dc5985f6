"""The duty desk in a real browser: what an officer sees and does from the fire to the reset."""

from __future__ import annotations

import os
import signal

from playwright.sync_api import expect

from tests.browser.conftest import Opened
from tests.browser.watch_room import MARKUP, PASSWORD, WatchRoom
from tests.waiting import until


def test_a_fire_appears_without_reload_is_acknowledged_and_reset_after_clearing(
    room: WatchRoom, open_as: Opened
) -> None:
    """The whole of an alarm, by one officer at one open page."""
    code = room.enterprise("fire-1", "乐味面馆", "Lewei Noodle House")
    page = open_as("officer", f"/?text={code}")
    page.evaluate("window.met = true")
    row = page.locator('[data-testid="alarm"]')
    expect(row).to_have_count(0)
    room.burn(code)
    expect(row).to_have_count(1)
    for words in ("Red", "Fire", "temperature", "96 °C", "limit 90 °C", "Lewei Noodle House", "Kitchen", "Nobody has"):
        expect(row).to_contain_text(words, ignore_case=True)
    expect(page).to_have_title("(1) Watch · Tocsin")
    row.get_by_test_id("acknowledge").click()
    expect(row).to_contain_text("officer")
    expect(page).to_have_title("Watch · Tocsin")
    room.cool(code)
    expect(row).to_contain_text("waits for reset")
    row.get_by_test_id("reset").click()
    expect(row).to_have_count(0)
    assert page.evaluate("window.met") is True, "the page was loaded again"


_SIBLINGS = """
    () => {
        const found = [];
        const look = (sheet) => {
            for (const rule of sheet.cssRules) {
                if (rule.styleSheet) look(rule.styleSheet);
                else if (/[*] [+] [*]/.test(rule.selectorText || "")) found.push(rule.selectorText);
            }
        };
        for (const sheet of document.styleSheets) look(sheet);
        return found;
    }
"""


def test_an_alarm_that_comes_in_leaves_the_style_of_the_others_alone(room: WatchRoom, open_as: Opened) -> None:
    """A rule for whatever stands behind anything has the browser look at every row: five of fifteen milliseconds."""
    elsewhere = open_as("officer", "/rules")
    assert elsewhere.evaluate(_SIBLINGS), "NiceGUI's own sheets have none any more, and the list need not look for it"
    page = open_as("officer", "/")
    page.wait_for_function(f"() => ({_SIBLINGS})().length === 0")


def test_a_red_is_said_aloud_and_silence_follows_when_all_are_acknowledged(room: WatchRoom, open_as: Opened) -> None:
    """To an officer who cannot see the list: the same words twice are heard only if there was silence between."""
    code = room.enterprise("aloud-1", "乐味面馆", "Lewei Noodle House")
    page = open_as("officer", "/")
    page.evaluate("""() => {
        window.said = [];
        const node = document.querySelector("[aria-live=assertive]");
        new MutationObserver(() => window.said.push(node.textContent)).observe(node, { childList: true, subtree: true,
            characterData: true });
    }""")
    room.burn(code)
    page.wait_for_function("window.said.some(words => words.includes('Lewei Noodle House'))")
    before = page.evaluate("window.said.length")
    for alarm in room.api("GET", "/api/v1/alarms").json()["alarms"]:
        act = {"step": alarm["step"]}
        room.api("POST", f"/api/v1/alarms/{alarm['key']}/ack", "officer", json=act).raise_for_status()
    page.wait_for_function("count => window.said.slice(count).includes('')", arg=before)


def test_the_act_of_a_second_officer_appears_and_a_late_one_is_told_so(room: WatchRoom, open_as: Opened) -> None:
    """Two at one alarm: each sees what the other did, and what does not fit any more is refused in words."""
    code = room.enterprise("two-1")
    room.burn(code)
    first, second = (open_as(login, f"/?text={code}") for login in ("officer", "second"))
    row = first.locator('[data-testid="alarm"]')
    second.get_by_test_id("acknowledge").click()
    expect(row).to_contain_text("second")
    expect(row.get_by_test_id("acknowledge")).to_have_count(0)
    key = room.alarm(code)["key"]
    detail = open_as("officer", f"/alarms/{key}")
    refused = room.api("POST", f"/api/v1/alarms/{key}/reset", login="second", json={"step": 1})
    assert refused.status_code in (200, 202)
    expect(detail.locator(".a-story")).to_contain_text("second asked for a reset: refused")


def test_keys_walk_acknowledge_and_comment(room: WatchRoom, open_as: Opened) -> None:
    """Who has both hands on the telephone's keys does not look for a mouse."""
    codes = [room.enterprise(f"keys-{number}") for number in (1, 2)]
    for code in codes:
        room.burn(code)
        room.alarm(code)
    page = open_as("officer", "/?text=keys-")
    row = page.locator('[data-testid="alarm"]')
    expect(row).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator('[data-testid="alarm"].is-seen')).to_have_count(1)
    page.keyboard.press("c")
    page.keyboard.type("called, nobody answers")
    page.keyboard.press("Enter")
    expect(page.locator(".w-said")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    at = page.locator('[data-testid="alarm"].is-at').get_attribute("data-key")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/alarms/{at}")
    expect(page.locator(".a-story")).to_contain_text("called, nobody answers")


def test_markup_in_names_and_notes_is_text(room: WatchRoom, open_as: Opened) -> None:
    """Somebody will call their shop that."""
    code = room.enterprise("markup-1", MARKUP, MARKUP)
    room.burn(code)
    key = room.alarm(code)["key"]
    room.api("POST", f"/api/v1/alarms/{key}/comments", login="officer", json={"text": MARKUP})
    page = open_as("officer", f"/?text={code}")
    expect(page.locator('[data-testid="alarm"] .w-name')).to_have_text(MARKUP)
    page.goto(f"{room.url}/alarms/{key}")
    expect(page.locator(".a-head-where")).to_contain_text(MARKUP)
    expect(page.locator(".a-story")).to_contain_text(MARKUP)
    assert page.evaluate("window.hit") is None


def test_a_server_that_is_killed_is_said_at_once_and_the_page_catches_up_alone(
    room: WatchRoom, open_as: Opened
) -> None:
    """A screen that lies after a reconnect is what must never be."""
    code = room.enterprise("cut-1")
    page = open_as("officer", f"/?text={code}")
    expect(page.locator('body[data-line="live"]')).to_have_count(1)
    killed = room.console_pid()
    assert killed
    # Stopped, not ended: the socket stays open, and only the beats tell.
    os.kill(killed, signal.SIGSTOP)
    expect(page.get_by_role("alert")).to_contain_text("No line to the server")
    assert float(page.locator(".t-data").evaluate("e => getComputedStyle(e).opacity")) < 1
    room.burn(code)
    os.kill(killed, signal.SIGKILL)
    until(lambda: room.console_pid() not in (0, killed), "a new console runs")
    expect(page.locator('[data-testid="alarm"]')).to_have_count(1)
    expect(page.locator('body[data-line="live"]')).to_have_count(1)


def test_a_session_that_ends_leads_to_the_login_and_back(room: WatchRoom, open_as: Opened) -> None:
    """A browser left open for a day."""
    page = open_as("officer", "/?grade=red", new=True)
    expect(page.locator('body[data-line="live"]')).to_have_count(1)
    room.accounts.log_out(room.tokens.pop("officer"))
    page.wait_for_url("**/login?next=**")
    page.get_by_label("Login", exact=True).fill("officer")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{room.url}/?grade=red")
    expect(page.locator(".w-chip.is-red")).to_have_attribute("aria-pressed", "true")


def test_the_language_is_switched_at_the_login_and_in_the_page(room: WatchRoom, open_as: Opened) -> None:
    """Chinese and English are both whole."""
    page = open_as("", "/login", locale="en-GB")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("button", name="登录")).to_be_visible()
    page = open_as("second", "/")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("button", name="Chinese").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    expect(page.locator(".t-nav")).to_contain_text("值守")
    page.get_by_role("button", name="英文").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
