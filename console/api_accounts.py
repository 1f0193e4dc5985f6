"""`/api/v1/session`, `me`, `accounts`, `keys`, `audit`: coming in, one's own account, an administrator's matters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from console.api_shapes import NO_NUL, Code, Responses, answer, answers, content_of
from console.guard import drop_session, keep_session, session_of, viewer_of
from registry.account_rows import Account, Key, NewKey
from registry.accounts import LINK_S, LONGEST_LINK_S, Accounts
from registry.audit import LONGEST_PAGE, AuditPage
from schemas.errors import ConfigError
from schemas.viewers import MAY, Act, Role, Viewer

Login = Annotated[str, StringConstraints(max_length=100, pattern=NO_NUL)]
LoginPath = Annotated[str, Path(max_length=100, description="The account's login.")]
District = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")]
Language = Literal["zh", "en"]


class Me(msgspec.Struct, frozen=True):
    """Who asks, what they see and what they may do."""

    login: str
    name: str
    role: Role
    districts: tuple[str, ...]
    enterprises: tuple[str, ...]
    sees_all: bool
    may: list[Act]
    language: str
    has_password: bool


class AccountList(msgspec.Struct, frozen=True):
    accounts: list[Account]


class KeyList(msgspec.Struct, frozen=True):
    keys: list[Key]


class LoginLink(msgspec.Struct, frozen=True):
    """Opens once, for whoever has it: hand it to the person alone."""

    path: str
    """To be put behind the console's address."""
    lasts_s: int


SHAPES = (Me, AccountList, Account, KeyList, NewKey, LoginLink, AuditPage)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoginBody(_Body):
    """Who comes in."""

    login: Login
    password: str = Field(max_length=1000)


class MeChange(_Body):
    """What one changes of oneself."""

    language: Language


class PasswordChange(_Body):
    """A new password; the old one is not asked for while there is none."""

    old: str = Field("", max_length=1000)
    new: str = Field(max_length=1000)


class NewAccount(_Body):
    """Without a password nobody comes in but by a link."""

    login: Login
    role: Role
    name: str = Field("", max_length=100, pattern=NO_NUL)
    districts: list[District] = Field([], max_length=1000)
    enterprises: list[Code] = Field([], max_length=10_000)
    language: Language = "zh"
    phone: str = Field("", max_length=20)
    password: str = Field("", max_length=1000)


class AccountChange(_Body):
    """What is left out stays. password: empty takes it away, and only a link opens the account.

    Empty districts and enterprises never make an operator see everything: `sees_all` does.
    """

    role: Role | None = None
    name: str | None = Field(None, max_length=100, pattern=NO_NUL)
    districts: list[District] | None = Field(None, max_length=1000)
    enterprises: list[Code] | None = Field(None, max_length=10_000)
    language: Language | None = None
    phone: str | None = Field(None, max_length=20)
    sees_all: bool = Field(
        False,
        description="true: an operator sees everything from now on, its districts and enterprises are taken away.",
    )
    password: str | None = Field(None, max_length=1000)
    disabled: bool | None = None


class LinkWish(_Body):
    """How long a login link opens."""

    lasts_s: int = Field(LINK_S, ge=1, le=LONGEST_LINK_S)


class KeyWish(_Body):
    """A key for a program; login: whose account it acts for, one's own if left out."""

    name: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    login: Login = ""


def accounts_router(accounts: Accounts) -> APIRouter:
    router = APIRouter(tags=["accounts"])

    @router.post(
        "/session",
        responses=answers(Me, 400, 401, 403, 429, 503),
        summary="Come in: the answer sets the session's cookie.",
        openapi_extra={"security": []},
    )
    def log_in(request: Request, body: LoginBody) -> Response:
        token = accounts.log_in(body.login, body.password, _agent(request), _address(request))
        viewer = accounts.viewer_of(token)
        assert viewer is not None
        response = answer(request, _me(accounts, viewer))
        keep_session(response, token, request.scope)
        return response

    @router.delete("/session", responses=_nothing(401, 403, 503), status_code=204, summary="Go out.")
    def log_out(request: Request) -> Response:
        accounts.log_out(session_of(request.headers))
        response = Response(status_code=204)
        drop_session(response)
        return response

    @router.get("/me", responses=answers(Me, 401, 503, cached=True), summary="Who asks, and what they may do.")
    def me(request: Request) -> Response:
        return answer(request, _me(accounts, viewer_of(request)))

    @router.patch("/me", responses=answers(Me, 400, 401, 403, 404, 503), summary="Change one's own language.")
    def change_me(request: Request, body: MeChange) -> Response:
        accounts.change_own_language(viewer_of(request), body.language)
        return answer(request, _me(accounts, viewer_of(request)))

    @router.put(
        "/me/password",
        responses=_nothing(400, 401, 403, 404, 429, 503),
        status_code=204,
        summary="Change one's own password; every session ends, and this one begins anew. Not by a key.",
    )
    def change_password(request: Request, body: PasswordChange) -> Response:
        token = accounts.change_own_password(viewer_of(request), body.old, body.new, _agent(request))
        response = Response(status_code=204)
        if session_of(request.headers):
            keep_session(response, token, request.scope)
        return response

    @router.get("/accounts", responses=answers(AccountList, 401, 403, 503, cached=True), summary="All accounts.")
    def list_accounts(request: Request) -> Response:
        return answer(request, AccountList(accounts.list(viewer_of(request))))

    @router.post(
        "/accounts", responses=answers(Account, 400, 401, 403, 503, status=201), status_code=201, summary="Add one."
    )
    def add(request: Request, body: NewAccount) -> Response:
        given = body.model_dump()
        given |= {"districts": tuple(body.districts), "enterprises": tuple(body.enterprises)}
        return answer(request, accounts.add(viewer_of(request), **given), 201)

    @router.get(
        "/accounts/{login}", responses=answers(Account, 401, 403, 404, 503, cached=True), summary="One account."
    )
    def one(request: Request, login: LoginPath) -> Response:
        return answer(request, accounts.one(viewer_of(request), login))

    @router.patch(
        "/accounts/{login}",
        responses=answers(Account, 400, 401, 403, 404, 503),
        summary="Change an account; another role, scope or password ends its sessions.",
    )
    def change(request: Request, login: LoginPath, body: AccountChange) -> Response:
        return answer(request, accounts.change(viewer_of(request), login, **_changes(body)))

    @router.post(
        "/accounts/{login}/link",
        responses=answers(LoginLink, 400, 401, 403, 404, 503, status=201),
        status_code=201,
        summary="A link that logs in once, instead of a password. A key makes none for its own account.",
    )
    def link(request: Request, login: LoginPath, body: LinkWish) -> Response:
        token = accounts.make_link(login, body.lasts_s, viewer_of(request))
        return answer(request, LoginLink(f"/login/link/{token}", body.lasts_s), 201)

    @router.get(
        "/keys",
        responses=answers(KeyList, 401, 503, cached=True),
        summary="Keys of programs: one's own, or all for an administrator. Never their secrets.",
    )
    def keys(request: Request) -> Response:
        return answer(request, KeyList(list(accounts.keys(viewer_of(request)))))

    @router.post(
        "/keys",
        responses=answers(NewKey, 400, 401, 403, 404, 503, status=201),
        status_code=201,
        summary="Make a key; it is shown this once. A key makes no other of its own account.",
    )
    def make_key(request: Request, body: KeyWish) -> Response:
        return answer(request, accounts.make_key(viewer_of(request), body.name, body.login), 201)

    @router.delete(
        "/keys/{id}",
        responses=_nothing(401, 403, 404, 503),
        status_code=204,
        summary="It opens nothing any more. Of its own account a key revokes itself alone.",
    )
    def revoke(request: Request, id: Annotated[str, Path(max_length=100)]) -> Response:  # noqa: A002  its name in the path
        accounts.revoke_key(viewer_of(request), id)
        return Response(status_code=204)

    @router.get(
        "/audit",
        responses=answers(AuditPage, 400, 401, 403, 503, cached=True),
        summary="Who did what and what was refused them, newest first, in pages.",
    )
    def audit(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
        before: Annotated[int | None, Query(ge=1, lt=1 << 63, description="`next` of the page before.")] = None,
        who: Annotated[Login | None, Query()] = None,
        act: Annotated[Login | None, Query()] = None,
        refused: Annotated[bool | None, Query()] = None,
    ) -> Response:
        return answer(request, accounts.audit(viewer_of(request), limit, before, who=who, act=act, refused=refused))

    return router


def _me(accounts: Accounts, viewer: Viewer) -> Me:
    """As of now: the viewer itself may be some seconds old."""
    account = accounts.me(viewer) if viewer.account else None
    if account is not None:
        viewer = account.viewer
    return Me(
        login=viewer.name,
        name=account.name if account else "",
        role=viewer.role,
        districts=viewer.districts,
        enterprises=viewer.enterprises,
        sees_all=viewer.sees_all,
        may=sorted(MAY[viewer.role]),
        language=viewer.language,
        has_password=bool(account and account.has_password),
    )


def _changes(body: AccountChange) -> dict[str, Any]:
    """What was named. Raises ConfigError when nothing was, or what cannot be nothing is."""
    changes = body.model_dump(exclude_unset=True)
    for name, value in changes.items():
        if value is None:
            raise ConfigError("it cannot be null.", field=name, mend="Leave it out, and it stays as it is.")
        if isinstance(value, list):
            changes[name] = tuple(value)
    if not changes:
        raise ConfigError("nothing is to be changed.", mend="Name what is.")
    return changes


def _nothing(*errors: int) -> Responses:
    done: Responses = {204: {"description": "Done."}}
    return done | {error: {"description": "Error.", "content": content_of("Error")} for error in errors}


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")[:200]


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
