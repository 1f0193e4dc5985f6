"""What every Kafka client of ours is told, and where its words go: into our log, never to stderr."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaError

from schemas.errors import ConfigError, Fenced, ServiceAway, TocsinError

_log = structlog.get_logger(__name__)
MEND = "Look at TOCSIN_KAFKA_CONFIG"
_AGAIN_S = 10.0
_SHAPES = 100
_NUMBERS = re.compile(r"[0-9]+")
_WARNING = 4
"""Of librdkafka's levels; above it are notes on its own affairs."""
_REFUSED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_OUT_OF_TIME = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
    }
)
_MISSING = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART})


def client_config(
    servers: str, config: Mapping[str, str], on_error: Callable[[KafkaError], None] | None = None
) -> dict[str, Any]:
    """For any client. config: the operator's own (security, certificates), by librdkafka's names; it comes first.

    on_error: told of what goes wrong between calls, from within a call.
    """
    return {
        "bootstrap.servers": servers,
        "client.id": "tocsin",
        "socket.keepalive.enable": True,
        "socket.nagle.disable": True,
        # A cut that nobody tells of is noticed after this.
        "socket.timeout.ms": 10_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": _WARNING,
        "logger": _Words(),
        "error_cb": on_error or _ignore,
        **config,
    }


class Refusals:
    """What brokers have against us, heard between calls (`on_error`); the calls then only run out of time."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def hear(self, error: KafkaError) -> None:
        if error.code() in _REFUSED or error.code() == KafkaError._SSL:
            self._last = error

    def forget(self) -> None:
        """They have taken us."""
        self._last = None

    def translated(self, error: KafkaError) -> TocsinError:
        """As the function does, but for a call that ran out of time since nobody lets us in.

        That is ServiceAway, too: logins and certificates are mended on Kafka's side as well, while we go on.
        """
        last = self._last
        if last is None or error.code() not in _OUT_OF_TIME:
            return translated(error)
        return ServiceAway("Kafka", f"it does not let us in: {last.str()}", mend=f"{MEND}.")


def translated(error: KafkaError) -> TocsinError:
    """A failure of Kafka in our words: ConfigError where only a person can mend it, else ServiceAway.

    Fenced where the topic takes no records any more (`streams.log.kafka_topics.close_topic`): ours are never too large.
    """
    code = error.code()
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return Fenced(
            f"the log takes no entries: it has moved, or is about to ({error.str()}).",
            mend="Start again; if it goes on, finish the move, or undo it by `tocsin migrate`.",
        )
    if code in _REFUSED:
        return ConfigError(f"Kafka refuses us: {error.str()}", mend=f"{MEND} and Kafka's own ACLs.")
    mend = "Make the topics with `tocsin migrate`." if code in _MISSING else ""
    return ServiceAway("Kafka", error.str(), mend=mend)


def _ignore(_: KafkaError) -> None:
    """Its words reach the log by the logger already."""


class _Words:
    """Stands in for a `logging.Logger`; a client that says one thing over and over is heard once in a while."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def log(self, level: int, text: str, *values: object) -> None:
        said = text % values if values else text
        # What differs from one saying to the next are numbers: ports, milliseconds, counts.
        shape = _NUMBERS.sub("", said)
        now = time.monotonic()
        if now - self._said.get(shape, -_AGAIN_S) < _AGAIN_S:
            return
        if len(self._said) > _SHAPES:
            self._said.clear()
        self._said[shape] = now
        _log.warning("kafka_client", level=level, said=said)
