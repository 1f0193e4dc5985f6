"""Accounts on a real PostgreSQL: who comes in, how often one may try, and when one is out again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from registry import audit
from registry.accounts import Accounts, LinkRefused, LockedOut, LoginRefused
from registry.sessions import IDLE_S, LONGEST_S
from schemas.errors import ConfigError, ServiceAway
from schemas.viewers import BECOME_VIEWER, NotAllowed, Role, house
from tests.accounts_world import CHEAP, PASSWORD, SECOND_US, SetClock, make_accounts, people_of_every_role
from tests.waiting import until
from tocsin.housekeeping import sweep_audit

pytestmark = pytest.mark.integration
WRONG = "five words of wood"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def accounts(dsn: str, clock: SetClock) -> Iterator[Accounts]:
    made = make_accounts(dsn, clock)
    yield made
    made.close()


@pytest.fixture
def li(accounts: Accounts) -> str:
    accounts.add(house(), "li", Role.OPERATOR, name="Li Wei", password=PASSWORD)
    return "li"


def log_of(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [act for (act,) in connection.execute("SELECT act FROM audit_log ORDER BY number").fetchall()]


def test_old_acts_are_forgotten_in_pieces(dsn: str) -> None:
    """The log grew for ever: of an account for every program that asks for files, a line for each."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO audit_log (at, who, act)"
            " SELECT now() - make_interval(days => day), 'li', 'day ' || day FROM generate_series(412, 390, -1) AS day"
        )
        assert audit.sweep(connection, timedelta(days=400.5), piece=5) == 12
        assert audit.sweep(connection, timedelta(days=400.5), piece=5) == 0
    assert log_of(dsn) == [f"day {day}" for day in range(400, 389, -1)]
    sweep_audit(dsn, 395.5)
    assert log_of(dsn)[0] == "day 395"


def test_nobody_who_looks_removes_or_changes_an_act(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO audit_log (who, act) VALUES ('li', 'export')")
        for statement in ("DELETE FROM audit_log", "UPDATE audit_log SET who = 'bo'", "TRUNCATE audit_log"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(BECOME_VIEWER, house().parameters())
                connection.execute(statement)  # type: ignore[arg-type]
    assert log_of(dsn) == ["export"]


def refused(accounts: Accounts, login: str, password: str, **more: str) -> str:
    with pytest.raises(LoginRefused) as caught:
        accounts.log_in(login, password, **more)
    return str(caught.value)


def test_a_session_is_its_accounts_viewer(accounts: Accounts, li: str) -> None:
    viewer = accounts.viewer_of(accounts.log_in(li, PASSWORD, "Firefox"))
    assert viewer is not None
    assert (viewer.name, viewer.role, viewer.sees_all) == ("li", Role.OPERATOR, True)


def test_neither_tokens_nor_passwords_are_kept(accounts: Accounts, li: str, dsn: str) -> None:
    """Whoever reads the database, or a backup of it, must not come in by it."""
    token, link = accounts.log_in(li, PASSWORD), accounts.make_link(li)
    key = accounts.make_key(house(), "till", li).key
    with psycopg.connect(dsn) as connection:
        tables = ("accounts", "sessions", "login_links", "api_keys", "audit_log")
        kept = "".join(
            str(connection.execute(f"SELECT {table}::text FROM {table}").fetchall())  # type: ignore[arg-type]
            for table in tables
        )
    assert "$argon2id$" in kept
    for secret in (token, link, key, key.split("_", 2)[2], PASSWORD):
        assert secret not in kept and secret.encode().hex() not in kept


def test_an_unknown_login_answers_as_a_wrong_password(accounts: Accounts, li: str) -> None:
    """Else the login itself could be found by trying."""
    assert refused(accounts, li, WRONG) == refused(accounts, "nobody", WRONG) == refused(accounts, "\0", WRONG)
    for _ in range(4):
        refused(accounts, li, WRONG)
        refused(accounts, "nobody", WRONG)
    waits = []
    for login in (li, "nobody"):
        with pytest.raises(LockedOut) as caught:
            accounts.log_in(login, WRONG)
        waits.append((caught.value.wait_s, str(caught.value)))
    assert waits[0] == waits[1]


def test_a_login_is_locked_for_longer_each_time(accounts: Accounts, li: str, clock: SetClock) -> None:
    for minutes in (1, 5, 15, 15):
        for _ in range(5):
            refused(accounts, li, WRONG)
        with pytest.raises(LockedOut) as caught:
            accounts.log_in(li, PASSWORD)
        assert caught.value.until_us == clock.now_us + minutes * 60 * SECOND_US
        clock.forward(minutes * 60)
    assert accounts.viewer_of(accounts.log_in(li, PASSWORD))
    for _ in range(4):
        refused(accounts, li, WRONG)
    assert accounts.log_in(li, PASSWORD), "a right password forgives the failures before it"


def test_a_thousand_wrong_logins_of_one_address_are_few_checks(
    accounts: Accounts, li: str, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check costs 64 MiB and a tenth of a second on purpose; who asks for a thousand does not get them."""
    checks = []
    right = accounts._passwords.is_right
    monkeypatch.setattr(accounts._passwords, "is_right", lambda *given: checks.append(given) or right(*given))
    answers = []
    for number in range(1000):
        with pytest.raises((LoginRefused, LockedOut)) as caught:
            accounts.log_in(f"guess-{number}", WRONG, address="203.0.113.9")
        answers.append(type(caught.value))
    assert len(checks) == answers.count(LoginRefused) == 30
    assert accounts.log_in(li, PASSWORD, address="198.51.100.4"), "another address comes in meanwhile"
    clock.forward(120)
    assert accounts.log_in(li, PASSWORD, address="203.0.113.9"), "and that one too, a little later"


def test_few_checks_run_at_once_and_the_rest_is_told_to_wait(accounts: Accounts, li: str) -> None:
    """Sixteen at once would take a gibibyte."""
    running, most, gate = 0, 0, threading.Event()
    lock = threading.Lock()
    verify = CHEAP.verify

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(CHEAP, name)

        def verify(self, kept: str, password: str) -> bool:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            gate.wait(10)
            with lock:
                running -= 1
            return verify(kept, password)

    accounts._passwords._hasher = Slow()  # type: ignore[assignment]
    outcomes: list[type[BaseException] | None] = []

    def one() -> None:
        try:
            accounts.log_in(li, PASSWORD)
            outcomes.append(None)
        except ServiceAway as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    until(lambda: len(outcomes) >= 6, "those who find no place are told so")
    gate.set()
    for thread in threads:
        thread.join()
    assert most == 2
    assert outcomes.count(ServiceAway) >= 6 and outcomes.count(None) >= 2


def test_a_session_ends_when_nobody_uses_it(accounts: Accounts, li: str, clock: SetClock) -> None:
    token = accounts.log_in(li, PASSWORD)
    clock.forward(IDLE_S - 60)
    assert accounts.viewer_of(token)
    clock.forward(IDLE_S - 60)
    assert accounts.viewer_of(token), "its use has put the end off"
    clock.forward(IDLE_S + 1)
    assert accounts.viewer_of(token) is None


def test_a_session_ends_after_a_week_however_it_is_used(accounts: Accounts, li: str, clock: SetClock) -> None:
    token = accounts.log_in(li, PASSWORD)
    for _ in range(LONGEST_S // 21_600 - 1):
        clock.forward(21_600)
        assert accounts.viewer_of(token)
    clock.forward(21_600)
    assert accounts.viewer_of(token) is None


def test_a_disabled_account_is_out_at_once(accounts: Accounts, li: str, clock: SetClock, dsn: str) -> None:
    """In this process at once, in another one within the seconds for which it believes what it read."""
    token, key, link = accounts.log_in(li, PASSWORD), accounts.make_key(house(), "x", li).key, accounts.make_link(li)
    elsewhere = make_accounts(dsn, clock)
    try:
        assert elsewhere.viewer_of(token) and elsewhere.viewer_of_key(key) and accounts.viewer_of_key(key)
        accounts.disable(house(), li)
        assert accounts.viewer_of(token) is None and accounts.viewer_of_key(key) is None
        clock.forward(3.1)
        assert elsewhere.viewer_of(token) is None and elsewhere.viewer_of_key(key) is None
    finally:
        elsewhere.close()
    with pytest.raises(LinkRefused):
        accounts.follow_link(link)
    refused(accounts, li, PASSWORD)
    accounts.change(house(), li, disabled=False)
    assert accounts.viewer_of(token) is None, "what was ended stays so"
    assert accounts.log_in(li, PASSWORD)


def test_who_logs_out_is_out(accounts: Accounts, li: str) -> None:
    token, other = accounts.log_in(li, PASSWORD), accounts.log_in(li, PASSWORD)
    assert accounts.viewer_of(token)
    accounts.log_out(token)
    assert accounts.viewer_of(token) is None
    assert accounts.viewer_of(other), "another browser's session goes on"


def test_a_link_opens_once(accounts: Accounts, li: str) -> None:
    link = accounts.make_link(li)
    viewer = accounts.viewer_of(accounts.follow_link(link))
    assert viewer and viewer.name == li
    with pytest.raises(LinkRefused):
        accounts.follow_link(link)


@pytest.mark.parametrize("what", ["expired", "altered", "never made"])
def test_a_link_that_is_not_good_opens_nothing(accounts: Accounts, li: str, clock: SetClock, what: str) -> None:
    link = accounts.make_link(li, 60)
    if what == "expired":
        clock.forward(60)
    bad = {"expired": link, "altered": link[:-1] + ("A" if link[-1] != "A" else "B"), "never made": "x" * 43}[what]
    with pytest.raises(LinkRefused):
        accounts.follow_link(bad)


def test_the_first_administrator_comes_in_by_a_link_and_sets_a_password(accounts: Accounts, clock: SetClock) -> None:
    link = accounts.ensure_first_administrator()
    assert link is not None
    assert accounts.ensure_first_administrator() is None, "the link is out: a second start makes no other"
    clock.forward(25 * 3600)
    link = accounts.ensure_first_administrator()
    assert link is not None, "it ran out unused, so there is a new one"
    viewer = accounts.viewer_of(accounts.follow_link(link))
    assert viewer and viewer.role is Role.ADMINISTRATOR
    accounts.change_own_password(viewer, "", PASSWORD)
    assert accounts.viewer_of(accounts.log_in("admin", PASSWORD))
    assert accounts.ensure_first_administrator() is None


def test_the_last_administrator_stays(accounts: Accounts) -> None:
    accounts.add(house(), "ann", Role.ADMINISTRATOR, password=PASSWORD)
    for changes in ({"disabled": True}, {"role": Role.OPERATOR}):
        with pytest.raises(ConfigError, match="last administrator"):
            accounts.change(house(), "ann", **changes)
    accounts.add(house(), "bo", Role.ADMINISTRATOR, password=PASSWORD)
    assert accounts.disable(house(), "ann").disabled
    with pytest.raises(ConfigError, match="last administrator"):
        accounts.disable(house(), "bo")


def test_another_role_or_scope_is_logged_in_for_anew(accounts: Accounts, li: str) -> None:
    """What was seen under the old one must not stay on the screen."""
    for changes in (
        {"role": Role.OWNER, "enterprises": ("shop-1",)},
        {"enterprises": ("shop-2",)},
        {"password": PASSWORD + "!"},
    ):
        token = accounts.follow_link(accounts.make_link(li))
        assert accounts.viewer_of(token)
        accounts.change(house(), li, **changes)
        assert accounts.viewer_of(token) is None
    token = accounts.log_in(li, PASSWORD + "!")
    accounts.change(house(), li, name="Li Wei the Younger")
    assert accounts.viewer_of(token)


def test_one_changes_ones_own_password_by_the_old_one(accounts: Accounts, li: str) -> None:
    viewer = accounts.viewer_of(accounts.log_in(li, PASSWORD))
    assert viewer
    with pytest.raises(LoginRefused):
        accounts.change_own_password(viewer, WRONG, "six words of old tin")
    for weak in ("short", "a" * 12, "li", "x" * 201):
        with pytest.raises(ConfigError):
            accounts.change_own_password(viewer, PASSWORD, weak)
    accounts.change_own_password(viewer, PASSWORD, "six words of old tin")
    refused(accounts, li, PASSWORD)
    assert accounts.log_in(li, "six words of old tin")


def test_a_key_opens_what_its_account_may_until_it_is_revoked(accounts: Accounts, li: str) -> None:
    made = accounts.make_key(house(), "till", li)
    viewer = accounts.viewer_of_key(made.key)
    assert viewer and viewer.name == li and made.key.startswith("tocsin_")
    for altered in (made.key[:-1] + "~", made.key + "a", made.key.replace(made.id, "0" * 12), "tocsin_", "x"):
        assert accounts.viewer_of_key(altered) is None
    accounts.revoke_key(house(), made.id)
    assert accounts.viewer_of_key(made.key) is None
    assert [key.revoked_at is not None for key in accounts.keys(house())] == [True]


def test_accounts_are_an_administrators_matter(accounts: Accounts) -> None:
    people = people_of_every_role(accounts)
    for role, viewer in people.items():
        if role is Role.ADMINISTRATOR:
            continue
        for ask in (
            accounts.list,
            lambda v: accounts.one(v, "owner"),
            lambda v: accounts.add(v, "mine", Role.OPERATOR),
            lambda v: accounts.change(v, v.name, role=Role.ADMINISTRATOR),
            lambda v: accounts.disable(v, "administrator"),
            lambda v: accounts.make_link("administrator", 60, v),
            lambda v: accounts.make_key(v, "x", "administrator"),
            accounts.audit,
        ):
            with pytest.raises(NotAllowed):
                ask(viewer)


def test_the_log_of_acts_says_who_did_what_and_what_was_refused(accounts: Accounts, li: str) -> None:
    refused(accounts, li, WRONG)
    refused(accounts, "my-own-password", WRONG)
    accounts.log_in(li, PASSWORD)
    accounts.change(house("ann"), li, phone="+8613800000000")
    seen = [(e.who, e.act, e.subject, e.refused) for e in accounts.audit(house()).entries]
    assert seen == [
        ("ann", "change_account", "li", False),
        ("li", "log_in", "", False),
        ("", "log_in", "", True),
        ("li", "log_in", "", True),
        ("house", "add_account", "li", False),
    ]
    whole = str(accounts.audit(house()))
    assert "13800000000" not in whole and "my-own-password" not in whole
    page = accounts.audit(house(), 2)
    assert len(page.entries) == 2 and page.next is not None
    assert len(accounts.audit(house(), 10, page.next).entries) == 3
