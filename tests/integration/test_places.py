"""What a map draws: the places within a viewer's scope, and how many it does not draw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry.directory import Directory
from registry.places import PlaceBook
from schemas.enterprises import District, Enterprise
from schemas.viewers import Role, Viewer, house


@pytest.fixture
def book(dsn: str) -> Iterator[PlaceBook]:
    directory = Directory(dsn)
    for code in ("990101", "990102"):
        directory.put_district(house(), District(code, code))
    for code, district, longitude in (("a", "990101", 122.9), ("b", "990102", 122.95), ("c", "990101", None)):
        latitude = None if longitude is None else 31.0
        made = Enterprise(
            code=code, name=code.upper(), trade="H6210", district=district, longitude=longitude, latitude=latitude
        )
        directory.put_enterprise(house(), made)
    directory.close()
    made_book = PlaceBook(dsn)
    yield made_book
    made_book.close()


def test_a_map_says_what_it_cannot_draw(book: PlaceBook) -> None:
    """An enterprise without coordinates is not silently missing."""
    found = book.places(house())
    assert [(place.code, place.longitude) for place in found.places] == [("a", 122.9), ("b", 122.95)]
    assert (found.enterprises, found.without) == (3, 1)


def test_a_supervisor_sees_the_places_of_their_districts_alone(book: PlaceBook) -> None:
    found = book.places(Viewer("s", Role.SUPERVISOR, districts=("990101",)))
    assert [place.code for place in found.places] == ["a"] and found.enterprises == 2
