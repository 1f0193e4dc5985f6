"""A device with an open alarm comes into the registry: the alarm stays, and tells whom it told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from registry.directory import Directory
from registry.views import Added, Placed
from schemas.alarms import Grade, State
from schemas.errors import TocsinError
from schemas.viewers import NotNow, Role, Viewer, house
from tests.alerting_world import event
from tests.registry_world import FITTER, HOUSE, settle, speak
from tests.watching_world import telling

pytestmark = pytest.mark.integration
Bring = Callable[[Directory, Viewer, Placed], Added]
HUSHING: tuple[dict[str, Any], ...] = (
    {"out_of_service": True}, {"heat_class": "G"}, {"trade": "oven"}, {"profiles": ("gateway",)}, {"gateway": "box-9"},
    {"supply": "battery"}, {"rated_current_a": 1e6}, {"period_s": 1e6},
)  # fmt: skip


@pytest.fixture
def directory(dsn: str) -> Iterator[Directory]:
    """In which `noodles/box-1` burns and nobody has claimed it."""
    made = settle(dsn)
    speak(dsn, "noodles", "box-1", "temperature")
    with telling(dsn) as tale:
        tale.tell(event(State.RAISED, Grade.RED, enterprise="noodles", device="box-1", latched=True))
    yield made
    made.close()


def box(**more: Any) -> Placed:
    return Placed(enterprise="noodles", device="box-1", **more)


def alarms(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        columns = "key, enterprise, device, open, suppression, body::text"
        return connection.execute(f"SELECT {columns} FROM alarms").fetchall()


@pytest.mark.parametrize("bring", [Directory.claim, Directory.put_device], ids=["claim", "add"])
@pytest.mark.parametrize("facts", HUSHING, ids=lambda facts: next(iter(facts)))
def test_an_integrator_hushes_no_alarm_by_what_it_says_of_the_device(
    directory: Directory, dsn: str, bring: Bring, facts: dict[str, Any]
) -> None:
    """Out of service it told nobody any more, and by a heat class of G the fire was withdrawn."""
    before = alarms(dsn)
    with pytest.raises(NotNow, match=f"has an open alarm, so its {next(iter(facts))} is not yours"):
        bring(directory, FITTER, box(name="灶台", **facts))
    assert alarms(dsn) == before and not directory.has_device(HOUSE, "noodles", "box-1")


def test_a_claim_leaves_the_alarm_as_it_is(directory: Directory, dsn: str) -> None:
    """Under its key, with its enterprise, and with nothing said to the engine but the enterprise's own trade."""
    before = alarms(dsn)
    made = directory.claim(FITTER, box(zone="kitchen", name="灶台"), login=True)
    assert (made.device.zone, made.device.out_of_service, made.device.trade) == ("kitchen", False, "H6210")
    assert alarms(dsn) == before


def test_who_directs_alarms_may_say_all(directory: Directory) -> None:
    ruler = Viewer("ann", Role.ADMINISTRATOR, account=1)
    assert directory.claim(ruler, box(out_of_service=True)).device.out_of_service


def test_an_integrator_says_all_of_a_device_that_rings_not(directory: Directory, dsn: str) -> None:
    speak(dsn, "noodles", "box-2", "temperature")
    quiet = Placed(enterprise="noodles", device="box-2", heat_class="B", out_of_service=True)
    assert directory.claim(FITTER, quiet).device.heat_class == "B"
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE alarms SET active = false, latched = false")
    assert directory.claim(FITTER, box(heat_class="B")).device.heat_class == "B", "its alarm is over"


def test_an_integrator_changes_nothing_of_a_device_that_is_registered(directory: Directory) -> None:
    """So out of service comes by an administrator alone."""
    directory.claim(house(), box())
    with pytest.raises(TocsinError):
        directory.put_device(FITTER, box(out_of_service=True))
