"""A door for each test, with everything behind it in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.door_world import World, door_world


@pytest.fixture
def world() -> Iterator[World]:
    with door_world() as world:
        yield world
