"""Pictures of every page, on the desk and on the phone, Chinese and English, light and dark.

`python -m tests.browser.screenshots FOLDER` starts the demo, waits until its kitchen burns, and makes them all;
`--readme` makes the few that the documentation shows, in docs/images. They are looked at by a person.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from console.pages import PAGES
from tests.waiting import until

IMAGES = Path(__file__).parents[2] / "docs" / "images"
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PATIENCE_MS = 300_000
SHOWN = 5
"""So many alarms has the demo some minutes after the kitchen begins to burn."""
LOOKS = [
    (device, language, light)
    for device in ("desk", "phone")
    for language in ("zh", "en")
    for light in ("light", "dark")
]
_LINK = re.compile(r"(http://\S+/login/link/\S+?)(?:\?\S+)?\s+the duty officer")
_ADMINISTRATOR = re.compile(r"(http://\S+/login/link/\S+)\s+administrator")
NAMED = {page.name: page.path for page in PAGES if page.icon} | {"me": "/me"}


@contextmanager
def demo(enterprises: int) -> Iterator[dict[str, str]]:
    """The demo of that size: role → a login link."""
    with tempfile.TemporaryDirectory(prefix="tocsin-pictures-") as folder:
        said = Path(folder) / "said"
        command = [sys.executable, "-m", "tocsin", "demo", "--enterprises", str(enterprises), "--console-port", "0"]
        with said.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
            try:
                yield _links(process, said)
            finally:
                process.terminate()
                process.wait(30)


def _links(process: subprocess.Popen[bytes], said: Path) -> dict[str, str]:
    def found() -> bool:
        assert process.poll() is None, said.read_text()
        return _ADMINISTRATOR.search(said.read_text()) is not None

    until(found, "the demo is ready")
    text = said.read_text()
    officer, administrator = _LINK.search(text), _ADMINISTRATOR.search(text)
    assert officer is not None and administrator is not None
    return {"officer": officer[1], "administrator": administrator[1]}


def enter(browser: Browser, link: str) -> Any:
    """Log in; what other windows of the same person begin with."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(link)
    page.click("button[type=submit]")
    page.wait_for_selector(".t-main")
    state = context.storage_state()
    context.close()
    return state


def window(browser: Browser, state: Any, device: str, light: str) -> BrowserContext:
    phone = device == "phone"
    context = browser.new_context(
        viewport=PHONE if phone else DESK, color_scheme=light, storage_state=state, is_mobile=phone, has_touch=phone
    )
    context.set_default_timeout(PATIENCE_MS)
    return context


def speak(page: Page, language: str) -> None:
    """Switch the account's language where it is another."""
    if page.locator("html").get_attribute("lang") != language:
        page.locator(".t-language").click()
        page.wait_for_selector(f'html[lang="{language}"] .t-main')


def settled(page: Page, url: str) -> None:
    """The page with what it draws by itself."""
    page.goto(url)
    page.wait_for_selector('body[data-line="live"]')
    page.wait_for_timeout(1200)


def wait_for_fire(browser: Browser, state: Any, home: str) -> str:
    """The key of the burning kitchen's alarm."""
    context = window(browser, state, "desk", "light")
    page = context.new_page()
    page.goto(home + "/")
    page.wait_for_selector(".w-row.is-red")
    # More happens, and messages arrive.
    open_now = "parseInt(document.querySelector('[data-testid=count]').textContent.match(/[0-9]+/))"
    page.wait_for_function(f"{open_now} >= {SHOWN}")
    page.wait_for_selector(".w-heard.is-delivered")
    key = page.locator(".w-row.is-red").first.get_attribute("data-key")
    context.close()
    assert key is not None
    return key


def all_pictures(browser: Browser, links: dict[str, str], folder: Path) -> None:
    home = re.match(r"http://[^/]+", links["officer"])
    assert home is not None
    for device, language, light in (("desk", "zh", "light"), ("phone", "en", "dark")):
        context = window(browser, None, device, light)
        page = context.new_page()
        page.goto(f"{home[0]}/login?language={language}")
        page.screenshot(path=folder / f"login-{device}-{language}-{light}.png")
        context.close()
    officer, administrator = enter(browser, links["officer"]), enter(browser, links["administrator"])
    context = window(browser, officer, "desk", "light")
    quiet = context.new_page()
    settled(quiet, f"{home[0]}/?text=there-is-nothing")
    quiet.screenshot(path=folder / "watch-nothing-found.png")
    context.close()
    key = wait_for_fire(browser, officer, home[0])
    for device, language, light in LOOKS:
        context = window(browser, officer, device, light)
        page = context.new_page()
        page.goto(home[0] + "/")
        page.wait_for_selector(".t-main")
        speak(page, language)
        alarm = page.locator(f'[data-key="{key}"] .w-name, .w-group:has([data-key="{key}"]) .w-group-head a').first
        enterprise = alarm.get_attribute("href")
        for name, path in {**NAMED, "alarm": f"/alarms/{key}", "enterprise": str(enterprise)}.items():
            settled(page, home[0] + path)
            page.screenshot(path=folder / f"{name}-{device}-{language}-{light}.png")
        context.close()
    context = window(browser, administrator, "desk", "light")
    page = context.new_page()
    settled(page, home[0] + "/me")
    page.screenshot(path=folder / "me-administrator.png", full_page=True)
    context.close()


def readme_pictures(browser: Browser, links: dict[str, str], folder: Path) -> None:
    """Watch on the desk, an alarm on the phone."""
    home = re.match(r"http://[^/]+", links["officer"])
    assert home is not None
    officer = enter(browser, links["officer"])
    key = wait_for_fire(browser, officer, home[0])
    for name, path, device in (("watch-desk", "/", "desk"), ("alarm-phone", f"/alarms/{key}", "phone")):
        context = window(browser, officer, device, "light")
        page = context.new_page()
        page.goto(home[0] + "/")
        page.wait_for_selector(".t-main")
        speak(page, "en")
        settled(page, home[0] + path)
        page.mouse.click(5, 400)  # so that no hint about the sound stands there
        page.wait_for_selector(".t-quiet.is-hint", state="detached")
        page.wait_for_selector(".t-banner", state="detached")
        page.screenshot(path=folder / f"{name}.png")
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=None)
    parser.add_argument("--readme", action="store_true", help="docs/images alone")
    parser.add_argument("--enterprises", type=int, default=60)
    told = parser.parse_args()
    folder = IMAGES if told.readme else told.folder
    if folder is None:
        parser.error("name a folder, or say --readme")
    folder.mkdir(parents=True, exist_ok=True)
    chromium = which("chromium") or which("chromium-browser")
    with demo(told.enterprises) as links, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        (readme_pictures if told.readme else all_pictures)(browser, links, folder)
        browser.close()


if __name__ == "__main__":
    main()
