"""Rows of the lists of devices: a refused message, a silent device, one that nobody has claimed, one by name."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from console.components.since import Since
from console.pages.device_parts import device_address, device_state, message_address, refusal, value_words
from console.pages.page import At
from console.pages.parts import badge, grade_mark
from registry.views import Unclaimed
from schemas.payloads import DeviceLine, RefusedMessage, SilentDevice

_NEWEST, _SENSORS = 4, 8


def refused_row(at: At, one: RefusedMessage) -> None:
    words = at.words
    with ui.element("div"):
        _name(f"{one.enterprise} / {one.device}", one.enterprise, one.device)
        refusal(one.told, words)
    with ui.element("div").classes("d-side"):
        Since(one.arrival_us, words, "full")
        badge(words("devices.bytes", count=one.bytes))
        if one.replayed_us:
            badge(words("devices.replayed"), "is-good")
        elif one.asked_us:
            badge(words("devices.asked"))
        elif one.tries:
            badge(words("devices.again", count=one.tries))
    ui.link(words("devices.open"), message_address(one)).classes("t-button is-small")


def silent_row(at: At, one: SilentDevice) -> None:
    words = at.words
    with ui.element("div"):
        _name(at.name(one.name, one.name_en) or one.device, one.enterprise, one.device)
        ui.label(" · ".join(word for word in (one.enterprise, one.zone) if word)).classes("t-soft")
    with ui.element("div").classes("d-side"):
        grade_mark(one.grade.word, words)
        ui.label(words("devices.last_heard")).classes("t-soft")
        Since(one.since_us, words)
    ui.link(words("frame.page.alarm"), f"/alarms/{quote(one.alarm)}").classes("t-button is-small")


def unclaimed_row(at: At, one: Unclaimed) -> None:
    words = at.words
    with ui.element("div"):
        _name(f"{one.enterprise} / {one.device}", one.enterprise, one.device)
        newest = [value_words(words, at_.sensor, at_.value) for at_ in one.newest[:_NEWEST]]
        ui.label(" · ".join(newest) or ", ".join(one.sensors[:_SENSORS])).classes("t-soft")
    with ui.element("div").classes("d-side"):
        ui.label(words("devices.first_heard")).classes("t-soft")
        Since(round(one.heard_at.timestamp() * 1e6), words)
        if not one.known_enterprise:
            badge(words("devices.unknown_enterprise"))


def named_row(at: At, one: DeviceLine) -> None:
    words = at.words
    with ui.element("div"):
        _name(at.name(one.name, one.name_en) or one.device, one.enterprise, one.device)
        ui.label(f"{one.enterprise} / {one.device}").classes("t-soft")
    state = device_state(one)
    with ui.element("div").classes("d-side"):
        ui.label(words(f"enterprise.device_state.{state}")).classes(f"e-state is-{state}")
        if one.newest_us:
            ui.label(words("devices.last_heard")).classes("t-soft")
            Since(one.newest_us, words)


def _name(said: str, enterprise: str, device: str) -> None:
    ui.link(said, device_address(enterprise, device)).classes("e-name")
