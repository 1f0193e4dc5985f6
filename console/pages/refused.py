"""One refused message: its payload, what was wrong, and its replay, as it is or as a person says it was meant."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from console.components.since import Since
from console.pages.device_parts import device_address, payload, refusal
from console.pages.doing import Looking, do
from console.pages.page import At, Page
from console.pages.parts import act_button, badge, card, fact, heading
from ingest.payloads import UnknownDevice, WantedRefusals
from ingest.quarantine import Name
from schemas.measures import BY_NAME
from schemas.payloads import Mend, RefusedDetail
from schemas.viewers import Act

_LOOK_S = 1.5
_LONGEST = 100


async def build(at: At) -> None:
    view = _View(at)
    await view.load()
    with ui.element("div").classes("a-page t-data"):
        view.head()
        with ui.element("div").classes("a-columns"):
            with ui.element("div").classes("a-left"):
                view.payload()
            with ui.element("div").classes("a-right"):
                view.mend()
    view.looks(_LOOK_S)


class _View:
    def __init__(self, at: At) -> None:
        self._at = at
        arrival = at.parts["arrival"]
        self._name = Name(int(arrival) if arrival.isdecimal() else 0, at.query.get("source", ""))
        self._detail: RefusedDetail
        self._looking: Looking
        self._said = ""
        self._rename: dict[str, str] = {}
        self._factor: dict[str, str] = {}
        self._leave_out: set[str] = set()
        self._numbers_in_text = False
        self._waiting = 0
        """Messages of its device that nobody has replayed."""
        self._same_for_all = False

    async def load(self) -> None:
        payloads = self._at.services.payloads
        assert payloads is not None
        self._detail = await self._at.ask(payloads.show, self._at.viewer, *self._name)
        message = self._detail.message
        try:
            device = await self._at.ask(payloads.last, self._at.viewer, message.enterprise, message.device)
            self._waiting = device.waiting
        except UnknownDevice:
            self._waiting = 0  # its topic named none
        if not self._rename:
            meant = self._detail.suggestion
            self._rename = dict(meant.rename)
            self._factor = {key: f"{factor:g}" for key, factor in meant.factor.items()}
            self._leave_out = set(meant.leave_out)
            self._numbers_in_text = meant.numbers_in_text

    def looks(self, every_s: float) -> None:
        self._looking = Looking(every_s, self.look)

    async def look(self) -> None:
        before = self._detail.message
        await self.load()
        if before != self._detail.message:
            self.head.refresh()
            self.payload.refresh()

    @ui.refreshable_method
    def head(self) -> None:
        words, message = self._at.words, self._detail.message
        with ui.element("header").classes("e-head"):
            with ui.element("div").classes("a-head-what"):
                heading(words("devices.refused_one"), 1)
                address = device_address(message.enterprise, message.device)
                ui.link(f"{message.enterprise} / {message.device}", address)
                with ui.element("p").classes("d-side"):
                    Since(message.arrival_us, words, "full")
                    badge(words("devices.bytes", count=message.bytes))
            if message.replayed_us:
                badge(words("devices.replayed"), "is-good").props('data-testid="replayed"')
            elif message.asked_us:
                badge(words("devices.asked"))
            elif message.tries:
                badge(words("devices.again", count=message.tries))
        if self._said:
            ui.label(self._said).classes("a-refusal").props('role="alert"')

    @ui.refreshable_method
    def payload(self) -> None:
        words, detail = self._at.words, self._detail
        with card(words("devices.wrong")):
            refusal(detail.message.told, words)
        with card(words("devices.payload")):
            payload(detail, words)
            with ui.element("dl").classes("t-facts"):
                fact(words("devices.topic"), detail.message.topic)
                fact(words("devices.client"), detail.message.client)

    def mend(self) -> None:
        words, message = self._at.words, self._detail.message
        if not self._at.may(Act.CONNECT_DEVICES):
            return
        with card(words("devices.mend")):
            if not message.is_whole:
                ui.label(words("devices.only_head")).classes("t-soft")
                return
            ui.label(words("devices.mend_how")).classes("t-soft")
            with ui.element("datalist").props('id="measures"'):
                for measure in BY_NAME:
                    ui.element("option").props(f'value="{measure}"')
            for key in dict.fromkeys([*self._rename, *(one.field for one in message.told if one.field)]):
                self._key(key)
            box = ui.element("label").classes("d-check")
            with box:
                tick = ui.element("input").props('type="checkbox"' + (" checked" if self._numbers_in_text else ""))
                ui.label(words("devices.numbers_in_text"))
            tick.on("change", self._set_numbers, js_handler="e => emit(e.target.checked)")
            if self._waiting > 1:
                with ui.element("label").classes("d-check"):
                    same = ui.element("input").props('type="checkbox" data-testid="same-for-all"')
                    ui.label(words("devices.same_for_all", count=self._waiting))
                same.on("change", self._set_same, js_handler="e => emit(e.target.checked)")
            with ui.element("div").classes("a-acts"):
                act_button(words("devices.replay_mended"), lambda: self._replay(mended=True), main=True, test="replay")
                act_button(words("devices.replay"), lambda: self._replay(mended=False))

    def _key(self, key: str) -> None:
        words = self._at.words
        with ui.element("div").classes("d-mend"):
            ui.label(key).classes("p-id")
            self._input(words("devices.means"), self._rename, key, 'list="measures"')
            self._input(words("devices.factor"), self._factor, key, 'inputmode="decimal" size="6"')
            with ui.element("label").classes("d-check"):
                out = "checked" if key in self._leave_out else ""
                tick = ui.element("input").props(f'type="checkbox" {out}')
                ui.label(words("devices.leave_out"))
            tick.on("change", lambda e, k=key: self._set_out(k, e.args), js_handler="e => emit(e.target.checked)")

    def _input(self, said: str, into: dict[str, str], key: str, props: str) -> None:
        field = ui.element("input").classes("t-field").props(f'maxlength="{_LONGEST}" {props}')
        field.props["placeholder"] = field.props["aria-label"] = said
        field.props["^value"] = into.get(key, "")

        def keep(event: Any) -> None:
            into[key] = str(event.args).strip()

        field.on("change", keep, js_handler="e => emit(e.target.value)")

    def _set_numbers(self, event: Any) -> None:
        self._numbers_in_text = bool(event.args)

    def _set_same(self, event: Any) -> None:
        self._same_for_all = bool(event.args)

    def _set_out(self, key: str, out: object) -> None:
        (self._leave_out.add if out else self._leave_out.discard)(key)

    async def _replay(self, *, mended: bool) -> None:
        at, payloads = self._at, self._at.services.payloads
        assert payloads is not None
        message = self._detail.message

        async def replay() -> None:
            mend = self._meant() if mended else Mend()
            all_ = WantedRefusals(message.enterprise, message.device)
            asked = await at.ask(payloads.replay, at.viewer, all_ if self._same_for_all else [self._name], mend)
            self._said = "" if asked.asked else at.words("devices.not_asked")

        self._said = ""
        try:
            self._said = await do(at, replay) or self._said
        except ValueError:
            self._said = at.words("devices.no_number")
        await do(at, self.load)
        self.head.refresh()
        self._looking.soon()

    def _meant(self) -> Mend:
        """Raises ValueError for a factor that is no number."""
        return Mend(
            rename={key: name for key, name in self._rename.items() if name and key not in self._leave_out},
            factor={key: float(text) for key, text in self._factor.items() if text and key not in self._leave_out},
            leave_out=tuple(sorted(self._leave_out)),
            numbers_in_text=self._numbers_in_text,
        )


PAGE = Page("refused", "/devices/refused/{arrival}", build, Act.SEE_DEVICES)
