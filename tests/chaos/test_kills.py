"""Kills and faults under load: nothing that was acknowledged is lost, and the alarms are those of a run without kills.

The short form runs with all tests. The long one: `./dev test chaos`. Both print what they did and found.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from sensors_sim import webhook_sink
from tests.chaos import judge, stories
from tests.chaos.feeder import Feeder
from tests.chaos.run import CLIENTS, Run
from tests.chaos.victim import Victim, until
from tocsin.failpoints import NAMES

SEED = 20_260_801
COUNTS = {
    # passes until the process dies: late enough that there is work under way
    "after_commit_before_puback": 300,
    "before_engine_commit": 20,
    "after_engine_commit": 20,
    "in_checkpoint": 2,
    "after_send_before_stamp": 10,
    "before_risk_commit": 3,
    "after_risk_commit": 3,
    "while_partition_closes": 1,
}
MODULES = {"desk": "tocsin.beside.desk", "risk": "tocsin.beside.risk", "store": "streams.store.process"}
"""Parts that are processes of their own."""
PARTS = {
    # failpoints in them
    "after_send_before_stamp": "desk",
    "before_risk_commit": "risk",
    "after_risk_commit": "risk",
    "while_partition_closes": "store",
}


@dataclass
class UpRun(Run):
    """A run of `tocsin up`."""

    victim: Victim

    def kill(self) -> None:
        self.victim.kill()
        self.count("kills of the process")
        self.victim.start()

    def fail_at(self, name: str) -> None:
        """Die at a failpoint under load, then start again without it."""
        self.victim.kill()
        self.victim.start(f"{name}:{COUNTS[name]}", wait=False)
        self.victim.wait_death(90.0)
        self.count(f"deaths {name}")
        self.victim.start()

    def fail_in_part(self, name: str) -> None:
        """A part, a process of its own, dies there; then everything is killed."""
        said = f'"{PARTS[name]}_ended"'
        self.victim.kill()
        before = self.victim.log.read_text().count(said)
        # Not until it is ready: the part may die again and again.
        self.victim.start(f"{name}:{COUNTS[name]}", wait=False)
        until(f"a part dies {name}", lambda: self.victim.log.read_text().count(said) > before, 900.0)
        self.count(f"deaths {name}")
        self.kill()

    def kill_part(self, name: str) -> None:
        """A part is killed and started again by the others, which go on."""
        said = f'"{name}_ended"'
        before = self.victim.log.read_text().count(said)
        self.victim.kill_part(MODULES[name])
        until(f"the {name} is missed", lambda: self.victim.log.read_text().count(said) > before, 60.0)
        self.count(f"kills of the {name}")

    def kill_postgres(self) -> None:
        self.victim.kill_postgres()
        self.count("kills of PostgreSQL")

    def end_backend(self) -> None:
        self.count("backends ended", self.victim.end_backends(self.chance))

    def step_clock(self) -> None:
        """An hour ahead, and back: the house runs on, since a step is doubted at first."""
        self.victim.step_clock(3600.0)
        self.live(3.0, 4.0)
        self.victim.step_clock(0.0)
        self.count("clock steps", 2)


@pytest.fixture
def run_of() -> Iterator[Callable[[float], UpRun]]:
    """Starts a victim and a load of so many seconds on it."""
    open_ = ExitStack()

    def make(planned_s: float) -> UpRun:
        home = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-chaos-")))
        home.chmod(0o711)
        pack, text = home / "chaos.toml", stories.chaos_pack()
        pack.write_text(text)
        sink = webhook_sink.start(home / "arrivals.jsonl")
        open_.callback(sink.stop)
        victim = Victim(home / "data", pack, sink)
        open_.callback(victim.stop)
        victim.start()
        feeder, expected = Feeder(lambda: victim.mqtt_port, SEED), stories.Expected()
        for number in range(CLIENTS // 2):
            feeder.add(f"timed-{number}", stories.timed(number, SEED, planned_s))
            feeder.add(f"untimed-{number}", stories.untimed(number, SEED, planned_s, expected))
        open_.callback(feeder.stop)
        feeder.start()
        return UpRun(victim, feeder, expected, text, random.Random(SEED))

    with open_:
        yield make


@pytest.mark.chaos
def test_a_few_kills_lose_and_double_nothing(run_of: Callable[[float], UpRun]) -> None:
    """The short form: three deaths, one of each part beside, twenty cuts, a stepped clock, an outcome unknown."""
    run = run_of(50.0)
    run.live(12.0, 13.0)
    run.cut(10)
    run.end_backend()
    run.kill()
    run.step_clock()
    run.fail_at("after_commit_before_puback")
    run.cut(10)
    run.fail_in_part("after_send_before_stamp")
    for part in MODULES:
        run.kill_part(part)
    run.live(5.0, 6.0)
    # Beside other tests devices say less in a second than alone.
    run.end(300.0, least=judge.Moment(timers=10, on_their_way=100))


@pytest.mark.chaos
@pytest.mark.long
def test_kills_of_every_kind_lose_and_double_nothing(run_of: Callable[[float], UpRun]) -> None:
    """The long form: twenty kills at random, each failpoint, PostgreSQL five times, a hundred cuts, a stepped clock."""
    run = run_of(1500.0)
    run.live(15.0, 20.0)
    deeds: list[Callable[[], None]] = [run.kill] * 20 + [run.kill_postgres] * 5 + [run.end_backend] * 10
    deeds += [lambda: run.cut(10)] * 10 + [run.step_clock]
    deeds += [lambda name=name: run.fail_at(name) for name in NAMES if name in COUNTS and name not in PARTS]  # type: ignore[misc]
    deeds += [lambda part=part: run.kill_part(part) for part in MODULES for _ in range(5)]  # type: ignore[misc]
    run.chance.shuffle(deeds)
    for deed in [*deeds, *(lambda name=name: run.fail_in_part(name) for name in PARTS)]:  # type: ignore[misc]
        deed()
        run.live(2.0, 8.0)
    run.end(180.0, with_bundles=True)
