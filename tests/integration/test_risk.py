"""Risk on PostgreSQL: what touches an enterprise becomes its row, once, whatever is killed; people see their own."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest

from alerting.people import People
from alerting.routes import Routes
from console.pages.risk_parts import reason_pairs, with_names
from console.words import words_of
from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.entries import DeviceFacts
from schemas.errors import ConfigError, Fenced, ServiceAway
from schemas.identity import id_of, partition_of
from schemas.risk import Risk, RiskColour
from schemas.viewers import NotAllowed, Role, Viewer, house
from scoring.risk_table import DAY_US
from scoring.risk_words import risk_texts
from streams.risk_book import RiskBook, UnknownRisk
from streams.risk_keeper import RiskKeeper
from tests.alerting_world import START_US, US, HandClock, Story, event, make_desk
from tests.api_world import Asker, all_services, api_of

HOUSE = house()
_ENTERPRISE = """
    INSERT INTO enterprises
        (code, name, name_en, trade, district, area_m2, built, wired, open_flame, flammables, people)
    VALUES (%s, '面馆', 'Noodles', 'H6210', %s, 90, 1995, 1995, true, 'some', 30)
"""


def put_enterprise(dsn: str, code: str = "shop-1", district: str = "310101") -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO districts (code, name) VALUES (%s, '黄浦') ON CONFLICT DO NOTHING", [district])
        connection.execute(_ENTERPRISE, [code, district])


@pytest.fixture
def keeper(dsn: str) -> Iterator[RiskKeeper]:
    with closing(RiskKeeper(dsn, HandClock(START_US))) as one:
        yield one


@pytest.fixture
def book(dsn: str) -> Iterator[RiskBook]:
    with closing(RiskBook(dsn)) as one:
        yield one


def settle(keeper: RiskKeeper) -> None:
    """Turns until there is nothing more to do."""
    while keeper.serve_once():
        pass


def test_an_alarm_event_becomes_the_risk_of_an_enterprise_with_facts(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    """The thin path: the registry's facts and a fire, and the duty officer sees red with its reason."""
    put_enterprise(dsn)
    settle(keeper)
    calm = book.of(HOUSE, "shop-1")
    assert calm.risk.colour < RiskColour.RED
    assert calm.name_en == "Noodles"
    Story(dsn).tell(event(State.RAISED, Grade.RED, latched=True, event_us=START_US + 60 * US))
    settle(keeper)
    burning = book.of(HOUSE, "shop-1")
    assert burning.risk.colour is RiskColour.RED
    assert burning.risk.reasons[0].code == "open_red"
    assert burning.risk.score > calm.risk.score
    assert [chapter.colour for chapter in book.history(HOUSE, "shop-1")] == ["red", calm.colour]


def test_what_is_outside_the_scope_is_not_there(dsn: str, keeper: RiskKeeper, book: RiskBook) -> None:
    put_enterprise(dsn, "shop-1", "310101")
    put_enterprise(dsn, "shop-2", "310104")
    settle(keeper)
    supervisor = Viewer("li", Role.SUPERVISOR, districts=("310104",))
    assert [view.risk.enterprise for view in book.list(supervisor).risks] == ["shop-2"]
    assert [total.key for total in book.totals(supervisor)] == ["310104"]
    with pytest.raises(UnknownRisk):
        book.of(supervisor, "shop-1")
    with pytest.raises(UnknownRisk):
        book.history(supervisor, "shop-1")
    with pytest.raises(NotAllowed):
        book.list(Viewer("wang", Role.INTEGRATOR, enterprises=("shop-2",)))


def test_of_two_keepers_the_older_is_fenced(dsn: str) -> None:
    put_enterprise(dsn)
    with closing(RiskKeeper(dsn, HandClock())) as first, closing(RiskKeeper(dsn, HandClock())) as second:
        settle(first)
        settle(second)
        Story(dsn).tell(event(State.RAISED, Grade.RED))
        with pytest.raises(Fenced):
            settle(first)
        settle(second)
        assert second.position == 1


def test_an_answer_that_comes_late_counts_and_one_in_time_does_not(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    put_enterprise(dsn)
    settle(keeper)
    clock = HandClock(START_US)
    desk = make_desk(dsn, Routes(()), clock)
    with closing(People(dsn, clock)) as people:
        Story(dsn).tell(*(alarm(number, START_US) for number in (1, 2)))
        desk.serve_once()
        for number, after_s in ((1, 100), (2, 500)):
            clock.now_us = START_US + after_s * US
            people.acknowledge(HOUSE, alarm(number, START_US).key)
    desk.stop()
    desk.run()
    settle(keeper)
    response = book.of(HOUSE, "shop-1").risk.terms[4]
    assert [(one.name, one.value) for one in response.inputs] == [("asked", 2), ("late", 1)]
    assert response.value == 50.0


def test_what_the_registry_changes_is_recomputed_and_what_it_forgets_is_gone(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    put_enterprise(dsn)
    settle(keeper)
    before = book.of(HOUSE, "shop-1").risk
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE enterprises SET wired = 2026, open_flame = false WHERE code = 'shop-1'")
    settle(keeper)
    after = book.of(HOUSE, "shop-1").risk
    assert after.score < before.score
    assert "renew_wiring" in [remedy.code for remedy in before.remedies]
    assert before.score - after.score >= max(remedy.points for remedy in before.remedies if remedy.points) - 1e-9
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM enterprises WHERE code = 'shop-1'")
    settle(keeper)
    with pytest.raises(UnknownRisk):
        book.of(HOUSE, "shop-1")


def test_a_device_that_is_switched_off_in_the_registry_is_protection_lost(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    put_enterprise(dsn)
    settle(keeper)
    out = msgspec.json.encode(DeviceFacts("shop-1", "kitchen", out_of_service=True)).decode()
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO devices (enterprise, device, id, facts) VALUES ('shop-1', 'kitchen', 1, %s)", [out]
        )
    settle(keeper)
    keeper._clock.forward(6 * 3600)  # type: ignore[attr-defined]
    settle(keeper)
    protection = book.of(HOUSE, "shop-1").risk.terms[3]
    assert protection.known
    assert [(one.name, one.value) for one in protection.inputs] == [("devices", 1), ("out", 1)]
    assert protection.value > 0


def test_reasons_name_a_device_as_the_registry_does_in_the_viewers_language(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    """On the page, in the API and in the table; the codes stay beside the words for programs."""
    names = {"shop-1": ("后厨感温", "Kitchen heat"), "shop-2": ("后厨感温", ""), "shop-3": ("", "")}
    story = Story(dsn)
    with psycopg.connect(dsn) as connection:
        for number, (code, (own, english)) in enumerate(names.items()):
            facts = msgspec.json.encode(DeviceFacts(code, "kitchen")).decode()
            connection.execute(
                "INSERT INTO devices (enterprise, device, id, facts, name, name_en)"
                " VALUES (%s, 'kitchen', %s, %s, %s, %s)",
                [code, number, facts, own, english],
            )
    for code in names:
        put_enterprise(dsn, code)
        story.tell(event(State.RAISED, Grade.RED, enterprise=code))
    settle(keeper)
    wanted = {"zh": ["后厨感温", "后厨感温", "kitchen"], "en": ["Kitchen heat", "后厨感温", "kitchen"]}
    for language, called in wanted.items():
        viewer = msgspec.structs.replace(HOUSE, language=language)
        listed = {view.risk.enterprise: view for view in book.list(viewer).risks}
        assert listed == {code: book.of(viewer, code) for code in names}
        for code, name in zip(names, called, strict=True):
            view = listed[code]
            assert name in view.words.reasons[0] and name in view.words.remedies[0]
            assert view.risk.reasons[0].said["device"] == "kitchen"
            assert reason_pairs(with_names(view, words_of(language)), words_of(language))[0] == (
                "",
                view.words.reasons[0],
            )
        with all_services(dsn) as services:
            table = Asker(api_of(services))("GET", f"/api/v1/risk.csv?language={language}").text
        assert all(name in table for name in called)


def test_circuits_near_their_limits_are_read_from_the_stores_hours(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    """Two circuits, a day of hours; one of them at 95 % of what it is rated for in half of them."""
    put_enterprise(dsn)
    facts = msgspec.json.encode(DeviceFacts("shop-1", "panel", rated_current_a=32.0)).decode()
    sensors = ["current.L1", "current.L2", "voltage.L1"]
    end = datetime.fromtimestamp(START_US // 1_000_000, UTC).replace(minute=0, second=0, microsecond=0)
    rows = [
        (id_of(f"shop-1/panel/{sensor}"), end - timedelta(hours=hour), 10, 1.0, 40.0, 10 * mean)
        for hour in range(1, 27)
        for sensor, mean in (("current.L1", 30.4 if hour % 2 else 10.0), ("current.L2", 12.0))
    ]
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE hourly_rows_here PARTITION OF hourly_rows DEFAULT")
        connection.execute(
            "INSERT INTO devices (enterprise, device, id, facts) VALUES ('shop-1', 'panel', 2, %s)", [facts]
        )
        connection.execute("INSERT INTO device_sensors VALUES ('shop-1', 'panel', %s)", [sensors])
        connection.cursor().executemany("INSERT INTO hourly_rows VALUES (%s, %s, %s, %s, %s, %s)", rows)
    settle(keeper)
    keeper._clock.forward(10)  # type: ignore[attr-defined]
    settle(keeper)
    electrical = book.of(HOUSE, "shop-1").risk.terms[2]
    assert [(one.name, one.value) for one in electrical.inputs] == [("hours", 48), ("strained", 12)]
    assert electrical.value == 25.0
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE hourly_rows_here SET total = 10 * 31 WHERE sensor_id = %s", [rows[0][0]])
    for _ in range(7):
        keeper._clock.forward(600)  # type: ignore[attr-defined]
        settle(keeper)
    assert book.of(HOUSE, "shop-1").risk.terms[2].value == 50.0, "once an hour they are looked at again"


def test_pages_are_whole_and_worst_first(dsn: str, keeper: RiskKeeper, book: RiskBook) -> None:
    for number in range(7):
        put_enterprise(dsn, f"shop-{number}")
    Story(dsn).tell(
        *(
            alarm(1, START_US, enterprise=f"shop-{number}", grade=grade)
            for number, grade in ((3, Grade.RED), (5, Grade.BLUE))
        )
    )
    settle(keeper)
    seen, cursor = [], ""
    while True:
        page = book.list(HOUSE, limit=3, cursor=cursor)
        seen += [(view.risk.enterprise, view.risk.score) for view in page.risks]
        cursor = page.next
        if not cursor:
            break
    assert len(seen) == len({code for code, _ in seen}) == 7
    assert [code for code, _ in seen[:2]] == ["shop-3", "shop-5"]
    assert [score for _, score in seen] == sorted((score for _, score in seen), reverse=True)
    (total,) = book.totals(HOUSE, "all")
    assert (total.enterprises, total.blue + total.yellow + total.orange + total.red) == (7, 7)
    assert total.worst_enterprise == "shop-3"
    colours = book.colours(HOUSE)
    assert colours.keys() == {code for code, _ in seen}
    assert book.colours(HOUSE, codes=["shop-3", "not-there"]) == {"shop-3": colours["shop-3"]}


def test_a_risk_is_found_by_a_part_of_its_name_or_code(dsn: str, keeper: RiskKeeper, book: RiskBook) -> None:
    """A supervisor knows the shop by its name; signs of patterns are signs."""
    for number in range(3):
        put_enterprise(dsn, f"shop-{number}")
    settle(keeper)
    assert [view.risk.enterprise for view in book.list(HOUSE, text="SHOP-1").risks] == ["shop-1"]
    assert len(book.list(HOUSE, text="noodle").risks) == 3
    assert book.list(HOUSE, text="%").risks == []
    with pytest.raises(ConfigError):
        book.list(HOUSE, text="\0")


def test_the_table_opens_in_a_spreadsheet_and_runs_nothing_there(dsn: str, keeper: RiskKeeper) -> None:
    put_enterprise(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE enterprises SET name = '=HYPERLINK(1)', name_en = '@sum' WHERE code = 'shop-1'")
    settle(keeper)
    with all_services(dsn) as services:
        ask = Asker(api_of(services))
        found = ask("GET", "/api/v1/risk.csv?language=zh&colour=blue&colour=yellow")
        assert found.status_code == 200
        assert found.headers["content-type"].startswith("text/csv")
        headings, row = csv.reader(io.StringIO(found.text.removeprefix("\ufeff")))
        assert headings == risk_texts("zh").columns
        assert len(row) == len(headings)
        assert row[:3] == ["shop-1", "'=HYPERLINK(1)", "'@sum"]
        assert ask("GET", "/api/v1/risk.csv?trade=;drop").status_code == 400
        assert ask("GET", "/api/v1/risk/shop-1").json()["words"]["reasons"]
        assert ask("GET", "/api/v1/risk/shop-2").json()["error"]["code"] == "not_found"
        assert ask("GET", "/api/v1/risk/totals?by=trade").json()["totals"][0]["key"] == "H6210"
        assert len(ask("GET", "/api/v1/risk/shop-1/history").json()["chapters"]) == 1


def test_an_enterprise_that_moves_to_another_district_is_counted_there(
    dsn: str, keeper: RiskKeeper, book: RiskBook
) -> None:
    """No fact of the formula is another, and yet it is another supervisor's."""
    put_enterprise(dsn)
    put_enterprise(dsn, "shop-2", "310104")
    settle(keeper)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE enterprises SET district = '310104' WHERE code = 'shop-1'")
    settle(keeper)
    assert [(total.key, total.enterprises) for total in book.totals(HOUSE)] == [("310104", 2)]


@pytest.mark.parametrize("failpoint", ["before_risk_commit", "after_risk_commit"])
def test_killed_at_any_turn_it_gives_what_it_would_have_given(dsn: str, failpoint: str) -> None:
    """Position, inbox, risks and history are one commit; what a kill undid is done again from the same place."""
    for number in range(4):
        put_enterprise(dsn, f"shop-{number}")
    with closing(RiskKeeper(dsn, HandClock(START_US - US))) as first:
        settle(first)
    story = Story(dsn)
    for turn in range(3):
        for number in range(4):
            at_us = START_US + (10 * turn + number) * 60 * US
            story.tell(alarm(turn, at_us, enterprise=f"shop-{number}", grade=Grade(1 + (turn + number) % 4)))
        killed = subprocess.run([sys.executable, "-c", _KILLED, dsn, failpoint], timeout=60, check=False)
        assert killed.returncode == -9
    end_us = START_US + 40 * DAY_US
    with closing(RiskKeeper(dsn, HandClock(end_us))) as keeper:
        settle(keeper)
    after_kills = everything(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE risk, risk_history")
        connection.execute("DELETE FROM positions WHERE consumer = 'risk'")
        connection.execute("INSERT INTO risk_inbox (enterprise, what) SELECT code, 'facts' FROM enterprises")
    with closing(RiskKeeper(dsn, HandClock(START_US - US))) as first:
        settle(first)
    with closing(RiskKeeper(dsn, HandClock(end_us))) as keeper:
        settle(keeper)
    assert everything(dsn) == after_kills
    assert len(after_kills[1]) > 8


def test_each_partition_has_its_keeper_and_its_enterprises(dsn: str) -> None:
    """The registry does not know partitions; each enterprise finds its own by its name."""
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE log_layout SET topic = 'tocsin.log.3', partitions = 3")
    for number in range(12):
        put_enterprise(dsn, f"shop-{number}")
    copies: list[Risk] = []
    for partition in range(3):
        with closing(RiskKeeper(dsn, HandClock(), partition=partition, publish=copies.extend)) as keeper:
            settle(keeper)
    for partition in range(3):
        with closing(RiskKeeper(dsn, HandClock(), partition=partition)) as keeper:
            settle(keeper)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT enterprise, partition FROM risk").fetchall()
    assert dict(rows) == {f"shop-{number}": partition_of(f"shop-{number}", 3) for number in range(12)}


def test_copies_that_could_not_be_said_are_said_later_and_by_who_follows(dsn: str) -> None:
    put_enterprise(dsn)
    said: list[Risk] = []

    def away(risks: Sequence[Risk]) -> None:
        raise ServiceAway("Kafka", "is away")

    with closing(RiskKeeper(dsn, HandClock(), publish=away)) as keeper:
        with pytest.raises(ServiceAway):
            settle(keeper)
        keeper._publish = said.extend
        settle(keeper)
        assert [risk.enterprise for risk in said] == ["shop-1"]
    said.clear()
    with closing(RiskKeeper(dsn, HandClock(), publish=said.extend)) as follower:
        settle(follower)
    assert [risk.enterprise for risk in said] == ["shop-1"]


_KILLED = """
import sys
from streams.risk_keeper import RiskKeeper
from tests.alerting_world import START_US, HandClock
from tocsin.failpoints import from_setting
keeper = RiskKeeper(sys.argv[1], HandClock(START_US), failpoint=from_setting(sys.argv[2]))
while True:
    keeper.serve_once()
    keeper._clock.forward(600)
"""


def alarm(number: int, at_us: int, *, enterprise: str = "shop-1", grade: Grade = Grade.ORANGE) -> AlarmEvent:
    """A raised electrical alarm of its own."""
    made = event(State.RAISED, grade, enterprise=enterprise, onset_us=at_us + number, event_us=at_us)
    return msgspec.structs.replace(made, kind=Kind.ELECTRICAL)


def everything(dsn: str) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Risks and their history, whole."""
    with psycopg.connect(dsn) as connection:
        return (
            connection.execute("SELECT * FROM risk ORDER BY enterprise").fetchall(),
            connection.execute("SELECT * FROM risk_history ORDER BY enterprise, at_us").fetchall(),
        )
