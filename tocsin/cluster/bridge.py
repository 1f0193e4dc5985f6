"""A bridge of a cluster: what devices say at a broker that is already there, into Kafka."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ingest.bridge.leases import PostgresLeases
from ingest.commit_kafka import RoundRecords
from tocsin.bridge_parts import bridge_settings, make_bridge
from tocsin.cluster.process import WritingProcess
from tocsin.housekeeping import Housekeeping
from tocsin.standing import Standing
from tocsin.standing.bridge import bridge_standing
from tocsin.standing.kafka import kafka_standing
from tocsin.warm_up import warm_up


class BridgeProcess(WritingProcess):
    def _start_parts(self) -> int:
        settings = bridge_settings(self.settings, self.instance, self.settings.broker_share)
        warm_up()
        self._open_log()
        self.leases = PostgresLeases(self.dsn, settings)
        self._closers.append(self.leases.close)
        self.leases.begin()
        self.bridge = make_bridge(
            settings,
            log=RoundRecords(self.log.append, self._quarantine),
            leases=self.leases,
            clock=self._now_us,
            after_us=self.last_us,
            failpoint=self._failpoint,
        )
        housekeeping = Housekeeping(self._replaying())
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        self.crew.start("leases", self.leases.run, self.leases.stop)
        stop = threading.Event()
        self.crew.start("bridge", lambda: self.bridge.run(stop), stop.set)
        return 0

    def _standings(self) -> Iterable[Standing]:
        return [
            bridge_standing(self.bridge.counts, self.bridge.trouble),
            Standing("leases", self.leases.trouble),
            kafka_standing(self.log),
        ]
