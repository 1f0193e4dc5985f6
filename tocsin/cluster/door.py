"""A door of a cluster: devices connect to it, and what they say goes into Kafka."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ingest.commit_kafka import RoundRecords
from ingest.door.hearing import Hearing
from ingest.shared_sessions import SharedSessions
from registry.logins import KnownLogins
from registry.store import LoginFollower
from schemas.kafka import ALARMS, ALARMS_STATE
from streams.log.kafka_topics_reader import KafkaTopicsReader
from tocsin.cluster.process import WritingProcess
from tocsin.housekeeping import LOGINS_S, Chore, Housekeeping
from tocsin.parts import open_door
from tocsin.standing import Standing
from tocsin.standing.door import door_standing
from tocsin.standing.kafka import kafka_standing
from tocsin.warm_up import warm_up


class DoorProcess(WritingProcess):
    def _start_parts(self) -> int:
        warm_up()
        self._open_log()
        logins = KnownLogins()
        follower = LoginFollower(self.dsn, logins)
        follower.refresh()
        self._closers.append(follower.close)
        housekeeping = Housekeeping(Chore(LOGINS_S, follower.refresh), self._replaying())
        sessions = SharedSessions(self.dsn, self.instance)
        self.door = open_door(
            self.settings,
            name=self.instance,
            log=RoundRecords(self.log.append, self._quarantine, sessions.keep),
            store=sessions,
            peers=sessions,
            clock=self._now_us,
            logins=logins,
            after_us=self.last_us,
            failpoint=self._failpoint,
        )
        alarms = KafkaTopicsReader(
            self.layout.servers, from_end=[ALARMS], from_start=[ALARMS_STATE], config=self.layout.config
        )
        self._closers.append(alarms.close)
        self.hearing = Hearing(alarms.read, self.door.publish)
        self.crew.start("hearing", self.hearing.run, self.hearing.stop)
        self.crew.start("sessions", sessions.run, sessions.stop)
        self.crew.start("housekeeping", housekeeping.run, housekeeping.stop)
        self._door_stop = threading.Event()
        self.crew.start("door", lambda: self.door.run(self._door_stop), self._door_stop.set)
        return self.door.port

    def _standings(self) -> Iterable[Standing]:
        return [
            door_standing(self.door.counts), kafka_standing(self.log), Standing("alarms", self.hearing.trouble)
        ]  # fmt: skip
