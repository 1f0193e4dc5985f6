"""Pages of who connects devices, keeps contacts and inspects, in a real browser: what each does there, to its end."""

from __future__ import annotations

import json

from msgspec import structs
from playwright.sync_api import Page, expect

from schemas.viewers import Role, house
from tests.browser.conftest import Opened
from tests.browser.watch_room import PASSWORD, PEOPLE, WatchRoom

NARROW = {"width": 390, "height": 844}


def refused(room: WatchRoom, code: str, device: str, *bodies: object) -> None:
    """The device sends what is refused."""
    for body in bodies:
        topic = f"tocsin/v1/{code}/{device}/telemetry"
        room.client.publish(topic, json.dumps(body), qos=1).wait_for_publish(20)


def test_a_refused_payload_is_mended_and_taken_in(room: WatchRoom, open_as: Opened) -> None:
    """An integrator comes by what was wrong to readings that are stored, without the device's maker."""
    refused(room, "shop-1", "fridge", {"temprature": 3.5}, {"temprature": 3.6})
    page = open_as("fitter", "/devices?tab=refused&device=fridge")
    rows = page.locator(".d-list > li")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("temprature")
    rows.first.get_by_role("link", name="Open").click()
    means = page.get_by_label("means this measure").first
    means.fill("temperature")
    means.press("Tab")
    page.get_by_test_id("same-for-all").check()
    page.get_by_test_id("replay").click()
    expect(page.get_by_test_id("replayed")).to_be_visible()
    page.goto(f"{room.url}/devices?tab=refused&device=fridge")
    expect(page.locator(".w-none")).to_contain_text("Nothing fits")


def test_many_refused_messages_are_taken_in_again_at_once(room: WatchRoom, open_as: Opened) -> None:
    """After a mend of the house's own; what is refused again stays, and says so."""
    refused(room, "shop-1", "pump", {"nonsense": 1}, {"nonsense": 2})
    page = open_as("fitter", "/devices?tab=refused&device=pump")
    page.get_by_test_id("replay-all").click()
    page.get_by_test_id("replay-all-do").click()
    expect(page.get_by_test_id("said")).to_contain_text("2 were asked for")
    expect(page.locator(".d-list").get_by_text("tried 1 times")).to_have_count(2)


def test_an_unclaimed_device_is_claimed_with_its_zone_and_name(room: WatchRoom, open_as: Opened) -> None:
    """One click takes it as it is; two more say where it hangs."""
    room.client.publish("tocsin/v1/shop-1/new-1/telemetry", '{"temperature": 22.5}', qos=1).wait_for_publish(20)
    room.client.publish("tocsin/v1/shop-1/new-2/telemetry", '{"temperature": 22.5}', qos=1).wait_for_publish(20)
    page = open_as("fitter", "/devices?tab=unclaimed&enterprise=shop-1")
    rows = page.locator(".d-list > li")
    first, second = (rows.filter(has_text=name) for name in ("new-1", "new-2"))
    expect(first).to_contain_text("22.5 °C")
    first.get_by_test_id("claim-with").click()
    first.get_by_label("Zone").select_option("kitchen")
    first.get_by_label("Name", exact=True).fill("冰柜温度")
    first.get_by_label("English name").fill("Freezer")
    first.get_by_test_id("claim-named").click()
    expect(page.get_by_test_id("said")).to_have_text("Claimed: Freezer")
    second.get_by_test_id("claim").click()
    expect(second).to_have_count(0)
    held = room.directory.device(house("test"), "shop-1", "new-1")
    assert (held.zone, held.name) == ("kitchen", "冰柜温度")


def test_contacts_are_added_changed_put_in_order_and_told(room: WatchRoom, open_as: Opened) -> None:
    """An owner's telephone number changes on a Sunday; a wrong one is said in words, and what was typed stays."""
    code = room.enterprise("contacts-1")
    page = open_as("officer", f"/enterprises/{code}")
    page.get_by_test_id("contact-add").click()
    page.get_by_label("Name").fill("李工")
    page.get_by_label("Phone").fill("12345")
    page.get_by_test_id("contact-save").click()
    expect(page.locator(".c-form [role=alert]")).to_contain_text("not a phone number")
    expect(page.get_by_label("Name")).to_have_value("李工")
    page.get_by_label("Phone").fill("139 0013 9000")
    page.get_by_test_id("contact-save").click()
    names = page.locator(".c-contact .a-contact-name")
    expect(names).to_have_text(["1 · 王经理", "2 · 李工"])
    expect(page.locator(".c-contact").last).to_contain_text("+8613900139000")
    page.get_by_role("button", name="Move 李工 up").click()
    expect(names).to_have_text(["1 · 李工", "2 · 王经理"])
    page.get_by_role("button", name="Send 李工 a test message").click()
    expect(page.get_by_test_id("contact-said")).to_contain_text("on its way to 李工")
    page.get_by_role("button", name="Change 王经理").click()
    page.get_by_test_id("contact-remove").click()
    expect(names).to_have_text(["1 · 李工"])
    page.get_by_test_id("preview").click()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_test_id("preview-text")).to_contain_text(f"{code} Noodles")
    kept = room.directory.changes(house("test"), code).changes
    assert {change.who for change in kept if change.what == "contact"} >= {"officer"}


def test_of_two_who_change_one_contact_the_second_sees_what_the_first_did(room: WatchRoom, open_as: Opened) -> None:
    """Nothing of the first one's is lost, and the second knows why his is not kept."""
    code = room.enterprise("contacts-2")
    page = open_as("officer", f"/enterprises/{code}")
    page.get_by_role("button", name="Change 王经理").click()
    expect(page.get_by_label("Duty")).to_be_visible()
    (seen,) = room.directory.contacts(house("test"), code)
    room.directory.put_contact(house("test"), structs.replace(seen, duty="night guard"), seen.version)
    page.get_by_label("Duty").fill("cook")
    page.get_by_test_id("contact-save").click()
    expect(page.locator(".a-refusal[role=alert]")).to_contain_text("Somebody has just changed this contact")
    expect(page.locator(".c-contact")).to_contain_text("night guard")
    page.get_by_role("button", name="Change 王经理").click()
    page.get_by_label("Duty").fill("cook")
    page.get_by_test_id("contact-save").click()
    expect(page.locator(".c-contact")).to_contain_text("cook")
    assert [(one.duty, one.id) for one in room.directory.contacts(house("test"), code)] == [("cook", seen.id)]


def test_who_may_not_change_contacts_is_not_offered_it(room: WatchRoom, open_as: Opened) -> None:
    """A supervisor may call them."""
    page = open_as("bureau", "/enterprises/shop-1")
    expect(page.locator(".c-contact")).to_have_count(1)
    expect(page.get_by_test_id("contact-add")).to_have_count(0)
    expect(page.locator(".c-tool")).to_have_count(0)


def test_a_fire_rings_on_the_map_and_makes_its_place_red_without_a_reload(room: WatchRoom, open_as: Opened) -> None:
    """Map and supervisor's list follow by themselves; so does the enterprise's own page."""
    code = room.enterprise("mapped-1")
    place = open_as("officer", "/map")
    expect(place.locator(".m-legend label.is-unknown b, .m-legend label.is-blue b").first).not_to_have_text("0")
    listed = open_as("bureau", f"/supervisor?text={code}")
    own = open_as("officer", f"/enterprises/{code}")
    for page in (place, listed, own):
        page.evaluate("window.met = true")
    expect(own.locator(".e-alarms")).to_have_count(1)
    room.burn(code)
    ring = place.locator(f'.m-alarm.is-red[title*="{code} Noodles"]')
    expect(ring).to_have_count(1)
    expect(own.locator(".e-alarms li")).to_contain_text(["Fire"])
    row = listed.locator(f'.s-row.is-red[data-code="{code}"]')
    expect(row).to_contain_text("Red alarm not over")
    place.locator(".m-open button").filter(has_text=f"{code} Noodles").click()
    popup = place.locator(".m-popup")
    expect(popup.get_by_role("link", name="Red · Fire")).to_be_visible()
    for page in (place, listed, own):
        assert page.evaluate("window.met") is True, "the page was loaded again"


def test_rules_are_found_by_what_one_remembers_of_them(room: WatchRoom, open_as: Opened) -> None:
    page = open_as("owner", "/rules#co.pre")
    expect(page.locator(".p-rule.is-meant")).to_have_attribute("id", "co.pre")
    page.get_by_test_id("rule-search").fill("90 °C")
    expect(page.locator(".p-rule")).to_have_attribute("id", "heat.heavy")


def test_every_page_fits_a_phone_in_chinese(room: WatchRoom, open_as: Opened) -> None:
    """Chinese words do not break where English ones do."""
    viewer = house("test")
    role, _ = PEOPLE["chief"]
    assert role is Role.ADMINISTRATOR
    room.accounts.add(viewer, "dispatcher", role=role, password=PASSWORD, language="zh")
    refused(room, "shop-1", "phone-1", {"temprature": 3.5})
    page = open_as("dispatcher", "/", viewport=NARROW)
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    page.goto(f"{room.url}/devices?tab=refused&device=phone-1")
    message = page.locator(".d-row .t-button").first.get_attribute("href")
    tabs = [f"/devices?tab={tab}" for tab in ("silent", "unclaimed", "all")]
    paths = ["/map", "/supervisor", "/rules", "/health", "/enterprises", *tabs, "/enterprises/shop-1"]
    for path in [*paths, "/devices/shop-1/kitchen", message or ""]:
        page.goto(room.url + path)
        expect(page.locator('body[data-line="live"]')).to_have_count(1)
        assert wide(page) <= NARROW["width"], f"{path} is {wide(page)} wide"


def wide(page: Page) -> int:
    return int(page.evaluate("document.scrollingElement.scrollWidth"))
