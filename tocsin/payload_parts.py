"""What stands behind questions about payloads, put together: the store for values, the log of acts, the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ingest.payload_rows import Stored
from ingest.payloads import Payloads
from registry import audit
from schemas.entries import DeviceFacts
from schemas.measures import BY_NAME
from schemas.rules import Rule, RulePack
from streams.plans import Facts, Plans
from streams.store.edge import session
from streams.store.queries import history, last_values
from tocsin.settings import connect_dsn

_DAY_US = 86_400_000_000
_AHEAD_US = 3_600_000_000
"""Beyond now: devices' clocks may run ahead."""


@contextmanager
def open_payloads(data: Path | None) -> Iterator[Payloads]:
    """Of the Tocsin that a command means."""
    with closing(make_payloads(connect_dsn(data))) as payloads:
        yield payloads


def wall_us() -> int:
    return time.time_ns() // 1000


def make_payloads(dsn: str, clock: Callable[[], int] = wall_us) -> Payloads:
    """clock: the house's, where it may be another than the machine's: readings have its times."""
    return Payloads(dsn, newest_stored(dsn, clock), audit=audit.record, clock=clock)


def newest_stored(dsn: str, clock: Callable[[], int] = wall_us) -> Callable[[Sequence[int]], Mapping[int, Stored]]:
    """Sensor ids → their newest readings, as stored up to some seconds ago. About two milliseconds a sensor."""

    def ask(ids: Sequence[int]) -> Mapping[int, Stored]:
        now_us = clock()
        with session(dsn, "tocsin-newest") as connection:
            saved = last_values(connection, ids)
            columns = (saved.sensor_id, saved.event_time, saved.value, saved.quality)
            found = {
                number: Stored(at, value, quality)
                for number, at, value, quality in zip(*(column.tolist() for column in columns), strict=True)
            }
            for number in ids:
                # What is newer than the saved value lies in the blocks of the last minutes.
                since_us = found[number].event_us if number in found else now_us - _DAY_US
                newer = history(connection, number, since_us, now_us + _AHEAD_US)
                if len(newer):
                    found[number] = Stored(int(newer.event_time[-1]), float(newer.value[-1]), int(newer.quality[-1]))
        return found

    return ask


def rules_of(pack: RulePack, facts: DeviceFacts, measures: Iterable[str]) -> tuple[dict[str, list[Rule]], list[Rule]]:
    """Measure → the rules that judge a device's sensors of it; and those of its silence."""
    plans = Plans(pack)
    selection = plans.select(Facts.of(facts), facts.enterprise, f"{facts.enterprise}/{facts.device}")
    codes = {name: BY_NAME[name].code for name in measures if name in BY_NAME}
    of_measures = {name: list(plans.of_plan[plans.sensor_plan(selection, code)]) for name, code in codes.items()}
    return of_measures, list(plans.of_silence_plan[plans.silence_plan(selection)])
