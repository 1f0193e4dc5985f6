"""A worker of a cluster: judges the partitions that Kafka gives it, and keeps a reading store's process.

Each partition runs the same judging as the one process does; beside it go its alarms on their way to the doors, and
what people ask of it. One store leads in a cluster; those of the other workers stand by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from weakref import WeakValueDictionary

from alerting.channels.mqtt_events import MqttEvents
from alerting.desk import TURNS
from alerting.listening import Listening
from ingest.quarantine import keep_records
from schemas.kafka import ALARMS, ALARMS_STATE, QUARANTINE, RISK
from schemas.risk import Risk, encode_risk
from streams.commands import ControlDispatcher
from streams.log.kafka import KafkaLog, Record
from streams.log.kafka_topics import ends_of
from streams.log.unreadable import unreadable_rows
from streams.ports import LogReader
from streams.risk_keeper import RiskKeeper
from streams.store.edge import session
from streams.store.process import StoreSettings
from streams.worker.app import Worker
from streams.worker.feed import Run
from tocsin.cluster.partition_life import JudgedPartition
from tocsin.cluster.process import ClusterProcess
from tocsin.parts import make_judging
from tocsin.standing import Standing
from tocsin.standing.judging import judging_standing
from tocsin.standing.kafka import Heads, kafka_standing
from tocsin.standing.risk import risk_standing
from tocsin.standing.store import store_standing
from tocsin.standing.watch import Watch
from tocsin.standing.worker import worker_standing
from tocsin.store_child import store_child
from tocsin.warm_up import warm_up


def refused_rows(dsn: str, topic: str = QUARANTINE) -> Callable[[Run], None]:
    """Keeps what doors refused in the table that people read; what cannot be read, where such records are.

    Again is harmless. Raises ServiceAway.
    """
    keep_unreadable = unreadable_rows(dsn, topic)

    def keep(run: Run) -> None:
        bodies = [record.value or b"" for record in run.records]
        with session(dsn, "tocsin-quarantine") as connection:
            unreadable = keep_records(connection, bodies)
        for place, why in unreadable.items():
            record = run.records[place]
            keep_unreadable(run.partition, record.offset + 1, record.key or b"", bodies[place], why)

    return keep


class WorkerProcess(ClusterProcess):
    def _start_parts(self) -> int:
        warm_up()
        layout = self.layout
        self.house = self._house()
        self.log = KafkaLog(layout.servers, layout.topic, layout.partitions, layout.config)
        self._closers.append(self.log.close)
        # Held by the worker as long as the partition is here: an engine's memory goes with it.
        self._lives: WeakValueDictionary[int, JudgedPartition] = WeakValueDictionary()
        self.worker = Worker(
            layout.servers,
            layout.topic,
            layout.config,
            live=self._make_life,
            keep=refused_rows(self.dsn),
            unreadable=unreadable_rows(self.dsn, layout.topic),
            data=self.settings.data,
            instance=self.instance,
        )
        listening = Listening(self.dsn, {TURNS: self._wake_events})
        self.crew.start("listening", listening.run, listening.stop)
        self._start_store()
        self._start_looking()
        self.crew.start("worker", self.worker.run, self.worker.stop)
        return 0

    def _start_store(self) -> None:
        settings, layout = self.settings, self.layout
        point = settings.failpoint if settings.failpoint.startswith("while_partition_closes") else ""
        store = StoreSettings(
            self.dsn,
            settings.reading_retention_days,
            point,
            kafka=layout.servers,
            topic=layout.topic,
            partitions=layout.partitions,
            kafka_config=layout.config,
        )
        self.store = store_child()
        self.store.tell(store)
        self._closers.append(self.store.kill)
        self.crew.start("store", self.store.run, self.store.stop)

    def _start_looking(self) -> None:
        layout = self.layout
        self.watch = Watch(self.dsn)
        self.crew.start("watch", self.watch.run, self.watch.stop)

        def ask() -> Mapping[int, int]:
            ends = ends_of(layout.servers, layout.topic, range(layout.partitions), layout.config)
            return {partition: end.last for partition, end in ends.items()}

        self.heads = Heads(ask)
        self.crew.start("heads", self.heads.run, self.heads.stop)

    # --- of one partition ---

    def _make_life(self, partition: int, reader: LogReader) -> JudgedPartition:
        engine, judging = make_judging(
            self.settings,
            self.dsn,
            reader,
            topic=self.layout.topic,
            partition=partition,
            on_events=lambda: None,
            failpoint=self._failpoint,
        )
        life = JudgedPartition(
            partition,
            engine,
            judging,
            MqttEvents(self.dsn, self._publish, partition=partition),
            ControlDispatcher(self.dsn, self.log.at(partition), partition=partition),
            RiskKeeper(
                self.dsn, self.house.now_us, partition=partition, publish=self._copy_risks, failpoint=self._failpoint
            ),
        )
        self._lives[partition] = life
        return life

    def _publish(self, topic: str, payload: bytes, _qos: int, retain: bool) -> None:
        """Every door hears of it, and publishes it to those who subscribe there."""
        self.log.produce(ALARMS_STATE if retain else ALARMS, topic.encode(), payload)

    def _copy_risks(self, risks: Sequence[Risk]) -> None:
        """For others, who read Kafka. Raises ServiceAway."""
        self.log.produce_many(Record(RISK, risk.enterprise.encode(), encode_risk(risk)) for risk in risks)

    def _wake_events(self, partition: int) -> None:
        life = self._owned().get(partition)
        if life is not None:
            life.events.wake()

    def _owned(self) -> Mapping[int, JudgedPartition]:
        lives = ((partition, self._lives.get(partition)) for partition in self.worker.partitions.owned())
        return {partition: life for partition, life in lives if life is not None}

    # --- of all ---

    def _standings(self) -> Iterable[Standing]:
        owned = self._owned()
        yield worker_standing(self.worker)
        yield kafka_standing(self.log)
        yield self.heads.standing(self._owned)
        yield store_standing(self.watch, self.heads.all, self.house.now_us)
        for partition, life in owned.items():
            yield judging_standing(
                life.judging,
                life.engine,
                lambda p=partition: self.heads.of(p),  # type: ignore[misc]
                self.house.now_us,
                self.watch,
                partition=partition,
                name=f"judging-{partition}",
            )
            yield Standing(f"mqtt_events-{partition}", life.events.trouble)
            yield risk_standing(life.risk, partition=partition, name=f"risk-{partition}")
