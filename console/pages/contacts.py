"""Whom to call at an enterprise, in order; who may changes them, and sends them a test message.

An open form stays as it is while others change the same list; who would overwrite their change is told so, and sees it.
Every act says which version it was meant for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from urllib.parse import quote

from msgspec import structs
from nicegui import ui

from console.pages.doing import do
from console.pages.forms import buttons, choice, field, form
from console.pages.page import At
from console.pages.parts import act_button, card, hours_said
from registry.contacts import LANGUAGES, LEAST, ORDERS
from registry.errors import Stale
from registry.views import ContactView
from schemas.alarms import Grade, Kind
from schemas.enterprises import Contact
from schemas.viewers import Act

_ADD = 0
_KINDS = (Kind.FIRE, Kind.GAS, Kind.ELECTRICAL, Kind.FAULT, Kind.SILENCE)


class ContactsCard:
    def __init__(self, at: At, code: str, contacts: Sequence[ContactView]) -> None:
        self._at = at
        self._code = code
        self._contacts = list(contacts)
        self._may_change = at.may(Act.CHANGE_CONTACTS)
        self._open: int | None = None
        """The order of the contact whose form is open; _ADD: of one more."""
        self._said = ""
        self._refusal = ""
        self._wrong: ui.label | None = None
        """In the open form."""

    def draw(self) -> None:
        with card(self._at.words("alarm.contacts"), "c-contacts"):
            self._list()
            if self._at.services.trials is not None:
                _Preview(self._at, self._code).draw()

    def show(self, contacts: Sequence[ContactView]) -> None:
        """As they stand now; not under a form in which somebody types."""
        if list(contacts) != self._contacts and self._open is None:
            self._contacts = list(contacts)
            self._list.refresh()

    @ui.refreshable_method
    def _list(self) -> None:
        words = self._at.words
        if self._refusal:
            ui.label(self._refusal).classes("a-refusal").props('role="alert"')
        if self._said:
            ui.label(self._said).classes("m-shown").props('role="status" data-testid="contact-said"')
        if not self._contacts:
            ui.label(words("alarm.no_contacts")).classes("t-soft")
        for place, contact in enumerate(self._contacts):
            if self._open == contact.order:
                self._form(contact)
            else:
                self._contact(place, contact)
        if self._open == _ADD:
            self._form(None)
        elif self._may_change and len(self._contacts) < len(ORDERS):
            act_button(words("contacts.add"), partial(self._open_form, _ADD), icon="person_add", test="contact-add")

    def _contact(self, place: int, contact: ContactView) -> None:
        words = self._at.words
        with ui.element("div").classes("a-contact c-contact"):
            with ui.element("div"):
                ui.label(f"{contact.order} · {contact.name}").classes("a-contact-name")
                ui.label(self._about(contact)).classes("t-soft")
            if contact.phone:
                link = ui.element("a").classes("t-button").props(f'href="tel:{quote(contact.phone, safe="+")}"')
                link.props["aria-label"] = words("alarm.call", name=contact.name)
                with link:
                    ui.icon("call")
                    ui.label(contact.phone)
            if self._may_change:
                with ui.element("div").classes("c-acts"):
                    if place:
                        self._tool("arrow_upward", "contacts.up", contact, partial(self._up, place))
                    if contact.phone and self._at.services.trials is not None:
                        self._tool("send", "contacts.test", contact, partial(self._test, contact))
                    self._tool("edit", "contacts.edit", contact, partial(self._open_form, contact.order))

    def _about(self, contact: Contact) -> str:
        words = self._at.words
        least = words("contacts.from", grade=words(f"grade.{contact.least}"))
        parts = (contact.duty, least, hours_said(contact.hours, words), words(f"contacts.language.{contact.language}"))
        return " · ".join(part for part in parts if part)

    def _tool(self, icon: str, key: str, contact: Contact, act: Callable[[], Awaitable[None] | None]) -> None:
        button = act_button("", act, icon=icon, test=key.replace(".", "-"))
        button.props["aria-label"] = button.props["title"] = self._at.words(key, name=contact.name)
        button.classes("c-tool")

    def _form(self, contact: ContactView | None) -> None:
        words = self._at.words
        held = contact or Contact(enterprise=self._code, order=self._next(), name="", language=words.language)
        with form(partial(self._keep, contact), "c-form"):
            field(words("contacts.name"), "name", held.name, "required autofocus")
            field(words("contacts.duty"), "duty", held.duty, hint=words("contacts.duty_hint"))
            field(words("contacts.phone"), "phone", held.phone, 'type="tel"', words("contacts.phone_hint"))
            grades = [(grade, words("contacts.from", grade=words(f"grade.{grade}"))) for grade in reversed(LEAST)]
            choice(words("contacts.least"), "least", grades, held.least)
            field(words("contacts.hours"), "hours", held.hours, hint="Mo-Fr 08:00-18:00")
            tongues = [(language, words(f"contacts.language.{language}")) for language in LANGUAGES]
            choice(words("contacts.tongue"), "language", tongues, held.language)
            self._wrong = ui.label("").classes("a-refusal").props('role="alert"')
            self._wrong.set_visibility(False)
            buttons(words("contacts.save"), words("frame.cancel"), self._close, "contact-save")
            if contact is not None:
                act_button(
                    words("contacts.remove"), partial(self._remove, contact), icon="delete", test="contact-remove"
                )

    def _next(self) -> int:
        return max((contact.order for contact in self._contacts), default=0) + 1

    # --- acts ---

    def _open_form(self, order: int) -> None:
        self._open, self._said, self._refusal = order, "", ""
        self._list.refresh()

    def _close(self) -> None:
        self._open, self._refusal = None, ""
        self._list.refresh()

    async def _keep(self, before: ContactView | None, told: dict[str, str]) -> None:
        order = before.order if before is not None else self._next()
        held = before or Contact(enterprise=self._code, order=min(order, ORDERS[-1]), name="")
        meant = structs.replace(held, **{name: told.get(name, "") for name in _FIELDS})

        async def put() -> None:
            directory = self._at.services.directory
            assert directory is not None
            await self._at.ask(directory.put_contact, self._at.viewer, meant, before.version if before else 0)

        await self._try(put)

    async def _remove(self, contact: ContactView) -> None:
        async def remove() -> None:
            directory = self._at.services.directory
            assert directory is not None
            await self._at.ask(directory.remove_contact, self._at.viewer, self._code, contact.order, contact.version)

        await self._try(remove)

    async def _up(self, place: int) -> None:
        async def swap() -> None:
            directory = self._at.services.directory
            assert directory is not None
            one, other = self._contacts[place], self._contacts[place - 1]
            await self._at.ask(
                directory.swap_contacts, self._at.viewer, self._code, one.order, other.order,
                (one.version, other.version),
            )  # fmt: skip

        await self._try(swap)

    async def _test(self, contact: Contact) -> None:
        async def send() -> None:
            trials = self._at.services.trials
            assert trials is not None
            sent = await self._at.ask(trials.test_contact, self._at.viewer, self._code, contact.order)
            self._said = self._at.words("contacts.tested", name=contact.name, text=sent.text)

        await self._try(send)

    async def _read(self) -> list[ContactView]:
        directory = self._at.services.directory
        assert directory is not None
        return await self._at.ask(directory.contacts, self._at.viewer, self._code)

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        self._said = self._refusal = ""

        async def unless_changed() -> None:
            try:
                await act()
            except Stale:
                self._refusal = self._at.words("contacts.changed_meanwhile")

        refusal = await do(self._at, unless_changed, "contacts.wrong")
        self._refusal = refusal or self._refusal
        if refusal and self._open is not None:
            self._say_in_form()
            return
        self._open = None

        async def read() -> None:
            self._contacts = await self._read()

        await do(self._at, read)
        self._list.refresh()

    def _say_in_form(self) -> None:
        """Without drawing the form anew: what was typed stays."""
        if self._wrong is not None and not self._wrong.is_deleted:
            self._wrong.set_text(self._refusal)
            self._wrong.set_visibility(True)


_FIELDS = ("name", "duty", "phone", "least", "hours", "language")


class _Preview:
    """What somebody here would read of an alarm, before there is one."""

    def __init__(self, at: At, code: str) -> None:
        self._at = at
        self._code = code
        self._asked: dict[str, str] = {}

    def draw(self) -> None:
        words = self._at.words
        with ui.element("details").classes("e-terms"):
            ui.element("summary").props('data-testid="preview"')._text = words("contacts.preview")
            with form(self._show, "c-form is-row"):
                kinds = [(kind.value, words(f"kind.{kind.value}")) for kind in _KINDS]
                choice(words("contacts.kind"), "kind", kinds)
                grades = [(grade, words(f"grade.{grade}")) for grade in reversed(LEAST)]
                choice(words("contacts.grade"), "grade", grades)
                tongues = [(language, words(f"contacts.language.{language}")) for language in LANGUAGES]
                choice(words("contacts.tongue"), "language", tongues, words.language)
                buttons(words("contacts.preview_show"))
            self._text()

    @ui.refreshable_method
    def _text(self, text: str = "", said: str = "") -> None:
        if text:
            ui.element("pre").classes("d-payload").props('data-testid="preview-text"')._text = text
        if said:
            ui.label(said).classes("t-soft").props('role="status"')

    async def _show(self, told: dict[str, str]) -> None:
        at, trials, words = self._at, self._at.services.trials, self._at.words
        assert trials is not None
        found = ["", ""]

        async def ask() -> None:
            kind = next((kind for kind in _KINDS if kind.value == told.get("kind")), Kind.FIRE)
            grade = Grade.of(told["grade"]) if told.get("grade") in LEAST else Grade.of("red")
            language = told.get("language", "zh")
            made = await at.ask(trials.preview, at.viewer, self._code, kind, grade, language)
            found[:] = made.text, words("contacts.segments", count=made.segments, units=made.units)

        refusal = await do(at, ask)
        self._text.refresh(*(("", refusal) if refusal else found))
