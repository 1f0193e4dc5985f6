"""One's own account: who one is here, language, password, keys for programs, and the way out.

Who may change accounts finds them all here, with links to log in; who may see it, the log of acts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nicegui import ui

from console.pages.act_log import act_log
from console.pages.page import At, Page
from console.pages.parts import act_button, badge, card, fact, heading
from console.refusals import refusal
from registry.account_rows import Account, Key, UnknownAccount
from registry.accounts import LockedOut, LoginRefused
from registry.audit import AuditPage
from schemas.errors import TocsinError
from schemas.viewers import Act, Role

_LINK_LASTS_S = 15 * 60


async def build(at: At) -> None:
    view = _Me(at)
    await view.load()
    view.draw()


class _Me:
    def __init__(self, at: At) -> None:
        self._at = at
        self._accounts = at.house.accounts
        self._me: Account | None = None
        self._keys: list[Key] = []
        self._all: list[Account] = []
        self._log: AuditPage | None = None
        self._shown = ""
        """A secret that is shown this once, or a word about what was done."""
        self._secret = ""
        self._refusal = ""

    async def load(self) -> None:
        at, accounts = self._at, self._accounts
        if at.viewer.account:
            self._me = await at.ask(accounts.me, at.viewer)
            self._keys = [key for key in await at.ask(accounts.keys, at.viewer) if key.revoked_at is None]
        if at.may(Act.CHANGE_ACCOUNTS):
            self._all = await at.ask(accounts.list, at.viewer)
        if at.may(Act.SEE_AUDIT):
            self._log = await at.ask(accounts.audit, at.viewer, 50)

    def draw(self) -> None:
        words = self._at.words
        with ui.element("div").classes("m-page"):
            heading(words("frame.page.me"), 1)
            self._said()
            with ui.element("div").classes("m-columns"):
                self._who()
                if self._me is not None:
                    self._password()
                    self._programs()
            if self._at.may(Act.CHANGE_ACCOUNTS):
                self._people()
            if self._log is not None:
                self._acts()

    @ui.refreshable_method
    def _said(self) -> None:
        if self._refusal:
            ui.label(self._refusal).classes("a-refusal").props('role="alert"')
        if self._shown:
            with ui.element("div").classes("m-shown").props('role="status"'):
                ui.label(self._shown)
                if self._secret:
                    ui.element("code").classes("m-secret")._text = self._secret

    def _who(self) -> None:
        words, viewer = self._at.words, self._at.viewer
        with card(words("me.who")):
            with ui.element("dl").classes("t-facts"):
                fact(words("me.login"), viewer.name)
                fact(words("me.name"), self._me.name if self._me is not None else "")
                fact(words("me.role"), words(f"frame.role.{viewer.role.value}"))
                fact(words("me.sees"), self._scope(viewer.sees_all, viewer.districts, viewer.enterprises))
            out = ui.element("form").props('method="post" action="/logout"').classes("m-out")
            with out, ui.element("button").classes("t-button").props('type="submit"'):
                ui.icon("logout")
                ui.label(words("me.log_out"))

    def _scope(self, sees_all: bool, districts: tuple[str, ...], enterprises: tuple[str, ...]) -> str:
        words = self._at.words
        if sees_all:
            return words("me.everything")
        parts = []
        if districts:
            parts.append(words("me.districts", codes=", ".join(districts)))
        if enterprises:
            parts.append(words("me.enterprises", codes=", ".join(enterprises)))
        return "; ".join(parts) or words("me.nothing")

    def _password(self) -> None:
        words, me = self._at.words, self._me
        assert me is not None

        async def change(told: dict[str, str]) -> None:
            await self._at.ask(
                self._accounts.change_own_password, self._at.viewer, told.get("old", ""), told.get("new", "")
            )
            ui.navigate.to("/login")

        with card(words("me.password")):
            with _form(partial(self._try, change)):
                # A keeper of passwords wants to know whose it is.
                ui.element("input").props('type="hidden" name="login" autocomplete="username"').props["value"] = (
                    me.login
                )
                if me.has_password:
                    _field(words("me.old_password"), "old", fills="current-password")
                _field(words("me.new_password"), "new", fills="new-password")
                _submit(words("me.change_password"))
            ui.label(words("me.password_ends")).classes("t-soft")

    def _programs(self) -> None:
        words = self._at.words

        async def make(told: dict[str, str]) -> None:
            made = await self._at.ask(self._accounts.make_key, self._at.viewer, told.get("name", "").strip())
            self._shown, self._secret = words("me.key_made"), made.key
            await self.load()

        with card(words("me.keys")):
            ui.label(words("me.keys_what")).classes("t-soft")
            self._key_list()
            with _form(partial(self._try, make)):
                _field(words("me.key_name"), "name")
                _submit(words("me.make_key"))

    @ui.refreshable_method
    def _key_list(self) -> None:
        words = self._at.words

        async def revoke(id_: str, told: dict[str, str]) -> None:
            await self._at.ask(self._accounts.revoke_key, self._at.viewer, id_)
            await self.load()

        for key in self._keys:
            with ui.element("div").classes("m-line"):
                with ui.element("div"):
                    ui.label(key.name).classes("a-contact-name")
                    ui.label(f"{key.login} · {key.id}").classes("t-soft")
                act_button(words("me.revoke"), partial(self._try, partial(revoke, key.id), {}))

    @ui.refreshable_method
    def _people(self) -> None:
        words = self._at.words
        with card(words("me.accounts")):
            with ui.element("div").classes("t-scroll"), ui.element("table").classes("t-table"):
                with ui.element("thead"), ui.element("tr"):
                    for name in ("login", "name", "role", "sees", "state", "acts"):
                        ui.element("th")._text = words(f"me.{name}")
                with ui.element("tbody"):
                    for account in self._all:
                        self._person(account)
            heading(words("me.add"), 3)
            with _form(partial(self._try, self._add), "m-add"):
                _field(words("me.login"), "login")
                _field(words("me.name"), "name", needed=False)
                with ui.element("label"):
                    ui.label(words("me.role"))
                    with ui.element("select").classes("t-field").props('name="role"'):
                        for role in Role:
                            option = ui.element("option").props(f'value="{role.value}"')
                            option._text = words(f"frame.role.{role.value}")
                _field(words("me.sees_codes"), "sees", needed=False)
                _submit(words("me.add"))

    def _person(self, account: Account) -> None:
        words = self._at.words
        viewer = account.viewer
        with ui.element("tr"):
            for text in (
                account.login,
                account.name,
                words(f"frame.role.{account.role.value}"),
                self._scope(viewer.sees_all, account.districts, account.enterprises),
            ):
                ui.element("td")._text = text
            with ui.element("td"):
                if account.disabled:
                    badge(words("me.disabled"))
                elif account.locked_until is not None:
                    badge(words("me.locked"))
                elif not account.has_password:
                    badge(words("me.no_password"))
            with ui.element("td"), ui.element("div").classes("m-acts"):
                if not account.disabled:
                    act_button(words("me.link"), partial(self._try, lambda _: self._link(account.login), {}))
                if account.login != self._at.viewer.name:
                    turn = words("me.enable" if account.disabled else "me.disable")
                    act_button(turn, partial(self._try, lambda _: self._turn(account), {}))

    async def _add(self, told: dict[str, str]) -> None:
        role = Role(told["role"])
        codes = tuple(told.get("sees", "").replace(",", " ").replace("，", " ").split())
        bound = "enterprises" if role in (Role.OWNER, Role.INTEGRATOR) else "districts"
        sees: dict[str, Any] = {bound: codes} if codes else {}
        name, language = told.get("name", "").strip(), self._at.words.language
        await self._at.ask(
            self._accounts.add,
            self._at.viewer,
            told.get("login", "").strip(),
            role,
            name=name,
            language=language,
            **sees,
        )
        await self._link(told["login"].strip())
        await self.load()

    async def _link(self, login: str) -> None:
        token = await self._at.ask(self._accounts.make_link, login, _LINK_LASTS_S, self._at.viewer)
        base = str(self._at.request.base_url).rstrip("/")
        self._shown = self._at.words("me.link_made", login=login, minutes=_LINK_LASTS_S // 60)
        self._secret = f"{base}/login/link/{token}"

    async def _turn(self, account: Account) -> None:
        await self._at.ask(self._accounts.change, self._at.viewer, account.login, disabled=not account.disabled)
        await self.load()

    @ui.refreshable_method
    def _acts(self) -> None:
        words = self._at.words
        assert self._log is not None
        with card(words("me.log")):
            act_log(self._log.entries, words)

    async def _try(self, act: Callable[[dict[str, str]], Awaitable[None]], told: dict[str, str]) -> None:
        """Do it, and say on the page what came of it."""
        words = self._at.words
        self._refusal = self._shown = self._secret = ""
        if not await self._at.still_in():
            self._at.reader.expired()
            return
        try:
            await act(told)
        except LoginRefused:
            self._refusal = words("me.wrong_password")
        except LockedOut as error:
            self._refusal = words("login.locked", seconds=error.wait_s)
        except UnknownAccount:
            self._refusal = words("frame.not_there")
        except TocsinError as error:
            self._refusal = refusal(error, words)
        self._said.refresh()
        if self._me is not None:
            self._key_list.refresh()
        if self._at.may(Act.CHANGE_ACCOUNTS):
            self._people.refresh()
        if self._log is not None:
            self._acts.refresh()


def _form(send: Callable[[dict[str, str]], Awaitable[None]], classes: str = "") -> ui.element:
    form = ui.element("form").classes(f"m-form {classes}".strip())

    async def sent(event: Any) -> None:
        told = event.args if isinstance(event.args, dict) else {}
        await send({str(name): str(value)[:1000] for name, value in told.items()})

    form.on(
        "submit",
        sent,
        js_handler="e => { e.preventDefault(); emit(Object.fromEntries(new FormData(e.target))); e.target.reset(); }",
    )
    return form


def _field(said: str, name: str, *, fills: str = "", needed: bool = True) -> None:
    with ui.element("label"):
        ui.label(said)
        field = ui.element("input").classes("t-field").props(f'name="{name}" maxlength="1000"')
        field.props(f'type="password" autocomplete="{fills}"' if fills else 'autocomplete="off"')
        if needed:
            field.props("required")


def _submit(said: str) -> None:
    with ui.element("button").classes("t-button is-main").props('type="submit"'):
        ui.label(said)


PAGE = Page("me", "/me", build)
