"""What was wrong with a message and how to mend it, and its payload, drawn as text."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from nicegui import ui

from console.rows import unit_word
from console.words import Words
from schemas.measures import BY_NAME
from schemas.payloads import DeviceLine, RefusedDetail, RefusedMessage, Told


def device_address(enterprise: str, device: str) -> str:
    return f"/devices/{quote(enterprise)}/{quote(device)}"


def message_address(message: RefusedMessage) -> str:
    return f"/devices/refused/{message.arrival_us}?source={quote(message.source)}"


def device_state(device: DeviceLine) -> str:
    """In one word: what a person looks for first."""
    if not device.is_registered:
        return "unclaimed"
    if device.out_of_service:
        return "out_of_service"
    if device.is_silent:
        return "silent"
    if not device.heard_us:
        return "never"
    return "refused" if device.waiting else "well"


def sensor_name(sensor: str, words: Words) -> str:
    """`temperature.2` in words."""
    measure, _, channel = sensor.partition(".")
    key = f"measure.{measure}"
    return f"{words(key) if key in words else measure} {channel}".strip()


def value_words(words: Words, sensor: str, value: float) -> str:
    """`Temperature 22.5 °C`."""
    known = BY_NAME.get(sensor.partition(".")[0])
    return f"{sensor_name(sensor, words)} {value:.6g}{unit_word(known.unit if known else '')}"


def refusal(told: Sequence[Told], words: Words) -> None:
    """Each field that was refused: which, why, and the mend."""
    chinese = words.language == "zh"
    with ui.element("ul").classes("d-told"):
        for one in told:
            with ui.element("li"):
                if one.field:
                    ui.label(one.field).classes("p-id")
                ui.label(one.reason_zh if chinese else one.reason).classes("d-why")
                mend = one.mend_zh if chinese else one.mend
                if mend:
                    with ui.element("p").classes("h-mend"):
                        ui.icon("build")
                        ui.label(mend)


def payload(detail: RefusedDetail, words: Words) -> None:
    """As text, never as markup."""
    shown = ui.element("pre").classes("d-payload").props('tabindex="0"')
    shown._text = detail.text + (" …" if detail.is_cut else "")
    if detail.hex:
        ui.label(words("devices.hex")).classes("t-soft")
        ui.element("pre").classes("d-payload")._text = detail.hex
