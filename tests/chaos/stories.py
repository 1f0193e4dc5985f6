"""What the devices live through, made so that their alarms can be known beforehand whatever is killed.

With `ts`: four sensors a device wander between levels of the default pack's limits; event time starts behind the
arrival and runs ahead of it, faster than life, within the 300 s that count as live.  The naive twin says their alarms.
Without `ts`: conditions whose steps do not depend on how long a message was under way, each with a serial in its value.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from streams.packs import load_pack
from tests.chaos.feeder import Client, Feeder, Message, Story, now_us

TIMED, UNTIMED = "ts", "nt"
BEHIND_S, AHEAD_S = -180.0, 200.0
EVERY_S = 2.0
"""Of event time, between two messages of a device that sends `ts`."""
SILENT_AFTER_S = 20.0
TAMPER_S = 5.0

_LEVELS: dict[str, tuple[tuple[float, float, float], ...]] = {
    # level, shortest and longest stay in seconds of event time
    "temperature": ((22, 20, 60), (48, 22, 60), (58, 14, 40), (95, 6, 20), (40, 20, 90)),
    "gas": ((1, 15, 70), (12, 18, 40), (30, 18, 40), (60, 8, 30)),
    "residual_current": ((40, 20, 70), (350, 32, 60), (600, 12, 40), (1200, 7, 20)),
    "smoke": ((0.1, 20, 70), (2.6, 20, 40), (6, 20, 40), (15, 6, 20)),
}
_KINDS = ("temperature", "tamper", "tamper", "tamper", "call_point")
"""Most of them yellow, so that many are on their way: a bundle gathers for a minute."""


def chaos_pack() -> str:
    """The default pack with silence after 20 s, so that a test lives to hear it."""
    text = load_pack().toml
    slow = 'raise   = { at_least = "300s", periods = 3 }'
    assert slow in text
    return text.replace(slow, f'raise   = {{ at_least = "{SILENT_AFTER_S:.0f}s", periods = 3 }}')


@dataclass
class Expected:
    """What is known beforehand of the devices without `ts`. Messages are those that begin, complete or end a thing."""

    raised_by: dict[str, Message] = field(default_factory=dict)
    """Sensor key → the message at whose arrival its alarm begins."""
    cleared_by: dict[str, Message] = field(default_factory=dict)
    last_heard: dict[str, Message] = field(default_factory=dict)
    """Device key → the last message before it fell silent."""
    serials: dict[str, dict[int, Message]] = field(default_factory=dict)
    """Sensor key of the serial → serial → message."""


def event_time_ms(feeder: Feeder, planned_s: float) -> int:
    """Event time now: from BEHIND_S to AHEAD_S of the wall clock over the planned length, then beside it."""
    at = now_us()
    share = min(1.0, (at - feeder.began_us) / 1e6 / planned_s)
    return int(at / 1000 + 1000 * (BEHIND_S + (AHEAD_S - BEHIND_S) * share))


def timed(number: int, seed: int, planned_s: float) -> Story:
    """A device that sends its own time."""
    chance = random.Random(f"{seed}-timed-{number}")
    enterprise = f"{TIMED}-{number:03d}"

    async def story(feeder: Feeder, client: Client) -> None:
        levels = {measure: chance.choice(choices) for measure, choices in _LEVELS.items()}
        until = {measure: chance.uniform(*level[1:]) for measure, level in levels.items()}
        ts_ms = event_time_ms(feeder, planned_s) - int(1000 * chance.uniform(0, EVERY_S))
        start_ms = ts_ms
        ended = False
        while not ended:
            since_s = (ts_ms - start_ms) / 1000
            values = {}
            for measure, choices in _LEVELS.items():
                if since_s >= until[measure]:
                    levels[measure] = chance.choice(choices)
                    until[measure] = since_s + chance.uniform(*levels[measure][1:])
                values[measure] = round(levels[measure][0] * (1 + chance.uniform(-0.01, 0.01)), 3)
            feeder.send(client, enterprise, "a", values, ts_ms)
            ts_ms += int(1000 * EVERY_S)
            while not ended and event_time_ms(feeder, planned_s) < ts_ms:
                ended = await feeder.pause(0.1)

    return story


def untimed(number: int, seed: int, planned_s: float, expected: Expected) -> Story:
    """A device without a clock, and a second one behind the same connection that falls silent."""
    chance = random.Random(f"{seed}-untimed-{number}")
    enterprise = f"{UNTIMED}-{number:03d}"
    turns = int(planned_s)

    async def story(feeder: Feeder, client: Client) -> None:
        serials: dict[str, int] = {}

        def send(device: str, values: dict[str, float]) -> Message:
            key = f"{enterprise}/{device}/value"
            serial = serials[key] = serials.get(key, 0) + 1
            message = feeder.send(client, enterprise, device, {"value": serial, **values})
            expected.serials.setdefault(key, {})[serial] = message
            return message

        await feeder.pause(chance.uniform(0, 1))
        silent_from = chance.randint(6, max(10, turns * 6 // 10))
        begins = {turn: chance.choice(_KINDS) for turn in range(1, turns, 2)}
        pressed: list[tuple[str, Message]] = []
        turn, ended = 0, False
        while not ended:
            measure = begins.get(turn)
            if measure is not None:
                sensor = f"{measure}.c{turn}"
                first = send("a", {sensor: 95.0 if measure == "temperature" else 1})
                expected.raised_by[f"{enterprise}/a/{sensor}"] = first
                if measure == "temperature":
                    send("a", {sensor: 95.5})
                    send("a", {sensor: 96.0})
                elif measure == "call_point":
                    pressed.append((sensor, first))
            # a call point is put back once its press is known to have arrived
            for sensor, message in [p for p in pressed if p[1].acked_us]:
                pressed.remove((sensor, message))
                expected.cleared_by[f"{enterprise}/a/{sensor}"] = send("a", {sensor: 0})
            send("a", {"humidity": 50.0 + turn % 3})
            if turn < silent_from:
                expected.last_heard[f"{enterprise}/s"] = send("s", {"humidity": 40.0 + turn % 3})
            turn += 1
            ended = await feeder.pause(1.0)

    return story
