"""Where the enterprises are: what a map draws of them, within a viewer's scope."""

from __future__ import annotations

from typing import NamedTuple

from database.connections import Connections
from schemas.viewers import Act, Viewer

MOST = 30_000
"""A browser still moves so many without a pause."""

_PLACES = """
    SELECT e.code, e.name, e.name_en, e.district, e.trade, e.longitude, e.latitude FROM enterprises e
     WHERE e.longitude IS NOT NULL AND e.latitude IS NOT NULL
       AND (%(districts)s::text[] IS NULL OR e.district = ANY (%(districts)s))
       AND tocsin_sees(e.code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
     ORDER BY e.code LIMIT %(limit)s
"""
_COUNT = """
    SELECT count(*), count(*) FILTER (WHERE longitude IS NULL OR latitude IS NULL) FROM enterprises e
     WHERE (%(districts)s::text[] IS NULL OR e.district = ANY (%(districts)s))
       AND tocsin_sees(e.code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)
"""


class Place(NamedTuple):
    """An enterprise with its place in degrees, WGS 84."""

    code: str
    name: str
    name_en: str
    district: str
    trade: str
    longitude: float
    latitude: float


class Places(NamedTuple):
    places: list[Place]
    enterprises: int
    """In scope, with those that have no coordinates and those that are too many to draw."""
    without: int
    """Of them those that have no coordinates."""


class PlaceBook:
    """Thread-safe. Raises ServiceAway when PostgreSQL is away, NotAllowed when the role may not see enterprises."""

    def __init__(self, dsn: str) -> None:
        self._connections = Connections(dsn, "tocsin places")

    def close(self) -> None:
        self._connections.close()

    def places(self, viewer: Viewer, districts: list[str] | None = None) -> Places:
        """At most `MOST`, by code; of some districts, or of all."""
        viewer.must(Act.SEE_ENTERPRISES)
        asked = {**viewer.parameters(), "districts": districts, "limit": MOST}
        with self._connections.transaction(viewer) as connection:
            rows = connection.execute(_PLACES, asked, binary=True).fetchall()
            count = connection.execute(_COUNT, asked).fetchone()
        assert count is not None
        return Places([Place(*row) for row in rows], *count)
