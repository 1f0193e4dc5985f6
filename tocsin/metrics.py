"""Metrics of the stations, read when they are asked for: door, log, engine, store. Labels are closed sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Station:
    """name: `tocsin_{name}_…`.  counters, gauges: functions that give the numbers as they are now.

    causes: counters split by a closed set, `name → cause → count`.
    """

    name: str
    counters: Callable[[], Numbers]
    gauges: Callable[[], Numbers]
    causes: Callable[[], Mapping[str, Mapping[str, float]]] = dict


class Stations(Collector):
    """One collector for all stations; a station that cannot answer is left out, and the rest is still told."""

    def __init__(self, stations: Iterable[Station], registry: CollectorRegistry) -> None:
        self._stations = tuple(stations)
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: asking the stations at registration would be too early."""
        return ()

    def collect(self) -> Iterable[Metric]:
        for station in self._stations:
            for name, value in station.counters().items():
                yield CounterMetricFamily(f"tocsin_{station.name}_{name}", _words(name), value=value)
            for name, value in station.gauges().items():
                yield GaugeMetricFamily(f"tocsin_{station.name}_{name}", _words(name), value=value)
            for name, split in station.causes().items():
                family = CounterMetricFamily(f"tocsin_{station.name}_{name}", _words(name), labels=["cause"])
                for cause, value in split.items():
                    family.add_metric([cause], value)
                yield family


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize() + "."
