"""What the desk and the outbox count, for Prometheus. Labels come from closed sets: channels, outcomes, recipients by
name.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class AlertingMetrics:
    """One set for a process, in the registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "tocsin_alerting_events_total", "Alarm events that the desk has taken.", ["kind"], registry=registry
        )
        self.planned = Counter(
            "tocsin_alerting_planned_total", "Notifications that were planned.", ["how"], registry=registry
        )
        self.sends = Counter(
            "tocsin_alerting_sends_total", "Sends, by channel and outcome.", ["channel", "outcome"], registry=registry
        )
        self.failed = Counter(
            "tocsin_alerting_failed_total", "Notifications that were given up.", ["channel"], registry=registry
        )
        self.arrivals = Counter(
            "tocsin_alerting_arrivals_total", "What carriers said of accepted messages in the end.",
            ["channel", "arrival"], registry=registry,
        )  # fmt: skip
        self.overdue = Counter(
            "tocsin_alerting_overdue_total", "Notifications not taken within their limit.", ["channel"],
            registry=registry,
        )  # fmt: skip
        self.repeated = Counter(
            "tocsin_alerting_repeated_total", "Sends made again because no answer was recorded.", registry=registry
        )
        self.unanswered = Counter(
            "tocsin_alerting_unanswered_total", "Calls to contacts that nobody acknowledged in time.", registry=registry
        )
        self.exhausted = Counter(
            "tocsin_alerting_exhausted_total", "Alarms that nobody acknowledged, and nobody is left to call.",
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "tocsin_alerting_waiting", "Notifications that are not settled.", ["status", "partition"], registry=registry
        )
        self.judged_s = Histogram(
            "tocsin_alerting_judged_seconds",
            "From the arrival of the reading that completed a step of an alarm to the commit of that step.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.queued_s = Histogram(
            "tocsin_alerting_queued_seconds",
            "From the arrival of that reading to the commit of the step's messages.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.handed_over_s = Histogram(
            "tocsin_alerting_handed_over_seconds",
            "From the arrival of the reading that completed an alarm to its message being taken.",
            ["channel"],
            registry=registry,
            buckets=_SECONDS,
        )
