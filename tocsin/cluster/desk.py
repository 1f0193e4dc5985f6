"""A desk of a cluster: the desks of a fair share of the partitions, and their messages."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp

from alerting.desk import Desk
from alerting.desks import SEATS, Desks
from alerting.heartbeat import Heartbeat
from alerting.listening import ALARMS as EVENTS
from alerting.listening import Listening
from alerting.metrics import AlertingMetrics
from alerting.outbox import Outbox
from alerting.texts import load_texts
from tocsin.cluster.process import ClusterProcess
from tocsin.desk_parts import make_channels, make_reply
from tocsin.housekeeping import MARKS_S, SWEEP_S, Chore, Housekeeping, OutOfService, sweep_audit, sweep_quarantine
from tocsin.recipients import routes_of
from tocsin.standing import Standing, Standings
from tocsin.standing.desk import desks_standing
from tocsin.standing.elsewhere import judged_elsewhere, stored_elsewhere
from tocsin.standing.watch import Watch


class DeskProcess(ClusterProcess):
    """The desks of a fair share of the partitions."""

    def _start_parts(self) -> int:
        house = self._house()
        marks = OutOfService(self.dsn)
        marks.refresh()
        housekeeping = Housekeeping(
            Chore(MARKS_S, marks.refresh),
            Chore(SWEEP_S, lambda: sweep_quarantine(self.dsn, house.now_us())),
            Chore(SWEEP_S, lambda: sweep_audit(self.dsn, self.settings.audit_retention_days)),
        )
        texts = load_texts()
        metrics = AlertingMetrics(self.metrics)
        channels = make_channels(self.settings, self.dsn, texts, self._clock, house.now_us)
        reply = make_reply(self.settings, self.dsn)
        outbox = Outbox(self.dsn, channels, house.now_us, metrics, self._failpoint, reply.finish)
        self._closers.append(outbox.stop)
        routes = routes_of(self.settings)

        def make_desk(partition: int) -> Desk:
            return Desk(
                self.dsn, routes, outbox, texts, metrics, house.now_us, partition=partition, shares=True,
                instance=self.instance, reply=reply, suppression_of=marks.suppression_of,
            )  # fmt: skip

        self.desks = Desks(self.dsn, self.layout.partitions, make_desk, self.instance)
        listening = Listening(self.dsn, {EVENTS: self.desks.wake, SEATS: self.desks.look_again})
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        self.crew.start("listening", listening.run, listening.stop)
        self.crew.start("desks", self.desks.run, self.desks.stop)
        return 0

    def _standings(self) -> Iterable[Standing]:
        return desks_standing(self.desks)

    def _app(self, standings: Standings) -> ASGIApp:
        if self.settings.heartbeat_url:
            watch = Watch(self.dsn)
            self.crew.start("watch", watch.run, watch.stop)
            partitions = self.layout.partitions
            others = [judged_elsewhere(watch, partitions), stored_elsewhere(watch, partitions)]

            def is_well() -> bool:
                return not (standings.wrong() or any(other.trouble() for other in others))

            beat = Heartbeat(self.settings.heartbeat_url, self.settings.heartbeat_s, is_well)
            self.crew.start("heartbeat", beat.run, beat.stop)
        return super()._app(standings)
