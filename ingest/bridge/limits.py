"""What a bridge is told and what it has counted: settings with defaults, and counters whose causes are closed sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from schemas.errors import ConfigError

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_MEND = "Write it as mqtt://HOST:PORT, or mqtts://HOST:PORT with TLS."


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """Where the broker is, as whom to log in, and limits. Sizes in bytes, times in seconds."""

    name: str
    """This bridge's, its own for ever: part of its client id and of the names in quarantine."""
    host: str
    port: int = 1883
    tls: bool = False
    ca: Path | None = None
    """Certificates that the broker's must descend from; None: the system's."""
    username: str = ""
    password: str = field(default="", repr=False)
    group: str = "tocsin"
    """Bridges of a group share the telemetry; empty: one of them takes all of it and the others stand by."""
    version: int = 0
    """Of MQTT: 5, 4 (3.1.1), or 0: 5 where the broker speaks it; a group needs 5."""
    keep_alive_s: int = 30
    connect_s: float = 5.0
    """For TCP, for TLS and for the broker's answer, each."""
    retry_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
    """Pauses between attempts to connect."""
    session_expiry_s: int = 7 * 24 * 3600
    """How long the broker shall keep what comes while nobody reads (version 5; 3.1.1 leaves it to the broker)."""
    receive_maximum: int = 65_535
    packet_size: int = 256 * 1024
    """A whole packet; of what is larger only the head is kept, in quarantine."""
    round_bytes: int = 4 * 1024 * 1024
    round_messages: int = 65_536
    gather_s: float = 0.004
    """From one round's reading to the next at the least: a round of one message costs as much as one of a hundred."""
    busy_gather_s: float = 0.016
    """The same after a round of `busy_messages` or more: what reads the log pays for each record."""
    busy_messages: int = 64
    queue: int = 10_000
    """Answers on their way to the broker, of one session; above it the oldest is dropped."""
    quiet_s: float = 2.0
    """A dead bridge's session is empty when it has been silent for so long."""
    lease_s: float = 10.0
    """A bridge that has not been heard of in PostgreSQL for so long is dead; the others read its session."""

    @classmethod
    def of(
        cls, name: str, url: str, *, password: str = "", group: str = "tocsin", ca: Path | None = None
    ) -> BridgeSettings:
        """url: `mqtt://` or `mqtts://[user@]host[:port]`. Raises ConfigError when it is something else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"no address of a broker: {error}.", field="--broker", mend=_MEND) from error
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError("no address of a broker.", field="--broker", mend=_MEND)
        if set(group) & set("/+#"):
            raise ConfigError("a group's name has no /, + or #.", field="TOCSIN_BROKER_SHARE")
        if ca is not None and not ca.is_file():
            raise ConfigError(f"there is no file {ca}.", field="TOCSIN_BROKER_CA")
        return cls(
            name, parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", ca,
            unquote(parts.username or ""), password or unquote(parts.password or ""), group,
        )  # fmt: skip

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


class Cause(StrEnum):
    """Why there is no connection, or there was none to be had."""

    UNREACHABLE = "unreachable"
    TLS = "tls"
    NO_ANSWER = "no_answer"
    LOGIN = "login"
    VERSION = "version"
    CLIENT_ID = "client_id"
    SHARED = "shared"
    """The broker has no shared subscriptions."""
    REFUSED = "refused"
    CUT = "cut"
    TOLD = "told"
    """The broker said why; the reason code is in the log."""
    TAKEN_OVER = "taken_over"
    """Another client came with our client id."""
    MALFORMED = "malformed"
    SILENT = "silent"
    SUBSCRIPTION = "subscription"
    """A subscription was refused; it is tried again."""
    LEASE = "lease"
    """The session is another bridge's now."""
    DRAINED = "drained"
    STOPPING = "stopping"


class Dropped(StrEnum):
    """Why a message was dropped, inwards or outwards."""

    FOREIGN = "foreign"
    """Neither telemetry nor status: an older subscription of the session brought it."""
    REPEATED = "repeated"
    """A DUP that is in the log already, or a retained status that is known."""
    RETAINED = "retained"
    """Telemetry from before the subscription, whose time nobody knows."""
    EMPTY_STATUS = "empty_status"
    """It deletes what is retained and says nothing of the device."""
    TOO_LARGE = "too_large"
    QUEUE_FULL = "queue_full"
    UNPUBLISHED = "unpublished"
    """The broker refused it, or it is larger than the broker takes."""


@dataclass(slots=True)
class Counts:
    """What the bridge has counted since it was made. Written by its thread; reading from another is safe."""

    rounds: int = 0
    received_bytes: int = 0
    messages: int = 0
    """PUBLISHes that were taken into a round."""
    acknowledged: int = 0
    published: int = 0
    """PUBLISHes to the broker: answers to devices."""
    connects: int = 0
    forgotten: int = 0
    """Reconnects at which the broker no longer knew the session: what it had kept for us is gone."""
    adopted: int = 0
    """Sessions of dead bridges that were read to their end."""
    away: int = 0
    """Commits that found the log away."""
    closed: Counter[Cause] = field(default_factory=Counter)
    refused: Counter[Cause] = field(default_factory=Counter)
    """Attempts to connect that failed."""
    dropped: Counter[Dropped] = field(default_factory=Counter)
    connections: int = 0
    sessions: int = 0
    """That this bridge reads, connected or not."""
    is_away: bool = False
