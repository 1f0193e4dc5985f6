"""A desk process for tests that kill it: `python -m tests.desk_process DSN URL PARTITIONS FAILPOINT CARRIER`.

It says `ready` on its standard output once it looks round, and ends when its standard input does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from prometheus_client import CollectorRegistry

from alerting.channels.sms import Sms
from alerting.channels.webhook import Webhook
from alerting.desk import Desk
from alerting.desks import SEATS, Desks
from alerting.listening import ALARMS, Listening
from alerting.metrics import AlertingMetrics
from alerting.outbox import Outbox
from alerting.ports import Channel
from alerting.routes import SMS, WEBHOOK, Routes, webhook_recipient
from alerting.texts import load_texts
from tocsin.crew import Crew
from tocsin.failpoints import from_setting

SECRET = "a secret of enough length"


def now_us() -> int:
    return time.time_ns() // 1000


def start(dsn: str, url: str, partitions: int, failpoint: str = "", carrier: str = "") -> subprocess.Popen[str]:
    """A process that looks round already. carrier: where it texts, if it does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.desk_process", dsn, url, str(partitions), failpoint, carrier],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> int:
    """A clean end; returns the exit code."""
    process.communicate(timeout=20)
    return process.returncode


def main() -> None:
    dsn, url, partitions, failpoint, carrier = sys.argv[1:6]
    metrics = AlertingMetrics(CollectorRegistry())
    channels: dict[str, Channel] = {WEBHOOK: Webhook(now_us, concurrency=4)}
    if carrier:
        channels[SMS] = Sms("AC0", "token", "+15005550006", url=carrier)
    outbox = Outbox(dsn, channels, now_us, metrics, from_setting(failpoint))
    routes = Routes((webhook_recipient("ops", url, SECRET),))
    texts = load_texts()
    name = f"desk-{os.getpid()}"

    def make_desk(partition: int) -> Desk:
        return Desk(dsn, routes, outbox, texts, metrics, now_us, partition=partition, shares=True, instance=name)

    desks = Desks(dsn, int(partitions), make_desk, name)
    listening = Listening(dsn, {ALARMS: desks.wake, SEATS: desks.look_again})
    crew = Crew()
    crew.start("listening", listening.run, listening.stop)
    crew.start("desks", desks.run, desks.stop)
    print("ready", flush=True)
    told = threading.Event()

    def live() -> None:
        sys.stdin.read()
        told.set()

    threading.Thread(target=live, daemon=True).start()
    while not (told.wait(0.1) or crew.failed.is_set()):
        pass
    crew.stop(10.0)
    outbox.stop()
    if crew.failure is not None:
        raise crew.failure


if __name__ == "__main__":
    main()
