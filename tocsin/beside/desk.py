"""The alarm desk with its outbox and channels: `python -m tocsin.beside.desk`.

It is poked when alarm events were committed, and says when it has taken them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from alerting.desk import Desk
from alerting.metrics import AlertingMetrics
from alerting.outbox import Outbox
from alerting.texts import load_texts
from tocsin.beside.process import BesideProcess, run
from tocsin.beside.told import Line, Turned
from tocsin.desk_parts import make_channels, make_reply
from tocsin.housekeeping import HEAP_S, MARKS_S, Chore, Housekeeping, OutOfService
from tocsin.recipients import routes_of
from tocsin.resident import give_back_heap
from tocsin.standing import Standing
from tocsin.standing.desk import desk_standing


class DeskBeside(BesideProcess):
    def start_parts(self) -> Sequence[Standing]:
        settings, now_us = self.settings, self.house.now_us
        marks = OutOfService(self.dsn)
        marks.refresh()
        housekeeping = Housekeeping(Chore(MARKS_S, marks.refresh), Chore(HEAP_S, give_back_heap))
        texts = load_texts()
        metrics = AlertingMetrics(self.metrics)
        channels = make_channels(settings, self.dsn, texts, self._clock, now_us, self._show, self.told.colour)
        reply = make_reply(settings, self.dsn)
        outbox = Outbox(self.dsn, channels, now_us, metrics, self._failpoint, reply.finish)
        self._closers.append(outbox.stop)
        desk = Desk(
            self.dsn,
            routes_of(settings),
            outbox,
            texts,
            metrics,
            now_us,
            reply=reply,
            suppression_of=marks.suppression_of,
            on_turn=lambda: self.say(Turned()),
        )
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        self.on_poke = desk.wake
        self.crew.start("desk", desk.run, desk.stop)
        return [desk_standing(desk)]

    def _show(self, line: str) -> None:
        self.say(Line(line))


if __name__ == "__main__":
    sys.exit(run(DeskBeside))
