"""One run of a test of kills: a victim under load, what is done to it, and the verdict over all of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psycopg

from sensors_sim.webhook_sink import SinkProcess
from tests.chaos import judge, stories
from tests.chaos.feeder import Feeder, now_us
from tests.chaos.victim import until

CLIENTS = 200
UNDER_WAY = judge.Moment(timers=50, on_their_way=200)
_LOOKS = 20
_TIMERS_US = int((stories.TAMPER_S + 3.0) * 1e6)


class Suffering(Protocol):
    """What a run asks of its victim, which may be one process or a cluster."""

    sink: SinkProcess

    @property
    def kills_us(self) -> Sequence[int]:
        """When something was done to it."""
        ...

    @property
    def blind_us(self) -> Sequence[tuple[int, int]]:
        """From a moment without ticks until they are in the log again."""
        ...

    @property
    def dsn(self) -> str: ...

    def connect(self) -> psycopg.Connection: ...

    def ends(self) -> Mapping[int, int]:
        """Partition → number of the last entry in the log."""
        ...


@dataclass
class Run:
    victim: Suffering
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

    def cut(self, clients: int) -> None:
        self.feeder.cut(clients)
        self.count("connections cut", clients)

    def end(self, settle_s: float, *, with_bundles: bool = False, least: judge.Moment = UNDER_WAY) -> None:
        """Stop the load, wait until everything has come through, and judge.  least: under way at each kill."""
        fed_until_us = now_us()
        self.feeder.finish(120.0)
        victim, expected, messages = self.victim, self.expected, self.feeder.messages
        dsn = victim.dsn
        last_us = max(message.acked_us for message in expected.raised_by.values())
        until("the last timer has run out", lambda: now_us() > last_us + _TIMERS_US, 60.0)
        with victim.connect() as connection:
            ends = victim.ends()
            until("the store has followed", lambda: judge.has_stored(dsn, ends), 300.0)
            for _ in range(_LOOKS):
                settled = self._wait_for_desk(settle_s, with_bundles)
                said = judge.events_said(connection)
                arrivals = victim.sink.arrivals()
                told = judge.judge_ledger(connection, arrivals, now_us())
                if judge.events_count(connection) == settled:
                    break
                # Time goes on: something fell silent while we looked, and the desk cannot have told it yet.
        stored = judge.judge_store(dsn, messages, expected)
        twin = judge.twin_events((m for m in messages if m.ts_ms is not None), self.pack)
        under_way = judge.moments(victim.kills_us, said, messages, arrivals, expected)
        wrong = judge.judge_timed(said, twin)
        wrong += judge.judge_untimed(said, expected, victim.blind_us)
        wrong += judge.judge_silence(said, expected, victim.blind_us, fed_until_us, messages)
        wrong += stored.wrong + told.wrong
        print(
            "\n" + ", ".join(f"{count} {what}" for what, count in self.done.items()),
            f"\n{stored.readings} readings stored of {len(messages)} messages acknowledged to "
            f"{len(self.feeder.clients)} clients, {sum(m.resends > 0 for m in messages)} of them sent again; "
            f"{len(twin)} steps of alarms by the twin, "
            f"{len(expected.raised_by)} alarms without a time; {told.notifications} notifications",
            f"\nlost {stored.lost}, doubled {stored.doubled} (without ts, sent again), "
            f"notifications repeated with reason {told.repeated}, wrong {len(wrong)}",
            "\nat each kill: " + "; ".join(f"{m.timers} timers, {m.on_their_way} alarms" for m in under_way),
        )
        assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:25], "...", *wrong[-25:]])
        assert stored.lost == 0
        for moment in under_way:
            assert moment.timers >= least.timers, f"fewer timers than {least.timers}: {under_way}"
            assert moment.on_their_way >= least.on_their_way, f"fewer alarms than {least.on_their_way}: {under_way}"

    def _wait_for_desk(self, settle_s: float, with_bundles: bool) -> int:
        """Every step decided, and nothing that is due still on its way; with_bundles: nor anything that gathers.

        Returns how many steps there were then.
        """
        steps = 0
        open_ = ["queued", "sending"] + ["planned"] * with_bundles

        def settled() -> bool:
            nonlocal steps
            with self.victim.connect() as connection:
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM alarm_events), (SELECT count(*) FROM decisions),"
                    " (SELECT count(*) FROM notifications WHERE status = ANY(%s))",
                    (open_,),
                ).fetchone()
            assert row is not None
            steps, decided, waiting = row
            return steps == decided and not waiting

        until("the desk has decided and sent", settled, settle_s)
        return steps
