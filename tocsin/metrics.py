"""Metrics of the stations, read when they are asked for. Labels are closed sets: causes, partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

Numbers = Mapping[str, float]
_Kind = type[CounterMetricFamily | GaugeMetricFamily]


def _nothing() -> Numbers:
    return {}


@dataclass(frozen=True, slots=True)
class Station:
    """name: `tocsin_{name}_…`.  counters, gauges: functions that give the numbers as they are now.

    causes: counters split by a closed set, `name → cause → count`.  partition: of the log, a label of all of them.
    """

    name: str
    counters: Callable[[], Numbers] = _nothing
    gauges: Callable[[], Numbers] = _nothing
    causes: Callable[[], Mapping[str, Mapping[str, float]]] = dict
    partition: int | None = None


@dataclass(slots=True)
class _Families:
    """Several partitions are samples of one metric."""

    found: dict[str, Metric] = field(default_factory=dict)

    def add(self, kind: _Kind, name: str, at: dict[str, str], value: float) -> None:
        family = self.found.get(name)
        if family is None:
            words = name.partition("_")[2].replace("_", " ").capitalize() + "."
            family = self.found[name] = kind(name, words, labels=list(at))
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        family.add_metric(list(at.values()), value)


class Stations(Collector):
    """One collector for all stations of a process, which are asked for at each collection."""

    def __init__(self, stations: Callable[[], Iterable[Station]], registry: CollectorRegistry) -> None:
        self._stations = stations
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: asking the stations at registration would be too early."""
        return ()

    def collect(self) -> Iterable[Metric]:
        families = _Families()
        for station in self._stations():
            at = {} if station.partition is None else {"partition": str(station.partition)}
            for name, value in station.counters().items():
                families.add(CounterMetricFamily, f"tocsin_{station.name}_{name}", at, value)
            for name, value in station.gauges().items():
                families.add(GaugeMetricFamily, f"tocsin_{station.name}_{name}", at, value)
            for name, split in station.causes().items():
                for cause, value in split.items():
                    families.add(CounterMetricFamily, f"tocsin_{station.name}_{name}", {**at, "cause": cause}, value)
        return families.found.values()
