"""How the threads of a process stand."""

from __future__ import annotations

from tocsin.crew import Crew
from tocsin.standing import Standing


def crew_standing(crew: Crew) -> Standing:
    return Standing("crew", lambda: f"{crew.failed_part} has failed" if crew.failed.is_set() else "")
