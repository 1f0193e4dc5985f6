"""Real recordings: where they are, and what replaying one gives.

They are not part of the repository. `TOCSIN_RECORDINGS` names their folder; without it a folder `data` next to the
checkout, or one level below a neighbour of it, is taken.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.alarms import AlarmEvent, Grade, State
from streams.packs import load_pack
from streams.replay import Replay, SensorSpec, sensors_of
from streams.replay_sources import Recording

CHECKOUT = Path(__file__).parents[2]
CEILING = "*=temperature:*Temperature 25 mm Below Ceiling"
SMOKE = "*=smoke[OD/m]:SM?_*"
MOTE_PERIOD_S = 5


def folder(name: str) -> Path:
    """The recordings called `name`; the test is skipped where they are not."""
    told = os.environ.get("TOCSIN_RECORDINGS")
    beside = [CHECKOUT.parent / "data", *sorted(CHECKOUT.parent.glob("*/data"))]
    for root in [Path(told)] if told else beside:
        if (root / name).is_dir():
            return root / name
    pytest.skip(f"no recordings `{name}`: they are not in the repository; set TOCSIN_RECORDINGS to their folder")


@dataclass(frozen=True, slots=True)
class Bell:
    """One step of an alarm, with the file's own time in s."""

    t: float
    event: AlarmEvent

    @property
    def sensor(self) -> str:
        return self.event.device

    @property
    def rings(self) -> bool:
        """It began or rose to orange or red."""
        return self.event.state in (State.RAISED, State.REGRADED) and self.event.grade >= Grade.ORANGE


def replayed(path: Path, specs: Sequence[str], *, naive: bool = False) -> list[Bell]:
    """Every alarm event of one file by the default pack, in order."""
    recording = Recording(path)
    sensors = sensors_of(recording, [SensorSpec.parse(spec) for spec in specs], several=False)
    bells: list[Bell] = []
    run = Replay(recording, sensors, load_pack(), naive=naive, on_event=lambda event, t: bells.append(Bell(t, event)))
    for _ in run.run():
        pass
    return bells
