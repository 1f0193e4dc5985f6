"""An evening of the city, whole: what an officer, an owner and a supervisor got, and what of it was noise.

    python -m tests.acceptance.evening quiet_evening

Runs `tocsin up` with a stand-in of the SMS carrier, and leads its clock: a second of the city is on disk before the
next one begins, so a busy machine makes no difference. At the end it lists every alarm with its rule and place, every
text with its reader, and the colours of risk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from schemas.mqtt import V311, Publish, encode
from schemas.topics import device_topic
from schemas.viewers import house
from scoring.risk_words import in_words
from sensors_sim import carrier
from sensors_sim.city import City
from sensors_sim.publisher import payload
from sensors_sim.scenarios import load
from streams.log.one_partition import OnePartition
from streams.log.reader import PostgresLogReader
from streams.risk_book import RiskBook
from tests.chaos.day_feed import Devices, Tail
from tests.waiting import until
from tocsin.bench.service import tocsin_up
from tocsin.clocks import LedClock
from tocsin.demo_city import fill_registry, shops_of
from tocsin.settings import connect_dsn

STARTS = datetime(2026, 5, 15, 9, tzinfo=UTC)
"""17:00 in Shanghai, as the evenings of the scenarios begin."""
_US = 1_000_000
_LEFT = """
    SELECT EXISTS (SELECT FROM alarm_events e LEFT JOIN positions p ON p.consumer = 'desk' AND p.partition = e.partition
                    WHERE e.seq > coalesce(p.position, 0))
        OR EXISTS (SELECT FROM notifications WHERE status IN ('queued', 'sending'))
"""
_ALARMS = """
    SELECT a.enterprise, a.device, a.kind, a.peak, e.body->>'measure', e.body->'evidence'->>'rule',
           to_char(to_timestamp(a.raised_us / 1e6) AT TIME ZONE 'Asia/Shanghai', 'HH24:MI:SS'), a.open,
           round((e2.event_us - a.raised_us) / 1e6), a.told
      FROM alarms a JOIN alarm_events e ON e.key = a.key AND e.step = a.raised_step
      LEFT JOIN LATERAL (SELECT event_us FROM alarm_events x WHERE x.key = a.key AND x.state = 'cleared'
                          ORDER BY step DESC LIMIT 1) e2 ON true
     ORDER BY a.raised_us
"""
_SENT = "SELECT recipient, channel, at_once, status, body->>'text', enterprise FROM notifications ORDER BY planned_us"
_RAISED = "SELECT count(*) FROM alarm_events WHERE state = 'raised'"
_COLOURS = "SELECT colour, count(*) FROM risk GROUP BY 1 ORDER BY 1"
_WORDS = {1: "blue", 2: "yellow", 3: "orange", 4: "red"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario")
    parser.add_argument("--enterprises", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=0, help="of the evening; default: all of it")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-evening-") as folder:
        _spend(told, Path(folder))


def _spend(told: argparse.Namespace, folder: Path) -> None:
    phones = carrier.start(folder / "texts.jsonl")
    start_us = round(STARTS.timestamp() * _US)
    clock = LedClock.create(folder / "clock", start_us)
    environment = {
        "TOCSIN_LED_CLOCK": str(folder / "clock"), "TOCSIN_CONSOLE": "no", "TOCSIN_TWILIO_ACCOUNT": "AC1",
        "TOCSIN_TWILIO_TOKEN": "of an evening", "TOCSIN_TWILIO_SENDER": "MG1", "TOCSIN_TWILIO_URL": phones.url,
        "TOCSIN_PUBLIC_URL": "https://t.example",
    }  # fmt: skip
    try:
        with tocsin_up(folder / "data", environment=environment, ready_s=600) as service:
            dsn = connect_dsn(folder / "data")
            fill_registry(dsn, shops_of(told.scenario, told.enterprises, told.seed))
            plan, trades = load(told.scenario)
            city = City(plan, trades, told.enterprises, told.seed)
            devices = Devices(service.running.mqtt_port)
            with closing(PostgresLogReader(dsn, poll_s=0.001)) as reader:
                _live(city, told.seconds or round(plan.seconds), clock, devices, reader, start_us)
            devices.close()
            _settle(dsn)
            _report(dsn)
    finally:
        phones.stop()


def _live(
    city: City, seconds: int, clock: LedClock, devices: Devices, reader: PostgresLogReader, start_us: int
) -> None:
    """What a second holds comes in at its end, when the log has the tick of it."""
    tail = Tail(OnePartition(reader), ())
    for second in range(1, seconds + 1):
        sent = city.second()
        clock.move_to(start_us + second * _US)
        tail.until_ticked(start_us + second * _US)
        packets = [
            encode(
                Publish(device_topic(m.enterprise, m.device, "telemetry"), payload(m, start_us / _US), 1, packet_id=n),
                V311,
            )
            for n, m in enumerate(sent, 1)
        ]
        if packets:
            devices.publish(len(packets), b"".join(packets))
        if second % 900 == 0:
            print(f"  {second // 60} minutes of {seconds // 60}", file=sys.stderr, flush=True)
    clock.move_to(start_us + (seconds + 1) * _US)


def _settle(dsn: str) -> None:
    """Until the desk has taken what the engine said, and every text has an answer."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        until(lambda: connection.execute(_LEFT).fetchone() == (False,), "the desk has taken everything", 300.0)


def _report(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        alarms = connection.execute(_ALARMS).fetchall()
        sent = connection.execute(_SENT).fetchall()
        raised = connection.execute(_RAISED).fetchone()
        colours = connection.execute(_COLOURS).fetchall()
    print(f"\n# Alarms: {len(alarms)} conditions, raised {raised[0] if raised else 0} times")
    for enterprise, device, kind, peak, measure, rule, at, is_open, lasted, whom in alarms:
        state = "open" if is_open else "over"
        print(f"{at} {_WORDS[peak]:6} {kind:10} {enterprise}/{device} {measure or ''} {rule} {lasted} s {state} {whom}")
    print("\n# By rule and grade")
    for (rule, peak), count in Counter((row[5], row[3]) for row in alarms).most_common():
        print(f"{count:5} {_WORDS[peak]:6} {rule}")
    print(f"\n# Messages: {len(sent)}")
    for (recipient, status), count in Counter((row[0].partition(":")[0], row[3]) for row in sent).items():
        print(f"{count:5} {recipient} {status}")
    for recipient, channel, at_once, status, text, _ in sent:
        if channel == "sms":
            print(f"- {recipient} {'at once' if at_once else 'bundled'} {status}: {' '.join((text or '').split())}")
    print("\n# Risk colours at the end:", ", ".join(f"{_WORDS[colour]} {count}" for colour, count in colours))
    _reasons(dsn)


def _reasons(dsn: str) -> None:
    """Twenty enterprises from the worst to the best, with what a supervisor reads of each."""
    print("\n# Twenty enterprises: score, colour, reasons")
    with closing(RiskBook(dsn)) as book:
        views = book.list(house("evening"), limit=300).risks
    for place in range(20):
        risk = views[place * (len(views) - 1) // 19].risk
        words = in_words(risk, "en")
        print(f"{risk.enterprise} {risk.score:.1f} {risk.colour.word}: {' | '.join(words.reasons) or 'none'}")


if __name__ == "__main__":
    main()
