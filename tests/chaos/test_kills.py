"""Kills and faults under load: nothing that was acknowledged is lost, and the alarms are those of a run without kills.

The short form runs with all tests. The long one: `./dev test chaos`. Both print what they did and found.
"""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sensors_sim import webhook_sink
from tests.chaos import judge, stories
from tests.chaos.feeder import Feeder, now_us
from tests.chaos.victim import Victim, until
from tocsin.failpoints import NAMES
from tocsin.settings import connect_dsn

CLIENTS = 200
SEED = 20_260_801
_TIMERS_US = int((stories.TAMPER_S + 3.0) * 1e6)
COUNTS = {
    # passes until the process dies: late enough that there is work under way
    "after_commit_before_puback": 300,
    "before_engine_commit": 20,
    "after_engine_commit": 20,
    "in_checkpoint": 2,
    "after_send_before_stamp": 10,
}


@dataclass
class Run:
    """One run: a victim under load, what is done to it, and the verdict."""

    victim: Victim
    feeder: Feeder
    expected: stories.Expected
    pack: str
    chance: random.Random
    done: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, by: int = 1) -> None:
        self.done[what] = self.done.get(what, 0) + by

    def live(self, shortest_s: float, longest_s: float) -> None:
        """Let the load run for a while."""
        threading.Event().wait(self.chance.uniform(shortest_s, longest_s))

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

    def fail_while_partition_closes(self) -> None:
        """The store, a process of its own, dies there; then everything is killed."""
        self.victim.kill()
        before = self.victim.log.read_text().count('"store_ended"')
        self.victim.start("while_partition_closes:1")
        until(
            "a partition closes and the store dies",
            lambda: self.victim.log.read_text().count('"store_ended"') > before,
            900.0,
        )
        self.count("deaths while_partition_closes")
        self.kill()

    def kill_postgres(self) -> None:
        self.victim.kill_postgres()
        self.count("kills of PostgreSQL")

    def cut(self, clients: int) -> None:
        self.feeder.cut(clients)
        self.count("connections cut", clients)

    def end_backend(self) -> None:
        self.count("backends ended", self.victim.end_backends(self.chance))

    def step_clock(self) -> None:
        """An hour ahead, and back: the house runs on, since a step is doubted at first."""
        self.victim.step_clock(3600.0)
        self.live(3.0, 4.0)
        self.victim.step_clock(0.0)
        self.count("clock steps", 2)

    def end(self, settle_s: float, *, with_bundles: bool = False) -> None:
        """Stop the load, wait until everything has come through, and judge."""
        fed_until_us = now_us()
        self.feeder.finish(120.0)
        victim, expected, messages = self.victim, self.expected, self.feeder.messages
        dsn = connect_dsn(victim.data)
        last_us = max(message.acked_us for message in expected.raised_by.values())
        until("the last timer has run out", lambda: now_us() > last_us + _TIMERS_US, 60.0)
        with victim.connect() as connection:
            head = connection.execute("SELECT max(number) FROM log_entries").fetchone()
            assert head is not None
            until("the store has followed", lambda: judge.store_position(dsn) >= head[0], 60.0)
            self._wait_for_desk(settle_s, with_bundles)
            said = judge.events_said(connection)
            arrivals = victim.sink.arrivals()
            told = judge.judge_ledger(connection, arrivals, now_us())
        stored = judge.judge_store(dsn, messages, expected)
        twin = judge.twin_events((m for m in messages if m.ts_ms is not None), self.pack)
        under_way = judge.moments(victim.kills_us, said, messages, arrivals, expected)
        wrong = judge.judge_timed(said, twin)
        wrong += judge.judge_untimed(said, expected, victim.blind_us)
        wrong += judge.judge_silence(said, expected, victim.blind_us, fed_until_us)
        wrong += stored.wrong + told.wrong
        print(
            "\n" + ", ".join(f"{count} {what}" for what, count in self.done.items()),
            f"\n{stored.readings} readings stored of {len(messages)} messages acknowledged to {CLIENTS} clients, "
            f"{sum(m.resends > 0 for m in messages)} of them sent again; {len(twin)} steps of alarms by the twin, "
            f"{len(expected.raised_by)} alarms without a time; {told.notifications} notifications",
            f"\nlost {stored.lost}, doubled {stored.doubled} (without ts, sent again), "
            f"notifications repeated with reason {told.repeated}, wrong {len(wrong)}",
            "\nat each kill: " + "; ".join(f"{m.timers} timers, {m.on_their_way} alarms" for m in under_way),
        )
        assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:25], "...", *wrong[-25:]])
        assert stored.lost == 0
        assert all(moment.timers >= 50 and moment.on_their_way >= 200 for moment in under_way), under_way

    def _wait_for_desk(self, settle_s: float, with_bundles: bool) -> None:
        """Every step decided, and nothing that is due still on its way; with_bundles: nor anything that gathers."""
        open_ = ["queued", "sending"] + ["planned"] * with_bundles

        def settled() -> bool:
            with self.victim.connect() as connection:
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM alarm_events) - (SELECT count(*) FROM decisions),"
                    " (SELECT count(*) FROM notifications WHERE status = ANY(%s))",
                    (open_,),
                ).fetchone()
            return row == (0, 0)

        until("the desk has decided and sent", settled, settle_s)


@pytest.fixture
def run_of() -> Iterator[Callable[[float], Run]]:
    """Starts a victim and a load of so many seconds on it."""
    open_ = ExitStack()

    def make(planned_s: float) -> Run:
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
        return Run(victim, feeder, expected, text, random.Random(SEED))

    with open_:
        yield make


@pytest.mark.chaos
def test_a_few_kills_lose_and_double_nothing(run_of: Callable[[float], Run]) -> None:
    """The short form: three deaths, twenty cuts, a stepped clock, an outcome unknown."""
    run = run_of(50.0)
    run.live(12.0, 13.0)
    run.cut(10)
    run.end_backend()
    run.kill()
    run.step_clock()
    run.fail_at("after_commit_before_puback")
    run.cut(10)
    run.fail_at("after_send_before_stamp")
    run.live(5.0, 6.0)
    run.end(60.0)


@pytest.mark.chaos
@pytest.mark.long
def test_kills_of_every_kind_lose_and_double_nothing(run_of: Callable[[float], Run]) -> None:
    """The long form: twenty kills at random, each failpoint, PostgreSQL five times, a hundred cuts, a stepped clock."""
    run = run_of(900.0)
    run.live(15.0, 20.0)
    deeds: list[Callable[[], None]] = [run.kill] * 20 + [run.kill_postgres] * 5 + [run.end_backend] * 10
    deeds += [lambda: run.cut(10)] * 10 + [run.step_clock]
    deeds += [lambda name=name: run.fail_at(name) for name in NAMES if name in COUNTS]  # type: ignore[misc]
    run.chance.shuffle(deeds)
    for deed in [*deeds, run.fail_while_partition_closes]:
        deed()
        run.live(2.0, 8.0)
    run.end(180.0, with_bundles=True)
