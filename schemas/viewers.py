"""Who looks and acts: a viewer has one role, sees some enterprises, and may do what the role may do.

Every function that reads or changes something for a person or a program takes its viewer. In SQL a query names the
viewer's scope itself (`tocsin_sees`, with `Viewer.parameters`), and row security stands behind it: the transaction
first becomes the viewer (`BECOME_VIEWER`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from schemas.errors import TocsinError


class Role(StrEnum):
    OPERATOR = "operator"
    """The duty desk: every enterprise, or those of some districts."""
    SUPERVISOR = "supervisor"
    """A bureau or brigade: the enterprises of its districts, to inspect."""
    OWNER = "owner"
    """A business: its own enterprises."""
    INTEGRATOR = "integrator"
    """Who connects devices: the devices of some enterprises, not their people."""
    ADMINISTRATOR = "administrator"
    """Everything, and the accounts."""


class Act(StrEnum):
    """What an endpoint or a page asks for."""

    SEE_ALARMS = "see_alarms"
    ACKNOWLEDGE = "acknowledge"
    """Take notice of an alarm, comment on it."""
    DIRECT = "direct"
    """Reset an alarm, assign it to somebody."""
    SEE_ENTERPRISES = "see_enterprises"
    SEE_CONTACTS = "see_contacts"
    CHANGE_CONTACTS = "change_contacts"
    CHANGE_REGISTRY = "change_registry"
    """Add, change, import enterprises, zones and facts of devices."""
    SEE_DEVICES = "see_devices"
    CONNECT_DEVICES = "connect_devices"
    """Claim, add and renew devices; replay what was refused after the mend."""
    SEE_RISK = "see_risk"
    SEE_RULES = "see_rules"
    SEE_HEALTH = "see_health"
    EXPORT = "export"
    CHANGE_ACCOUNTS = "change_accounts"
    SEE_AUDIT = "see_audit"


_SEES = frozenset({Act.SEE_ALARMS, Act.SEE_ENTERPRISES, Act.SEE_DEVICES, Act.SEE_RISK, Act.SEE_RULES})
MAY: dict[Role, frozenset[Act]] = {
    Role.OPERATOR: _SEES
    | {Act.ACKNOWLEDGE, Act.DIRECT, Act.SEE_CONTACTS, Act.CHANGE_CONTACTS, Act.SEE_HEALTH, Act.EXPORT},
    Role.SUPERVISOR: _SEES | {Act.SEE_CONTACTS, Act.EXPORT},
    Role.OWNER: _SEES | {Act.ACKNOWLEDGE, Act.SEE_CONTACTS, Act.CHANGE_CONTACTS},
    Role.INTEGRATOR: frozenset({Act.SEE_ENTERPRISES, Act.SEE_DEVICES, Act.CONNECT_DEVICES, Act.SEE_RULES}),
    Role.ADMINISTRATOR: frozenset(Act),
}
"""Role → what it may do, within what it sees."""


class NotAllowed(TocsinError):
    """This viewer may not do this. What is outside a viewer's scope is said not to be there, not to be forbidden."""

    def __init__(self, viewer: Viewer, act: Act) -> None:
        super().__init__(f"{viewer.role} may not {act.value.replace('_', ' ')}.", mend="Ask an administrator.")


class NotNow(NotAllowed):
    """The role may, but not in this case; said why."""

    def __init__(self, what: str, mend: str) -> None:
        TocsinError.__init__(self, what, mend=mend)


class NeedsPerson(NotNow):
    """A program with a key may not do this for its own account: a key that leaks must not outlive its own revoking."""

    def __init__(self, what: str) -> None:
        mend = "Log in with the account's password or a link, and do it there."
        super().__init__(f"an API key may not {what}.", mend)


class Viewer(msgspec.Struct, frozen=True):
    """One person or program, as of one request.

    districts, enterprises: what it sees; an administrator sees all, and an operator without either.
    """

    name: str
    """The login: it stands in the log of acts, beside acknowledgements and comments."""
    role: Role
    districts: tuple[str, ...] = ()
    enterprises: tuple[str, ...] = ()
    account: int = 0
    """0 for the house itself: the command on this machine, and the token of the data directory."""
    language: str = "en"
    key: str = ""
    """Id of the API key with which a program came in; empty for a person's session, and for the house."""

    @property
    def sees_all(self) -> bool:
        unbound = not (self.districts or self.enterprises)
        return self.role is Role.ADMINISTRATOR or (self.role is Role.OPERATOR and unbound)

    @property
    def scope(self) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
        """Viewers of the same scope see the same rows."""
        return self.sees_all, self.districts, self.enterprises

    def may(self, act: Act) -> bool:
        return act in MAY[self.role]

    def must(self, act: Act) -> None:
        """Raises NotAllowed when it may not."""
        if not self.may(act):
            raise NotAllowed(self, act)

    def must_be_no_key(self, what: str) -> None:
        """what: `mint keys of its account`, for the refusal. Raises NeedsPerson for a program."""
        if self.key:
            raise NeedsPerson(what)

    def parameters(self) -> dict[str, Any]:
        """For `tocsin_sees(code, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)` and `BECOME_VIEWER`."""
        return {
            "sees_all": self.sees_all,
            "sees_districts": list(self.districts),
            "sees_enterprises": list(self.enterprises),
        }


def house(name: str = "house") -> Viewer:
    """The house itself: whoever runs the command on this machine, or holds the token of the data directory."""
    return Viewer(name, Role.ADMINISTRATOR)


BECOME_VIEWER = """
    SELECT set_config('tocsin.sees_all', (%(sees_all)s::boolean)::text, true),
           set_config('tocsin.sees_districts', (%(sees_districts)s::text[])::text, true),
           set_config('tocsin.sees_enterprises', (%(sees_enterprises)s::text[])::text, true),
           set_config('role', 'tocsin_viewer', true)
"""
"""The first statement of a transaction on a viewer's behalf: until its end, row security shows the scope alone."""
