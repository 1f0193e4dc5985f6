"""One device: its newest values, what was wrong with its last refused payload and how to mend it, what is open."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from alerting.lists import Wanted
from alerting.views import WatchedAlarm
from console.components.since import Since
from console.pages.device_parts import message_address, payload, refusal, sensor_name
from console.pages.doing import Looking
from console.pages.page import At, Page
from console.pages.parts import badge, card, fact, grade_mark, heading
from console.rows import unit_word
from schemas.payloads import DeviceNow
from schemas.viewers import Act

_LOOK_S = 3.0
_ALARMS = 10


async def build(at: At) -> None:
    view = _View(at)
    await view.load()
    with ui.element("div").classes("a-page t-data"):
        view.draw()
    looking = Looking(_LOOK_S, view.look)
    if at.may(Act.SEE_ALARMS):
        at.reader.change = looking.soon


class _View:
    def __init__(self, at: At) -> None:
        self._at = at
        self._now: DeviceNow
        self._alarms: list[WatchedAlarm] = []
        self._zone = ""
        """What people call its zone."""

    async def load(self) -> None:
        at, services = self._at, self._at.services
        assert services.payloads is not None
        enterprise, device = at.parts["enterprise"], at.parts["device"]
        self._now = await at.ask(services.payloads.last, at.viewer, enterprise, device)
        self._zone = self._now.zone
        if self._zone and at.may(Act.SEE_ENTERPRISES) and services.directory is not None:
            zones = await at.ask(services.directory.zones, at.viewer, enterprise)
            named = (at.name(zone.name, zone.name_en) for zone in zones if zone.zone == self._now.zone)
            self._zone = next(named, self._zone)
        if at.may(Act.SEE_ALARMS):
            wanted = Wanted(open=None, enterprises=[enterprise], device=device)
            self._alarms = (await at.ask(services.people.list_alarms, at.viewer, wanted, _ALARMS)).alarms

    async def look(self) -> None:
        before = self._now, self._alarms
        await self.load()
        if (self._now, self._alarms) != before:
            self.draw.refresh()

    @ui.refreshable_method
    def draw(self) -> None:
        self._head()
        with ui.element("div").classes("a-columns"):
            with ui.element("div").classes("a-left"):
                self._values()
                self._refused()
            with ui.element("div").classes("a-right"):
                self._place()
                self._open()

    def _head(self) -> None:
        at, words, now = self._at, self._at.words, self._now
        with ui.element("header").classes("e-head"):
            with ui.element("div").classes("a-head-what"):
                heading(at.name(now.name, now.name_en) or now.device, 1)
                ui.label(f"{now.enterprise} / {now.device}").classes("t-soft")
            if not now.is_registered:
                badge(words("enterprise.device_state.unclaimed"))
            if now.out_of_service:
                badge(words("enterprise.device_state.out_of_service"))
            if now.silent is not None:
                grade_mark(now.silent.grade.word, words)
                with ui.element("p").classes("t-soft"):
                    ui.label(words("devices.last_heard"))
                    Since(now.silent.since_us, words)

    def _values(self) -> None:
        words, now = self._at.words, self._now
        with card(words("devices.values")):
            if not now.values:
                ui.label(words("devices.no_values")).classes("t-soft")
                return
            with ui.element("table").classes("s-table"), ui.element("tbody"):
                for one in now.values:
                    with ui.element("tr"):
                        ui.element("th").props('scope="row"')._text = sensor_name(one.sensor, words)
                        value = "—" if one.value is None else f"{one.value:.6g}{unit_word(one.unit)}"
                        ui.element("td").classes("d-value")._text = value
                        with ui.element("td"):
                            if one.value is not None:
                                Since(one.event_us, words)

    def _refused(self) -> None:
        words, now = self._at.words, self._now
        with card(words("devices.refused")):
            if now.refused is None:
                ui.label(words("devices.none.refused")).classes("t-soft")
                return
            message = now.refused.message
            with ui.element("p").classes("d-side"):
                Since(message.arrival_us, words, "full")
                badge(words("devices.bytes", count=message.bytes))
                if now.waiting > 1:
                    badge(words("devices.waiting", count=now.waiting))
            refusal(message.told, words)
            payload(now.refused, words)
            ui.link(words("devices.open"), message_address(message)).classes("t-button")

    def _place(self) -> None:
        at, words, now = self._at, self._at.words, self._now
        with card(words("alarm.where")), ui.element("dl").classes("t-facts"):
            fact(words("alarm.enterprise"), now.enterprise, f"/enterprises/{quote(now.enterprise)}")
            fact(words("alarm.zone"), self._zone)
            fact(words("devices.topic"), f"tocsin/v1/{now.enterprise}/{now.device}/telemetry")
            if now.heard_us:
                ui.element("dt")._text = words("devices.first_heard")
                with ui.element("dd"):
                    Since(now.heard_us, at.words, "full")

    def _open(self) -> None:
        words = self._at.words
        if not self._at.may(Act.SEE_ALARMS):
            return
        with card(words("enterprise.alarms")), ui.element("ul").classes("e-alarms"):
            if not self._alarms:
                ui.label(words("enterprise.no_alarms")).classes("t-soft")
            for alarm in self._alarms:
                with ui.element("li").classes("" if alarm.open else "is-over"):
                    grade_mark(alarm.grade, words)
                    ui.link(words(f"kind.{alarm.kind.value}"), f"/alarms/{alarm.key}")
                    Since(alarm.raised_us, words, "full")


PAGE = Page("device", "/devices/{enterprise}/{device}", build, Act.SEE_DEVICES)
