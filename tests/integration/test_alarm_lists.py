"""Lists over a long history: a page is found by an index in its order, whatever is asked for, and whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from alerting import lists
from alerting.lists import Wanted
from alerting.views import Place
from schemas.alarms import Grade, Kind
from schemas.viewers import BECOME_VIEWER, Role, Viewer, house

pytestmark = pytest.mark.integration
HISTORY = """
    INSERT INTO alarms (key, partition, enterprise, device, kind, state, grade, peak, step, raised_step, raised_us,
                        active, latched, body)
    SELECT md5(n::text), 0, 'shop-' || n % 600, 'd', (ARRAY['fire', 'gas', 'fault', 'silence'])[1 + n % 4], 'cleared',
           1 + n % 4, 1 + n % 4, 2, 1, n * 1000000::bigint, false, false, '{}'
    FROM generate_series(1, 30000) n
"""
REGISTRY = """
    INSERT INTO districts SELECT (310101 + d)::text, 'd' FROM generate_series(0, 1) d;
    INSERT INTO enterprises (code, name, trade, district)
    SELECT 'shop-' || n, 'n', 'H62', CASE WHEN n < 500 THEN '310101' ELSE '310102' END FROM generate_series(0, 599) n
"""
DUTY = house()
MANY = Viewer("many", Role.SUPERVISOR, districts=("310101",))
FEW = Viewer("few", Role.SUPERVISOR, districts=("310102",))
OWNER = Viewer("owner", Role.OWNER, enterprises=("shop-7",))
MIDDLE = Place(False, 2, 15_000_000_000, "8" * 32)
ASKED: list[tuple[Viewer, Wanted]] = [
    (DUTY, Wanted(open=None)),
    (DUTY, Wanted(open=False, order="newest")),
    (DUTY, Wanted(open=False, grades=[Grade.BLUE])),
    (DUTY, Wanted(open=False, kinds=[Kind.GAS], order="newest")),
    (DUTY, Wanted(open=False, since_us=9_000_000_000, until_us=9_100_000_000)),
    (DUTY, Wanted(open=False, enterprises=["shop-3", "shop-4"])),
    (DUTY, Wanted(open=None, assigned_to="li")),
    (DUTY, Wanted(open=False, verdict="false", order="newest")),
    (MANY, Wanted(open=None)),
    (FEW, Wanted(open=None, order="newest")),
    (OWNER, Wanted(open=None)),
]


@pytest.fixture
def history(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # who would be told of it
        for statement in (*REGISTRY.split(";"), HISTORY, "ANALYZE"):
            connection.execute(statement.encode())
        yield connection


def test_no_list_reads_the_whole_history(history: psycopg.Connection[Any]) -> None:
    """Over a million ended alarms that is the difference between a click and a coffee."""
    for viewer, wanted in ASKED:
        for after in (None, MIDDLE):
            with history.transaction():
                # So many are few to the planner: here it must show that it could do without.
                history.execute("SET LOCAL enable_seqscan = off")
                history.execute(BECOME_VIEWER, viewer.parameters())
                row = lists._parameters(viewer, wanted, 11, after)
                row["few_codes"] = codes = lists._few(history, viewer, wanted, row)
                way = "few" if codes is not None else "all" if wanted.kinds is None else "kinds"
                query = f"EXPLAIN {lists._QUERIES[wanted.order, way]}"
                plan = "\n".join(line for (line,) in history.execute(query.encode(), row, prepare=False))
            assert "Seq Scan on alarms" not in plan, (viewer.name, wanted, plan)


def test_every_way_gives_the_same_page(history: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way is the quickest is nobody's business but the database's."""
    found: list[list[list[str]]] = []
    for few in (10_000, 0):
        monkeypatch.setattr(lists, "FEW", few)
        pages = []
        for viewer in (MANY, FEW):
            for order in ("worst", "newest"):
                for after in (None, MIDDLE):
                    wanted = Wanted(open=None, kinds=[Kind.GAS, Kind.FIRE], order=order)  # type: ignore[arg-type]
                    pages.append(lists.keys_of(history, viewer, wanted, 25, after))
        found.append(pages)
    assert found[0] == found[1] and all(len(page) == 25 for page in found[0])
