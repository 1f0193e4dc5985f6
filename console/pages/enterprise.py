"""One enterprise: its risk and why, its premises, devices with their state, whom to call, its alarms, its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from nicegui import ui

from alerting.lists import Wanted
from alerting.views import WatchedAlarm
from console.components.since import Since
from console.pages.alarm_chart import time_axis
from console.pages.contacts import ContactsCard
from console.pages.device_parts import device_address, device_state
from console.pages.doing import Looking
from console.pages.page import At, Page
from console.pages.parts import act_button, card, fact, grade_mark, heading, hours_said
from console.pages.risk_parts import reasons, remedies, risk_mark, terms, with_names
from console.words import Words
from registry.trades import trade_of
from registry.views import Change, ContactView, EnterpriseView
from schemas.enterprises import Zone
from schemas.hours import is_open_at
from schemas.payloads import DeviceLine
from schemas.viewers import Act
from streams.risk_book import RiskChapter, RiskView, UnknownRisk

_LOOK_S = 10.0
_ALARMS, _CHANGES, _CHAPTERS, _DEVICES = 15, 8, 200, 500
_DEVICES_FIRST = 30
"""The others are drawn when asked for."""


@dataclass(slots=True)
class _Known:
    """What the page shows; parts that the viewer may not see stay empty."""

    enterprise: EnterpriseView
    zones: list[Zone] = field(default_factory=list)
    risk: RiskView | None = None
    chapters: Sequence[RiskChapter] = ()
    devices: Sequence[DeviceLine] = ()
    contacts: Sequence[ContactView] = ()
    alarms: Sequence[WatchedAlarm] = ()
    changes: Sequence[Change] = ()
    own_rules: Sequence[tuple[str, str]] = ()
    """Rule, and how it is for this enterprise alone, in words."""


async def build(at: At) -> None:
    code = at.parts["code"]
    view = _View(at, await _known(at, code))
    view.draw()
    looking = Looking(_LOOK_S, view.look)

    def change(rows: dict[str, Any]) -> None:
        if rows.get("gone") or any(row["enterprise"] == code for row in rows["rows"]):
            looking.soon()

    if at.may(Act.SEE_ALARMS):
        at.reader.change = change


async def _known(at: At, code: str) -> _Known:
    services, viewer = at.services, at.viewer
    assert services.directory is not None and services.risk is not None and services.payloads is not None
    known = _Known(await at.ask(services.directory.enterprise, viewer, code))
    asked: dict[str, Awaitable[Any]] = {
        "zones": at.ask(services.directory.zones, viewer, code),
        "changes": _changes_of(at, code),
    }
    if at.may(Act.SEE_RISK):
        asked["risk"], asked["chapters"] = _risk_of(at, code), _chapters_of(at, code)
    if at.may(Act.SEE_DEVICES):
        asked["devices"] = _devices_of(at, code)
    if at.may(Act.SEE_CONTACTS):
        asked["contacts"] = at.ask(services.directory.contacts, viewer, code)
    if at.may(Act.SEE_ALARMS):
        asked["alarms"] = _alarms_of(at, code)
    if at.may(Act.SEE_RULES) and services.rules is not None:
        asked["own_rules"] = _rules_of(at, code)
    for name, found in zip(asked, await asyncio.gather(*asked.values()), strict=True):
        setattr(known, name, found)
    return known


async def _risk_of(at: At, code: str) -> RiskView | None:
    """None: it is on file and has not been scored yet."""
    assert at.services.risk is not None
    with suppress(UnknownRisk):
        return await at.ask(at.services.risk.of, at.viewer, code)
    return None


async def _chapters_of(at: At, code: str) -> Sequence[RiskChapter]:
    assert at.services.risk is not None
    with suppress(UnknownRisk):
        return await at.ask(at.services.risk.history, at.viewer, code, limit=_CHAPTERS)
    return ()


async def _devices_of(at: At, code: str) -> Sequence[DeviceLine]:
    assert at.services.payloads is not None
    return (await at.ask(at.services.payloads.devices, at.viewer, enterprise=code, limit=_DEVICES)).devices


async def _alarms_of(at: At, code: str) -> Sequence[WatchedAlarm]:
    wanted = Wanted(open=None, enterprises=[code])
    return (await at.ask(at.services.people.list_alarms, at.viewer, wanted, _ALARMS)).alarms


async def _changes_of(at: At, code: str) -> Sequence[Change]:
    assert at.services.directory is not None
    return (await at.ask(at.services.directory.changes, at.viewer, code, _CHANGES)).changes


async def _rules_of(at: At, code: str) -> Sequence[tuple[str, str]]:
    assert at.services.rules is not None
    pack, words = await at.ask(at.services.rules.words, at.viewer), at.words
    return [
        (rule.id, words("rules.off") if own.off else own.said[words.language].sentence)
        for rule in pack.rules
        for own in rule.exceptions
        if own.enterprise == code
    ]


class _View:
    """An open page; what has changed is drawn anew, and nothing else: somebody may be at work in it."""

    def __init__(self, at: At, known: _Known) -> None:
        self._at = at
        self._known = known
        self._contacts = ContactsCard(at, known.enterprise.code, known.contacts)
        self._all_devices = False

    async def look(self) -> None:
        before, now = self._known, await _known(self._at, self._known.enterprise.code)
        self._known = now
        if (before.enterprise, before.risk) != (now.enterprise, now.risk):
            self._head.refresh()
        if before.alarms != now.alarms:
            self._alarms.refresh()
        if (before.risk, before.chapters) != (now.risk, now.chapters):
            self._risk.refresh()
        if (before.devices, before.zones) != (now.devices, now.zones):
            self._devices.refresh()
        if (before.enterprise, before.zones) != (now.enterprise, now.zones):
            self._premises.refresh()
        if before.changes != now.changes:
            self._changes.refresh()
        self._contacts.show(now.contacts)

    def draw(self) -> None:
        with ui.element("div").classes("a-page t-data"):
            self._head()
            with ui.element("div").classes("a-columns"):
                with ui.element("div").classes("a-left"):
                    self._alarms()
                    self._risk()
                    self._devices()
                with ui.element("div").classes("a-right"):
                    if self._at.may(Act.SEE_CONTACTS):
                        self._contacts.draw()
                    self._premises()
                    self._own_rules()
                    self._changes()

    @ui.refreshable_method
    def _head(self) -> None:
        at, one, risk = self._at, self._known.enterprise, self._known.risk
        trade = trade_of(one.trade)
        with ui.element("header").classes("e-head"):
            if risk is not None:
                with ui.element("div").classes("e-mark"):
                    risk_mark(risk.colour, risk.risk.score, at.words)
            with ui.element("div").classes("a-head-what"):
                heading(at.name(one.name, one.name_en), 1)
                what = (at.name(trade.name, trade.name_en), at.name(one.district_name, one.district_name_en))
                ui.label(" · ".join(word for word in what if word)).classes("a-head-where")
                ui.label(self._hours()).classes("t-soft")
            with ui.link(target=f"/map?enterprise={quote(one.code)}").classes("t-button"):
                ui.icon("map")
                ui.label(at.words("alarm.map"))

    def _hours(self) -> str:
        at, one = self._at, self._known.enterprise
        now = is_open_at(one.hours, one.timezone, at.now_us())
        if now is None:
            return at.words("enterprise.hours_unknown")
        return f"{at.words('enterprise.open' if now else 'enterprise.closed')} · {hours_said(one.hours, at.words)}"

    @ui.refreshable_method
    def _alarms(self) -> None:
        at, words = self._at, self._at.words
        if not at.may(Act.SEE_ALARMS):
            return
        with card(words("enterprise.alarms")):
            if not self._known.alarms:
                ui.label(words("enterprise.no_alarms")).classes("t-soft")
            with ui.element("ul").classes("e-alarms"):
                for alarm in self._known.alarms:
                    with ui.element("li").classes("" if alarm.open else "is-over"):
                        grade_mark(alarm.grade, words)
                        ui.link(self._what(alarm), f"/alarms/{alarm.key}")
                        zone = at.name(alarm.zone_name, alarm.zone_name_en) or alarm.device
                        over = "" if alarm.open else words("watch.standing.over")
                        ui.label(" · ".join(filter(None, (zone, over)))).classes("t-soft")
                        Since(alarm.raised_us, words, "full")

    def _what(self, alarm: WatchedAlarm) -> str:
        words = self._at.words
        key = f"measure.{alarm.measure}"
        measure = words(key) if key in words else alarm.measure
        return " · ".join(word for word in (words(f"kind.{alarm.kind.value}"), measure) if word)

    @ui.refreshable_method
    def _risk(self) -> None:
        words, view = self._at.words, self._known.risk
        if not self._at.may(Act.SEE_RISK):
            return
        with card(words("enterprise.risk")):
            if view is None:
                ui.label(words("map.colour.unknown")).classes("t-soft")
                return
            ui.label(words("supervisor.own_colour")).classes("t-soft s-own")
            heading(words("enterprise.why"), 3)
            risk = with_names(view, words)
            reasons(risk, words)
            heading(words("enterprise.lower"), 3)
            remedies(risk, words)
            if len(self._known.chapters) > 1:
                heading(words("enterprise.history"), 3)
                chart = _history(self._known.chapters, view.risk.score, self._at.now_us(), words)
                ui.echart(chart, renderer="svg").classes("e-history")
            with ui.element("details").classes("e-terms"):
                ui.element("summary")._text = words("enterprise.terms")
                terms(view.risk, words)

    @ui.refreshable_method
    def _devices(self) -> None:
        at, words = self._at, self._at.words
        if not at.may(Act.SEE_DEVICES):
            return
        zones = {zone.zone: at.name(zone.name, zone.name_en) for zone in self._known.zones}
        with card(words("enterprise.devices")):
            if not self._known.devices:
                ui.label(words("enterprise.no_devices")).classes("t-soft")
                return
            with ui.element("table").classes("s-table e-devices"):
                with ui.element("thead"), ui.element("tr"):
                    for key in ("device", "zone", "state", "newest"):
                        ui.element("th").props('scope="col"')._text = words(f"enterprise.{key}")
                with ui.element("tbody"):
                    shown = None if self._all_devices else _DEVICES_FIRST
                    for device in self._known.devices[:shown]:
                        self._device(device, zones.get(device.zone, device.zone))
            if len(self._known.devices) > _DEVICES_FIRST and not self._all_devices:
                act_button(words("enterprise.all_devices", count=len(self._known.devices)), self._show_all_devices)

    def _show_all_devices(self) -> None:
        self._all_devices = True
        self._devices.refresh()

    def _device(self, device: DeviceLine, zone: str) -> None:
        at, words = self._at, self._at.words
        with ui.element("tr"):
            with ui.element("td"):
                name = at.name(device.name, device.name_en) or device.device
                ui.link(name, device_address(device.enterprise, device.device))
            ui.element("td")._text = zone
            state = device_state(device)
            with ui.element("td"):
                ui.label(words(f"enterprise.device_state.{state}")).classes(f"e-state is-{state}")
            with ui.element("td"):
                if device.newest_us:
                    Since(device.newest_us, words)

    @ui.refreshable_method
    def _premises(self) -> None:
        at, words, one = self._at, self._at.words, self._known.enterprise
        with card(words("enterprise.premises")), ui.element("dl").classes("t-facts"):
            fact(words("alarm.address"), at.name(one.address, one.address_en))
            fact(words("enterprise.code"), one.code)
            for name in ("built", "wired", "area_m2", "people"):
                value = getattr(one, name)
                said = words("enterprise.unknown") if value is None else words(f"enterprise.said.{name}", value=value)
                fact(words(f"enterprise.{name}"), said)
            flame = {True: "yes", False: "no", None: "unknown"}[one.open_flame]
            fact(words("enterprise.open_flame"), words(f"enterprise.{flame}"))
            flammables = f"flammable.{one.flammables.value}" if one.flammables else "unknown"
            fact(words("enterprise.flammables"), words(f"enterprise.{flammables}"))
            zones = "、" if words.language == "zh" else ", "
            fact(words("enterprise.zones"), zones.join(at.name(zone.name, zone.name_en) for zone in self._known.zones))

    def _own_rules(self) -> None:
        words = self._at.words
        if not self._known.own_rules:
            return
        with card(words("enterprise.own_rules")), ui.element("ul").classes("p-exceptions"):
            for rule, said in self._known.own_rules:
                with ui.element("li"):
                    ui.link(rule, f"/rules#{rule}").classes("p-id")
                    ui.label(said)

    @ui.refreshable_method
    def _changes(self) -> None:
        words = self._at.words
        if not self._known.changes:
            return
        with card(words("enterprise.changes")), ui.element("ol").classes("e-changes"):
            for change in self._known.changes:
                with ui.element("li"):
                    act = "added" if change.before is None else "removed" if change.after is None else "changed"
                    what = words(f"enterprise.kind.{change.what}")
                    said = words(f"enterprise.{act}", who=change.who, what=what, of=change.key)
                    ui.label(said)
                    fields = _changed(change)
                    if fields and act == "changed":
                        ui.label(", ".join(fields)).classes("t-soft")
                    Since(round(change.at.timestamp() * 1e6), words, "full")


def _changed(change: Change) -> list[str]:
    before, after = change.before or {}, change.after or {}
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key) and key != "version")


def _history(chapters: Sequence[RiskChapter], score: float, now_us: int, words: Words) -> dict[str, Any]:
    """The score over time, in steps up to the present one, for ECharts; chapters come newest first."""
    points = [[chapter.at_us / 1000, round(chapter.score, 1)] for chapter in reversed(chapters)]
    points.append([max(now_us / 1000, points[-1][0]), round(score, 1)])
    text = {"color": "var(--soft)", "fontFamily": "inherit", "fontSize": 12}
    colours = (("yellow", "var(--yellow-fill)", 15), ("orange", "var(--orange)", 30), ("red", "var(--red)", 40))
    limits = [
        {
            "yAxis": limit,
            "lineStyle": {"color": ink},
            "label": {
                "formatter": f"{words('map.colour.' + colour)} ≥ {limit}",
                "position": "insideStartTop",
                "distance": 2,
                "color": "var(--ink)",
                "fontSize": 11,
            },
        }
        for colour, ink, limit in colours
    ]
    return {
        "animation": False,
        "grid": {"left": 36, "right": 12, "top": 12, "bottom": 24},
        "xAxis": time_axis(),
        "yAxis": {
            "type": "value", "min": 0, "max": 100, "interval": 20, "axisLabel": text,
            "splitLine": {"lineStyle": {"color": "var(--line)"}},
        },
        "tooltip": {
            "trigger": "axis", "backgroundColor": "var(--surface)", "borderColor": "var(--line)",
            "textStyle": {"color": "var(--ink)"},
        },
        "series": [
            {
                "type": "line", "step": "end", "data": points, "showSymbol": False,
                "name": words("enterprise.risk"),
                "lineStyle": {"color": "var(--accent)", "width": 2}, "itemStyle": {"color": "var(--accent)"},
                "markLine": {"silent": True, "symbol": "none", "data": limits},
            }
        ],
    }  # fmt: skip


PAGE = Page("enterprise", "/enterprises/{code}", build, Act.SEE_ENTERPRISES)
