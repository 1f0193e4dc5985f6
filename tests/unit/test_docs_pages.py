"""The pages under docs/: their links lead somewhere, the tests and files they name exist, their routes are good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alerting.routes import parse_routes

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
} | {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def _text(page: Path) -> str:
    """Without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)


def _anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A dead link is the end of a reader's way."""
    for link in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_exists(page: Path) -> None:
    """A promise is held by a test, not by its name."""
    assert set(re.findall(r"`(test_\w+(?:\.py)?)`", _text(page))) <= TESTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A page that names a module which has moved sends its reader astray."""
    tops = "schemas|ingest|streams|scoring|alerting|registry|console|sensors_sim|tocsin|tests|docs"
    for path in re.findall(rf"`((?:{tops})/(?!v1/)[\w/.-]+)`", _text(page)):
        assert (ROOT / path).exists(), path


def test_the_routes_of_the_page_are_good() -> None:
    """They are copied and changed."""
    page = (ROOT / "docs" / "how-to" / "run-one-process.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    journal, webhook = parse_routes(toml).recipients
    assert (journal.name, webhook.name, webhook.language) == ("journal", "duty-desk", "zh")
