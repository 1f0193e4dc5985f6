"""MQTT topics, version 1: `tocsin/v1/{enterprise}/{device}/telemetry | status | errors | command`, and alarms."""

from __future__ import annotations

from typing import NamedTuple

from schemas.identity import NAME

PREFIX = "tocsin/v1"
LEAVES = ("telemetry", "status", "errors", "command")
STATUS_WORDS = {b"online": 1.0, b"offline": 0.0}


class DeviceTopic(NamedTuple):
    enterprise: str
    device: str
    leaf: str

    @classmethod
    def parse(cls, topic: str) -> DeviceTopic | None:
        """None when `topic` is not a device's topic of this version."""
        parts = topic.split("/")
        if len(parts) != 5 or parts[0] != "tocsin" or parts[1] != "v1" or parts[4] not in LEAVES:
            return None
        if not (NAME.match(parts[2]) and NAME.match(parts[3])):
            return None
        return cls(parts[2], parts[3], parts[4])


def device_topic(enterprise: str, device: str, leaf: str) -> str:
    return f"{PREFIX}/{enterprise}/{device}/{leaf}"


def alarms_topic(enterprise: str) -> str:
    """Each alarm event, not retained."""
    return f"{PREFIX}/{enterprise}/alarms"


def alarms_state_topic(enterprise: str) -> str:
    """The enterprise's open alarms as one list, retained."""
    return f"{PREFIX}/{enterprise}/alarms/state"
