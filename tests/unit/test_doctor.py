"""What the doctor makes of what it has seen; where it looks is in `integration/test_doctor_cluster.py`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from schemas.mqtt import encode
from schemas.mqtt_packets import V311, Connack
from tocsin.doctor import Finding, Verdict
from tocsin.doctor.broker import broker
from tocsin.doctor.findings import listed
from tocsin.doctor.kafka import LogEnds, lag, ticks
from tocsin.layout import Layout
from tocsin.settings import Settings

ENDS = LogEnds(first={0: 1, 1: 1}, last={0: 100, 1: 50}, old={0: 90, 1: 40})


@pytest.mark.parametrize(
    ("positions", "verdict", "words"),
    [
        ({0: 100, 1: 50}, Verdict.OK, "up to date in partitions 0, 1"),
        ({0: 90, 1: 45}, Verdict.OK, "up to date"),
        ({0: 89, 1: 50}, Verdict.WRONG, "behind in 0: 11 entries"),
        ({1: 50}, Verdict.WRONG, "behind in 0: 100 entries"),
    ],
)
def test_behind_is_what_has_waited_longer_than_the_limit(
    positions: dict[int, int], verdict: Verdict, words: str
) -> None:
    """A hundred entries may be a moment's or an hour's: their age counts."""
    found = lag("engine", ENDS, positions, "Start a worker.")
    assert found.verdict is verdict and words in found.words
    assert bool(found.mend) is (verdict is not Verdict.OK)


def test_entries_that_the_log_dropped_unread_are_said_before_anything_else() -> None:
    """They do not come back by waiting."""
    ends = LogEnds(first={0: 20}, last={0: 100}, old={0: 90})
    found = lag("store", ends, {0: 7}, "wait")
    assert found.verdict is Verdict.WRONG and "dropped entries that it had not read, partition 0" in found.words
    assert "TOCSIN_LOG_RETENTION_H" in found.mend
    assert "dropped" not in lag("store", ends, {}, "wait").words, "what it never began to read it does not miss"


def test_a_log_into_which_nothing_comes_has_nobody_who_ticks() -> None:
    """Without ticks no silence is noticed and no timer ends."""
    found = ticks(Layout("", "", 2), LogEnds(first={0: 1, 1: 1}, last={0: 9, 1: 9}, old={0: 3, 1: 9}))
    assert found == Finding(
        "ticks", Verdict.WRONG, "nothing has come for 10 s into partition 1",
        "Each door and bridge ticks once a second: start one, or see why it cannot write.",
    )  # fmt: skip


def test_partitions_are_named_in_order() -> None:
    assert (listed([3]), listed({5, 1})) == ("partition 3", "partitions 1, 5")


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A port on which whoever connects gets `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(200)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (encode(Connack(False, 0), V311), "lets us in"),
        (encode(Connack(False, 4), V311), "user name or password is wrong"),
        (b"HTTP", "is no MQTT broker"),
        (b"", "hung up without an answer"),
    ],
)
def test_a_broker_is_asked_by_a_connect(answer: bytes, words: str) -> None:
    """A port that is open proves little."""
    with answering(answer) as port:
        told = Settings.told(broker=f"mqtt://bridge@127.0.0.1:{port}", broker_password=SecretStr("secret"))
        found = broker(told)
    assert words in found.words and str(port) in found.words
    assert "secret" not in found.words + found.mend


@pytest.mark.parametrize("url", ["amqp://host", "mqtt://", "mqtt://host:port", "host:1883"])
def test_what_is_no_address_is_said(url: str) -> None:
    """The setting is named, and how it is written."""
    found = broker(Settings.told(broker=url))
    assert found.verdict is Verdict.WRONG and "TOCSIN_BROKER is no address" in found.words


def test_a_broker_that_is_away_is_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = broker(Settings.told(broker=f"mqtt://127.0.0.1:{port}"))
    assert found.verdict is Verdict.WRONG and "refused" in found.words
