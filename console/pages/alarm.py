"""One alarm: what it is, what to do now, its evidence, where it is, whom to call, and what has happened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from nicegui import ui

from alerting.views import AlarmDetail, Assignee, Message
from console.acts import Acts
from console.components.since import Since
from console.pages import alarm_chart
from console.pages.alarm_story import channel, names_of, quantity, reason, story, who
from console.pages.doing import Looking
from console.pages.page import At, Page
from console.pages.parts import act_button, badge, card, fact, grade_mark
from schemas.alarms import Kind, State
from schemas.enterprises import Contact
from schemas.viewers import Act
from streams.pack_words import PackWords

_LOOK_S = 5.0
"""So often the readings are looked at while the alarm is young: the store is some seconds behind."""
_YOUNG_US = 15 * 60 * 1_000_000
_SECRET = re.compile(r"-{8,}")
"""What stands in a kept text for the secret of its link."""


async def build(at: At) -> None:
    view = _View(at, at.parts["key"])
    await view.load()
    view.draw()
    looking = Looking(_LOOK_S, view.look)

    def change(rows: dict[str, Any]) -> None:
        if view.heard_of(rows):
            looking.soon()

    at.reader.change = change


class _View:
    """An open page of one alarm: drawn anew, part by part, when something about it has changed."""

    def __init__(self, at: At, key: str) -> None:
        self._at = at
        self._key = key
        self._acts = Acts(at)
        self._detail: AlarmDetail
        self._contacts: Sequence[Contact] = ()
        self._former: Sequence[Contact] = ()
        """Who was a contact before, for their names alone."""
        self._assignees: list[Assignee] = []
        self._pack: PackWords | None = None
        self._chart: ui.echart | None = None
        self._chart_word: ui.label | None = None
        self._refusal = ""
        self._heard = True
        """Something about it may have changed since it was read; also while the page was made."""

    async def load(self) -> None:
        at, services = self._at, self._at.services
        self._detail = await at.ask(services.people.show, at.viewer, self._key)
        if services.directory is not None and at.may(Act.SEE_CONTACTS):
            enterprise = self._detail.alarm.enterprise
            self._contacts = await at.ask(services.directory.contacts, at.viewer, enterprise)
            self._former = await at.ask(services.directory.former_contacts, at.viewer, enterprise)
        if services.rules is not None and at.may(Act.SEE_RULES):
            self._pack = await at.ask(services.rules.words, at.viewer)
        if at.may(Act.DIRECT):
            self._assignees = await at.ask(services.people.assignees, at.viewer, self._key)

    def draw(self) -> None:
        with ui.element("div").classes("a-page t-data"):
            self._head()
            with ui.element("div").classes("a-columns"):
                with ui.element("div").classes("a-left"):
                    self._do_now()
                    self._evidence()
                    self._story()
                with ui.element("div").classes("a-right"):
                    self._where()
                    self._call()
                    self._messages()
                    self._rule()

    def heard_of(self, change: dict[str, Any]) -> bool:
        """Of the feed: something in the viewer's scope has changed; whether it is this alarm, or may be."""
        rows = change.get("rows", ())
        mine = any(row["key"] == self._key for row in rows) or self._key in change.get("gone", ())
        self._heard = self._heard or mine or bool(change.get("whole"))
        return self._heard

    async def look(self) -> None:
        """What has changed; young alarms get their readings as the store has them."""
        if self._heard or self._at.now_us() - self._detail.alarm.event_us < _YOUNG_US:
            self._heard = False
            try:
                await self._again()
            except BaseException:
                self._heard = True
                raise

    async def _again(self) -> None:
        before = self._detail
        self._detail = await self._at.ask(self._at.services.people.show, self._at.viewer, self._key)
        if before != self._detail:
            self._head.refresh()
            self._do_now.refresh()
            self._messages.refresh()
            self._story.refresh()
            self._draw_chart()

    # --- its parts ---

    @ui.refreshable_method
    def _head(self) -> None:
        words, alarm = self._at.words, self._detail.alarm
        with ui.element("header").classes(f"a-head is-{alarm.grade}" + ("" if alarm.active else " is-over")):
            grade_mark(alarm.grade, words)
            with ui.element("div").classes("a-head-what"):
                ui.element("h1")._text = f"{words('kind.' + alarm.kind.value)} · {self._measure()}"
                name = self._at.name(alarm.enterprise_name, alarm.enterprise_name_en) or alarm.enterprise
                ui.label(f"{name} · {self._place()}").classes("a-head-where")
                with ui.element("p").classes("a-head-state"):
                    shown = quantity(alarm.value, alarm.unit, alarm.family, words)
                    limit = quantity(alarm.limit, alarm.unit, alarm.family, words)
                    if shown:
                        badge(words("watch.value", value=shown, limit=limit) if limit else shown)
                    badge(words("watch.standing." + self._standing()))
                    with ui.element("span").classes("a-since"):
                        ui.label(words("alarm.since"))
                        Since(alarm.raised_us, words)
                    if alarm.assigned_to:
                        badge(words("alarm.assigned", to=alarm.assigned_to))
                    if alarm.verdict:
                        badge(words("alarm.verdict_said", verdict=words(f"alarm.verdict.{alarm.verdict}")))
                if alarm.acknowledged:
                    ui.label(words("alarm.story.acknowledged", by=alarm.acknowledged_by)).classes("w-answer")
                else:
                    ui.label(words("watch.nobody")).classes("w-noanswer")
            with ui.element("div").classes("a-acts"):
                self._buttons()
        if alarm.late:
            ui.label(words("alarm.late_note")).classes("a-note")
        if alarm.suppression != "none":
            why = words("watch.standing." + alarm.suppression)
            ui.label(words("alarm.suppressed", why=why)).classes("a-note")
        if self._refusal:
            ui.label(self._refusal).classes("a-refusal").props('role="alert"')

    def _buttons(self) -> None:
        at, words, alarm = self._at, self._at.words, self._detail.alarm
        if at.may(Act.ACKNOWLEDGE) and not alarm.acknowledged and alarm.open:
            act_button(words("watch.acknowledge"), lambda: self._act("acknowledge"), main=True, test="acknowledge")
        if at.may(Act.DIRECT) and alarm.latched and not alarm.active:
            act_button(words("watch.reset"), lambda: self._act("reset"), main=True, test="reset")
        if at.may(Act.DIRECT) and not alarm.active and not alarm.verdict:
            with ui.element("div").classes("a-verdict"):
                ui.label(words("alarm.verdict_ask"))
                for word in ("real", "false", "test"):
                    act_button(words(f"alarm.verdict.{word}"), partial(self._act, "verdict", word))
        if at.may(Act.DIRECT) and alarm.open:
            if alarm.assigned_to != at.viewer.name and any(one.login == at.viewer.name for one in self._assignees):
                act_button(words("watch.take"), lambda: self._act("assign", at.viewer.name))
            self._assign()

    def _assign(self) -> None:
        words, alarm = self._at.words, self._detail.alarm
        others = {one.login: one.name or one.login for one in self._assignees}
        if len(others) < 2:
            return
        select = ui.element("select").classes("t-field").props(f'aria-label="{words("alarm.assign")}"')
        with select:
            for login, name in {"": words("alarm.assign_nobody"), **others}.items():
                option = ui.element("option").props(f'value="{login}"')
                option._text = f"{words('alarm.assign')}: {name}"
                if login == alarm.assigned_to:
                    option.props("selected")
        select.on("change", lambda event: self._act("assign", str(event.args)), js_handler="e => emit(e.target.value)")

    @ui.refreshable_method
    def _do_now(self) -> None:
        words, alarm = self._at.words, self._detail.alarm
        key = f"action.{alarm.kind.value}.{alarm.grade}"
        if not alarm.active or key not in words:
            return
        with ui.element("section").classes(f"t-card a-do is-{alarm.grade}"):
            ui.element("h2")._text = words("alarm.do_now")
            said = words(key)
            ui.label(said[:1].upper() + said[1:])

    def _evidence(self) -> None:
        with card(self._at.words("alarm.chart")) as where:
            self._chart_place = where
            self._draw_chart()

    def _draw_chart(self) -> None:
        words, detail = self._at.words, self._detail
        if detail.readings and self._chart is not None:
            self._chart.options.clear()
            self._chart.options.update(alarm_chart.options(detail, words))
            self._chart.update()
            return
        if self._chart_word is not None:
            self._chart_word.delete()
            self._chart_word = None
        with self._chart_place:
            if detail.readings:
                self._chart = ui.echart(alarm_chart.options(detail, words), renderer="svg").classes("a-chart")
            else:
                key = "alarm.chart_none" if not detail.alarm.measure else "alarm.chart_away"
                self._chart_word = ui.label(words(key)).classes("t-soft")

    @ui.refreshable_method
    def _story(self) -> None:
        at, words = self._at, self._at.words
        with card(words("alarm.story_title")):
            if at.may(Act.ACKNOWLEDGE):
                self._comment()
            with ui.element("ol").classes("a-story"):
                for moment in story(self._detail, words, self._names()):
                    with ui.element("li").classes(f"is-{moment.grade}" if moment.grade else ""):
                        ui.icon(moment.icon)
                        with ui.element("div"):
                            ui.label(moment.title).classes("a-story-title")
                            if moment.text:
                                ui.label(moment.text).classes("a-story-text")
                        Since(moment.at_us, words, "full")

    def _comment(self) -> None:
        words = self._at.words
        with ui.element("form").classes("a-comment") as form:
            field = ui.element("input").classes("t-field").props('name="note" maxlength="1000" autocomplete="off"')
            field.props["placeholder"] = words("watch.comment_hint")
            field.props["aria-label"] = words("watch.comment_hint")
            with ui.element("button").classes("t-button").props('type="submit"'):
                ui.label(words("alarm.comment"))

        async def send(event: Any) -> None:
            if note := str(event.args).strip():
                await self._act("comment", note)

        form.on(
            "submit",
            send,
            js_handler="e => { e.preventDefault(); emit(e.target.note.value); e.target.reset(); }",
        )

    def _where(self) -> None:
        at, words, alarm = self._at, self._at.words, self._detail.alarm
        with card(words("alarm.where"), "a-where"):
            with ui.element("dl").classes("t-facts"):
                name = at.name(alarm.enterprise_name, alarm.enterprise_name_en) or alarm.enterprise
                fact(words("alarm.enterprise"), name, f"/enterprises/{quote(alarm.enterprise)}")
                zone = at.name(alarm.zone_name, alarm.zone_name_en) or alarm.zone
                fact(words("alarm.zone"), " · ".join(part for part in (zone, alarm.floor) if part))
                fact(words("alarm.device"), at.name(alarm.device_name, alarm.device_name_en) or alarm.device)
                fact(words("alarm.address"), at.name(alarm.address, alarm.address_en))
            ui.link(words("alarm.map"), f"/map?enterprise={quote(alarm.enterprise)}").classes("t-more")

    def _call(self) -> None:
        at, words = self._at, self._at.words
        if not at.may(Act.SEE_CONTACTS):
            return
        with card(words("alarm.contacts"), "a-call"):
            if not self._contacts:
                ui.label(words("alarm.no_contacts")).classes("t-soft")
            for contact in self._contacts:
                with ui.element("div").classes("a-contact"):
                    with ui.element("div"):
                        ui.label(contact.name).classes("a-contact-name")
                        ui.label(contact.duty).classes("t-soft")
                    if contact.phone:
                        link = ui.element("a").classes("t-button").props(f'href="tel:{quote(contact.phone, safe="+")}"')
                        link.props["aria-label"] = words("alarm.call", name=contact.name)
                        with link:
                            ui.icon("call")
                            ui.label(contact.phone)

    @ui.refreshable_method
    def _messages(self) -> None:
        words, detail = self._at.words, self._detail
        with card(words("alarm.messages")):
            if not detail.notifications:
                said = next((one.reason for one in detail.decisions), "")
                ui.label(words("alarm.nobody_told")).classes("t-soft")
                if said:
                    ui.label(reason(said, words)).classes("t-soft")
            names = self._names()
            # People first: the journal is nobody, and keeps everything.
            for message in sorted(detail.notifications, key=lambda one: one.channel == "journal"):
                with ui.element("div").classes("a-message"):
                    how = channel(message.channel, words)
                    to = "" if message.recipient == message.channel else who(message.recipient, names, words)
                    ui.label(f"{to} · {how}" if to else how[:1].upper() + how[1:]).classes("a-contact-name")
                    ui.label(words("watch.reached." + _reached(message))).classes(f"w-heard is-{_reached(message)}")
                    Since(message.receipts[0].at_us, words, "time")
                    if message.text and message.channel != "journal":
                        ui.label(_SECRET.sub("…", message.text)).classes("a-message-text")

    def _rule(self) -> None:
        """In words, as long as the pack by which it rang is the active one; else by name alone."""
        words = self._at.words
        raised = [event for event in self._detail.events if event.state in (State.RAISED, State.REGRADED)]
        if not raised:
            return
        evidence = raised[-1].evidence
        pack = self._pack
        known = next((one for one in pack.rules if one.id == evidence.rule), None) if pack is not None else None
        with card(words("alarm.rule")):
            if known is not None and pack is not None and pack.version == evidence.pack:
                ui.label(known.said[words.language].sentence)
                ui.label(words.name(known.source_zh, known.source)).classes("t-soft a-source")
            ui.label(words("alarm.rule_line", rule=evidence.rule, pack=evidence.pack[:8])).classes("t-soft")
            if self._at.may(Act.SEE_RULES):
                ui.link(words("frame.page.rules"), f"/rules#{quote(evidence.rule)}").classes("t-more")

    # --- acts ---

    async def _act(self, act: str, note: str = "") -> None:
        """Asked of the same functions as the API's; a refusal is said on the page."""
        asked = {
            "act": act, "key": self._key, "step": self._detail.alarm.step, "note": note, "id": uuid4().hex,
        }  # fmt: skip
        self._refusal = await self._acts.do(asked)
        await self._again()
        self._head.refresh()

    # --- words ---

    def _names(self) -> dict[str, str]:
        return names_of(self._detail, [*self._former, *self._contacts], self._at.words)

    def _measure(self) -> str:
        words, alarm = self._at.words, self._detail.alarm
        if not alarm.measure or alarm.kind is Kind.SILENCE:
            key = f"watch.family.{alarm.family}"
            return words(key) if key in words else alarm.family
        key = f"measure.{alarm.measure}"
        part = alarm.subject.rpartition("/")[2].partition(".")[2]
        return " ".join(word for word in (words(key) if key in words else alarm.measure, part) if word)

    def _place(self) -> str:
        at, alarm = self._at, self._detail.alarm
        zone = at.name(alarm.zone_name, alarm.zone_name_en) or alarm.zone
        device = at.name(alarm.device_name, alarm.device_name_en) or alarm.device
        return " · ".join(part for part in (zone, alarm.floor, device) if part)

    def _standing(self) -> str:
        alarm = self._detail.alarm
        if alarm.suppression != "none":
            return alarm.suppression
        return "active" if alarm.active else "latched" if alarm.latched else "over"


def _reached(message: Message) -> str:
    stamps = {receipt.stamp for receipt in message.receipts}
    for stamp, word in (("acknowledged", "answered"), ("delivered", "delivered"), ("accepted", "accepted")):
        if stamp in stamps:
            return word
    return "failed" if message.status == "failed" else "sending"


PAGE = Page("alarm", "/alarms/{key}", build, Act.SEE_ALARMS)
