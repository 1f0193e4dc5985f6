"""Who may ask for what: each endpoint and page with the act that it asks for, as tables and for the tests.

`python -m tests.roles_table` writes both tables into docs/how-to/accounts-and-roles.md.
"""

from __future__ import annotations

import re

from schemas.viewers import MAY, Act, Role
from tests.recipes import ROOT

PAGE = ROOT / "docs" / "how-to" / "accounts-and-roles.md"

ANYBODY = "anybody"
"""Also who is not logged in."""
HOME = "home"
"""Who is on this machine, and whoever is logged in."""
LOGGED_IN = "logged in"
"""Whoever is: it is about themselves, or has no enterprise."""

PERSON = "logged in, by no key"
"""It is about one's own credentials: a program with a key is refused."""

Need = Act | str

ENDPOINTS: dict[str, Need] = {
    "GET /healthz": ANYBODY,
    "GET /readyz": HOME,
    "GET /metrics": HOME,
    "POST /api/v1/session": ANYBODY,
    "DELETE /api/v1/session": LOGGED_IN,
    "GET /api/v1/me": LOGGED_IN,
    "PATCH /api/v1/me": LOGGED_IN,
    "PUT /api/v1/me/password": PERSON,
    "GET /api/v1/accounts": Act.CHANGE_ACCOUNTS,
    "POST /api/v1/accounts": Act.CHANGE_ACCOUNTS,
    "GET /api/v1/accounts/{login}": Act.CHANGE_ACCOUNTS,
    "PATCH /api/v1/accounts/{login}": Act.CHANGE_ACCOUNTS,
    "POST /api/v1/accounts/{login}/link": Act.CHANGE_ACCOUNTS,
    "GET /api/v1/keys": LOGGED_IN,
    "POST /api/v1/keys": PERSON,
    "DELETE /api/v1/keys/{id}": LOGGED_IN,
    "GET /api/v1/audit": Act.SEE_AUDIT,
    "GET /api/v1/alarms": Act.SEE_ALARMS,
    "GET /api/v1/alarms/stream": Act.SEE_ALARMS,
    "GET /api/v1/alarms/{key}": Act.SEE_ALARMS,
    "GET /api/v1/alarms/{key}/assignees": Act.DIRECT,
    "POST /api/v1/alarms/{key}/ack": Act.ACKNOWLEDGE,
    "POST /api/v1/alarms/{key}/comments": Act.ACKNOWLEDGE,
    "POST /api/v1/alarms/{key}/reset": Act.DIRECT,
    "POST /api/v1/alarms/{key}/assign": Act.DIRECT,
    "POST /api/v1/alarms/{key}/verdict": Act.DIRECT,
    "GET /api/v1/commands/{key}": Act.SEE_ALARMS,
    "GET /api/v1/enterprises": Act.SEE_ENTERPRISES,
    "GET /api/v1/enterprises/{code}": Act.SEE_ENTERPRISES,
    "PUT /api/v1/enterprises/{code}": Act.CHANGE_REGISTRY,
    "DELETE /api/v1/enterprises/{code}": Act.CHANGE_REGISTRY,
    "GET /api/v1/enterprises/{code}/zones": Act.SEE_ENTERPRISES,
    "PUT /api/v1/enterprises/{code}/zones/{zone}": Act.CHANGE_REGISTRY,
    "DELETE /api/v1/enterprises/{code}/zones/{zone}": Act.CHANGE_REGISTRY,
    "GET /api/v1/enterprises/{code}/contacts": Act.SEE_CONTACTS,
    "GET /api/v1/enterprises/{code}/contacts/{order}": Act.SEE_CONTACTS,
    "PUT /api/v1/enterprises/{code}/contacts/{order}": Act.CHANGE_CONTACTS,
    "DELETE /api/v1/enterprises/{code}/contacts/{order}": Act.CHANGE_CONTACTS,
    "GET /api/v1/enterprises/{code}/preview": Act.SEE_ENTERPRISES,
    "POST /api/v1/enterprises/{code}/contacts/{order}/test": Act.CHANGE_CONTACTS,
    "POST /api/v1/messages/test": LOGGED_IN,
    "GET /api/v1/districts": Act.SEE_ENTERPRISES,
    "PUT /api/v1/districts/{code}": Act.CHANGE_REGISTRY,
    "GET /api/v1/trades": Act.SEE_ENTERPRISES,
    "GET /api/v1/registry/changes": Act.SEE_ENTERPRISES,
    "GET /api/v1/registry/export/{about}": Act.EXPORT,
    "POST /api/v1/registry/import": Act.CHANGE_REGISTRY,
    "GET /api/v1/devices": Act.SEE_DEVICES,
    "GET /api/v1/devices/unclaimed": Act.SEE_DEVICES,
    "GET /api/v1/devices/heard": Act.SEE_DEVICES,
    "GET /api/v1/devices/silent": Act.SEE_DEVICES,
    "GET /api/v1/devices/{enterprise}/{device}": Act.SEE_DEVICES,
    "PUT /api/v1/devices/{enterprise}/{device}": Act.CONNECT_DEVICES,
    "DELETE /api/v1/devices/{enterprise}/{device}": Act.CHANGE_REGISTRY,
    "POST /api/v1/devices/{enterprise}/{device}/claim": Act.CONNECT_DEVICES,
    "GET /api/v1/devices/{enterprise}/{device}/payloads": Act.SEE_DEVICES,
    "GET /api/v1/quarantine": Act.SEE_DEVICES,
    "GET /api/v1/quarantine/{message}": Act.SEE_DEVICES,
    "POST /api/v1/quarantine/replay": Act.CONNECT_DEVICES,
    "GET /api/v1/risk": Act.SEE_RISK,
    "GET /api/v1/risk/totals": Act.SEE_RISK,
    "GET /api/v1/risk.csv": Act.EXPORT,
    "GET /api/v1/risk/{code}": Act.SEE_RISK,
    "GET /api/v1/risk/{code}/history": Act.SEE_RISK,
    "GET /api/v1/rules": Act.SEE_RULES,
    "GET /api/v1/health": Act.SEE_HEALTH,
}
"""Written by hand, so that an endpoint that asks for something else than was meant is found."""


def may(role: Role | None, need: Need) -> bool:
    """Whether somebody of the role (None: not logged in) may ask, from this machine."""
    if role is None:
        return need in (ANYBODY, HOME)
    return not isinstance(need, Act) or need in MAY[role]


def roles_table() -> str:
    head = f"| act | {' | '.join(role.value for role in Role)} |\n|---|{'---|' * len(Role)}\n"
    rows = (
        f"| {act.value.replace('_', ' ')} | {' | '.join('yes' if act in MAY[role] else '' for role in Role)} |\n"
        for act in Act
    )
    return head + "".join(rows)


def endpoints_table() -> str:
    roles = " | ".join(role.value for role in Role)
    head = f"| endpoint | asks for | nobody | {roles} |\n|---|---|---|{'---|' * len(Role)}\n"
    return head + "".join(
        f"| `{name}` | {str(need).replace('_', ' ')} | "
        f"{' | '.join('yes' if may(role, need) else '' for role in (None, *Role))} |\n"
        for name, need in ENDPOINTS.items()
    )


def written(text: str) -> str:
    """The page with its tables as they are now."""
    for mark, table in (("roles", roles_table()), ("endpoints", endpoints_table())):
        text = re.sub(rf"<!-- {mark} -->\n(\n\|.*?\n(?!\|))?", f"<!-- {mark} -->\n\n{table}", text, flags=re.S)
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
