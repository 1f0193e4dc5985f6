"""The registry over HTTP: versions as ETags, what each viewer may, and errors in the one shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api_registry import registry_router
from console.api_registry_devices import registered_devices_router
from console.api_registry_files import registry_files_router
from console.errors import answer_errors
from registry.directory import Directory
from schemas.viewers import Viewer
from tests.registry_world import BUREAU, FITTER, HOUSE, OWNER, settle, speak

pytestmark = pytest.mark.integration
Ask = Callable[..., httpx.Response]
NOODLES = {"name": "老王面馆", "trade": "H6210", "district": "330106"}


class Known:
    """In the guard's place: whoever asks is known by name."""

    def __init__(self, app: ASGIApp, viewers: dict[str, Viewer]) -> None:
        self._app = app
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope.get("headers", ())).get(b"x-name", b"").decode()
        scope["state"] = {"viewer": self._viewers[name]}
        await self._app(scope, receive, send)


@pytest.fixture
def directory(dsn: str) -> Iterator[Directory]:
    made = settle(dsn)
    yield made
    made.close()


@pytest.fixture
def ask(directory: Directory) -> Ask:
    app = FastAPI()
    answer_errors(app)
    app.add_middleware(Known, viewers={one.name: one for one in (HOUSE, OWNER, BUREAU, FITTER)})
    app.include_router(registry_router(directory), prefix="/api/v1")
    app.include_router(registered_devices_router(directory), prefix="/api/v1")
    app.include_router(registry_files_router(directory), prefix="/api/v1")

    def ask(method: str, path: str, *, by: str = "house", headers: dict[str, str] | None = None, **more: Any) -> Any:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://tocsin/api/v1") as asker:
                return await asker.request(method, path, headers={"X-Name": by} | (headers or {}), **more)

        return asyncio.run(one())

    return ask


def test_enterprises_are_read_in_pages_within_the_scope(ask: Ask) -> None:
    """The same functions as everywhere: what is outside the scope is not found."""
    page = ask("GET", "/enterprises?limit=2&trade=H62").json()
    assert [one["code"] for one in page["enterprises"]] == ["bar", "noodles"]
    assert [one["code"] for one in ask("GET", "/enterprises?district=330102").json()["enterprises"]] == ["tailor"]
    assert [one["code"] for one in ask("GET", "/enterprises", by="owner").json()["enterprises"]] == ["noodles"]
    assert ask("GET", "/enterprises/bar", by="owner").status_code == 404
    assert ask("GET", "/enterprises/noodles/contacts", by="owner").json()["contacts"][0]["phone"] == "+8613800138000"
    assert ask("GET", "/enterprises/noodles/contacts", by="fitter").status_code == 403
    assert ask("GET", "/enterprises?cursor=x").json()["error"]["field"] == "cursor"
    assert ask("GET", "/districts", by="owner").json()["districts"][0]["code"] == "330106"
    assert ask("GET", "/trades?prefix=H6210").json()["trades"][0]["name_en"] == "Restaurants"


def test_an_enterprise_is_changed_by_the_version_that_was_seen(ask: Ask) -> None:
    """412 for the second of two; the first one's change stays."""
    tag = ask("GET", "/enterprises/noodles").headers["ETag"]
    assert tag == '"1"'
    done = ask("PUT", "/enterprises/noodles", json={**NOODLES, "people": 50}, headers={"If-Match": tag})
    assert (done.status_code, done.headers["ETag"]) == (200, '"2"')
    again = ask("PUT", "/enterprises/noodles", json=NOODLES, headers={"If-Match": tag})
    assert (again.status_code, again.json()["error"]["code"]) == (412, "stale")
    assert ask("PUT", "/enterprises/noodles", json=NOODLES, headers={"If-None-Match": "*"}).status_code == 412
    assert ask("DELETE", "/enterprises/noodles", headers={"If-Match": tag}).status_code == 412
    wrong = ask("PUT", "/enterprises/noodles", json=NOODLES, headers={"If-Match": 'W/"x"'})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "If-Match")
    made = ask("PUT", "/enterprises/new", json=NOODLES, headers={"If-None-Match": "*"})
    assert made.json()["version"] == 1
    assert ask("DELETE", "/enterprises/new").status_code == 204
    assert ask("GET", "/enterprises/new").status_code == 404


def test_zones_and_contacts_are_put_and_removed(ask: Ask) -> None:
    """And what was changed can be read."""
    assert ask("PUT", "/enterprises/tailor/zones/back", json={"name": "后间"}).status_code == 200
    assert ask("GET", "/enterprises/tailor/zones").json()["zones"][0]["name"] == "后间"
    body = {"name": "李", "phone": "138 0013 8001", "channels": ["sms", "voice"]}
    put = ask("PUT", "/enterprises/noodles/contacts/2", by="owner", json=body)
    assert put.json()["phone"] == "+8613800138001"
    assert ask("PUT", "/enterprises/noodles/contacts/2", by="bureau", json=body).status_code == 403
    assert ask("PUT", "/enterprises/tailor/contacts/2", by="owner", json=body).status_code == 404
    assert ask("PUT", "/enterprises/noodles/contacts/0", by="owner", json=body).status_code == 400
    refused = ask("PUT", "/enterprises/noodles/contacts/3", by="owner", json={**body, "phone": "12345678"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "phone")
    assert "12345678" not in refused.text
    assert ask("DELETE", "/enterprises/noodles/contacts/2", by="owner").status_code == 204
    assert ask("DELETE", "/enterprises/tailor/zones/back").status_code == 204
    changed = ask("GET", "/registry/changes?enterprise=noodles&limit=2", by="owner").json()
    assert [(one["who"], one["what"]) for one in changed["changes"]] == [("owner", "contact"), ("owner", "contact")]
    assert "13800138001" not in ask("GET", "/registry/changes", by="fitter").text


def test_a_contact_is_changed_by_the_version_that_was_seen(ask: Ask) -> None:
    """As an enterprise is: 412 for the second of two, and the first one's change stays."""
    path = "/enterprises/noodles/contacts/1"
    body = {"name": "王伟", "phone": "+8613800138000"}
    seen = ask("GET", path, by="owner")
    tag = seen.headers["ETag"]
    assert (seen.json()["name"], seen.json()["id"], tag) == ("王伟", 1, '"1"')
    assert ask("GET", "/enterprises/noodles/contacts", by="owner").json()["contacts"] == [seen.json()]
    done = ask("PUT", path, by="owner", json={**body, "duty": "owner, day"}, headers={"If-Match": tag})
    assert (done.status_code, done.headers["ETag"], done.json()["id"]) == (200, '"2"', 1)
    again = ask("PUT", path, by="owner", json={**body, "duty": "cook"}, headers={"If-Match": tag})
    assert (again.status_code, again.json()["error"]["code"]) == (412, "stale")
    assert ask("PUT", path, by="owner", json=body, headers={"If-None-Match": "*"}).status_code == 412
    assert ask("DELETE", path, by="owner", headers={"If-Match": tag}).status_code == 412
    wrong = ask("PUT", path, by="owner", json=body, headers={"If-Match": 'W/"x"'})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "If-Match")
    assert ask("GET", path, by="owner").json()["duty"] == "owner, day"
    new = "/enterprises/noodles/contacts/2"
    assert ask("GET", new, by="owner").status_code == 404
    assert ask("PUT", new, by="owner", json=body, headers={"If-Match": '"1"'}).status_code == 412
    made = ask("PUT", new, by="owner", json={"name": "李", "phone": "13800138001"}, headers={"If-None-Match": "*"})
    assert (made.status_code, made.json()["id"]) == (200, 2)
    gone = ask("DELETE", new, by="owner", headers={"If-Match": made.headers["ETag"]})
    assert gone.status_code == 204
    assert ask("GET", path, by="fitter").status_code == 403


def test_a_device_that_speaks_is_claimed(ask: Ask, dsn: str) -> None:
    """Once, by who connects devices; with a login where one is wanted."""
    speak(dsn, "noodles", "box", "smoke")
    assert [one["device"] for one in ask("GET", "/devices/unclaimed", by="fitter").json()["devices"]] == ["box"]
    body = {"zone": "kitchen", "name": "灶台", "login": True}
    assert ask("POST", "/devices/noodles/box/claim", by="owner", json=body).status_code == 403
    claimed = ask("POST", "/devices/noodles/box/claim", by="fitter", json=body).json()
    assert claimed["username"] == "noodles/box"
    assert claimed["device"]["zone_name"] == "厨房"
    assert ask("POST", "/devices/noodles/box/claim", by="fitter", json=body).status_code == 409
    assert ask("POST", "/devices/bar/box/claim", by="fitter", json={}).status_code == 404
    assert ask("GET", "/devices/unclaimed").json()["devices"] == []
    assert ask("PUT", "/devices/noodles/box", json={"supply": "sun"}).status_code == 400
    assert ask("PUT", "/devices/noodles/box", json={"supply": "mains"}).json()["device"]["supply"] == "mains"
    assert ask("GET", "/devices?enterprise=noodles").json()["devices"][0]["supply"] == "mains"
    assert ask("GET", "/devices/noodles/box").json()["trade"] == "H6210"
    assert ask("DELETE", "/enterprises/noodles").status_code == 409
    assert ask("DELETE", "/devices/noodles/box").status_code == 204
    assert ask("GET", "/devices/noodles/box").status_code == 404


def test_files_are_imported_and_exported(ask: Ask) -> None:
    """A dry run first; what is wrong by row and column; nobody but an administrator imports."""
    csv = "code,name,trade,district\nnew,新,F52,330102\nbad,坏,food,330102\n"
    kind = {"Content-Type": "text/csv"}
    tried = ask("POST", "/registry/import?dry_run=1", content=csv.encode("gbk"), headers=kind).json()
    assert (tried["imported"], tried["wrong"], tried["files"][0]["encoding"]) == (False, 1, "GB 18030")
    assert (tried["problems"][0]["row"], tried["problems"][0]["column"]) == (3, "trade")
    assert ask("POST", "/registry/import", content=csv.encode(), headers=kind).json()["imported"] is False
    done = ask("POST", "/registry/import?skip_bad=1&problems=0", content=csv.encode(), headers=kind).json()
    assert (done["imported"], done["problems"], done["files"][0]["added"]) == (True, [], 1)
    toml = '[[devices]]\nenterprise = "new"\ndevice = "panel"\n'
    with_login = ask(
        "POST", "/registry/import?logins=1", content=toml.encode(), headers={"Content-Type": "application/toml"}
    )
    assert [one["username"] for one in with_login.json()["logins"]] == ["new/panel"]
    assert ask("POST", "/registry/import", by="bureau", content=csv.encode(), headers=kind).status_code == 403
    assert ask("POST", "/registry/import", content=b"a,b", headers=kind).json()["error"]["field"] == "body.csv"
    file = ask("GET", "/registry/export/enterprises", by="bureau")
    assert file.headers["Content-Disposition"] == 'attachment; filename="enterprises.csv"'
    assert "noodles" in file.text
    assert "new" not in file.text
    assert ask("GET", "/registry/export/contacts", by="owner").status_code == 403
    assert ask("GET", "/registry/export/secrets").status_code == 400
