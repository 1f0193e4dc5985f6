"""What a load generator is told, and what it reports: shapes that travel between two processes as JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 1883
    connections: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 4
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Ordinary messages a second over all connections; 0: flat out."""
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    messages: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Ends after so many ordinary messages, evenly over the connections; 0: when the time is over."""
    devices: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Of each connection; each sends one message in its turn."""
    readings: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    """In each message."""
    with_ts: bool = True
    burst: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Messages that a connection sends at once."""
    window: Annotated[int, msgspec.Meta(ge=1, le=65_000)] = 20_000
    """Unacknowledged messages that a connection may have on its way."""
    quantum_us: Annotated[int, msgspec.Meta(ge=0)] = 1000
    """Looks at the sockets at most so often, which saves most of the cost; 0 for latency: wake for every answer."""
    alarms: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Alarms to complete, each in an enterprise of its own by two readings of 95 °C that are a second apart."""
    drain_s: float = 10.0
    """How long to wait at the end for what is unacknowledged."""
    seed: int = 1

    @property
    def rows(self) -> int:
        """Ordinary devices in all."""
        return self.connections * self.devices

    @property
    def interval_ns(self) -> int:
        """Between two bursts of one connection; 0: flat out."""
        return int(1e9 * self.burst * self.connections / self.rate) if self.rate else 0


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """So far, or in all when `done`."""

    seconds: float
    sent: int
    acknowledged: int
    alarms_sent: int = 0
    """Messages that were to alarm."""
    lag_s: float = 0.0
    """How far the intended time is ahead of the last message sent, of the slowest connection."""
    dead: int = 0
    """Connections that broke."""
    faults: int = 0
    """Answers that were not the next PUBACK due."""
    cpu_s: float = 0.0
    """Processor time of the generator."""
    done: bool = False
