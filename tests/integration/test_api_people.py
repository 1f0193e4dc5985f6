"""What people and programs do about alarms over the API: together, twice, in pages, by keys of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from console.services import Services
from schemas.alarms import Grade, State
from schemas.viewers import Role, house
from tests.accounts_world import PASSWORD
from tests.alerting_world import event
from tests.api_world import Asker, all_services, api_of
from tests.people_world import add_contact
from tests.watching_world import Tale, settle, telling

pytestmark = pytest.mark.integration
PEOPLE: dict[str, tuple[Role, dict[str, tuple[str, ...]]]] = {
    "li": (Role.OPERATOR, {}),
    "zhang": (Role.OPERATOR, {}),
    "north": (Role.SUPERVISOR, {"districts": ("310101",)}),
    "wang": (Role.OWNER, {"enterprises": ("shop-1",)}),
    "other": (Role.OWNER, {"enterprises": ("shop-2",)}),
    "installer": (Role.INTEGRATOR, {"enterprises": ("shop-1",)}),
    "boss": (Role.ADMINISTRATOR, {}),
    "second_boss": (Role.ADMINISTRATOR, {}),
}


@dataclass
class Room:
    """A watch room: the house's token asks by `house`, everybody else by a key of their own."""

    tale: Tale
    services: Services
    house: Asker

    def __getitem__(self, login: str) -> Asker:
        accounts = self.services.accounts
        assert accounts is not None
        role, scope = PEOPLE[login]
        viewer = accounts.add(house(), login, role, password=PASSWORD, **scope).viewer
        return self.house.as_(accounts.make_key(viewer, "test").key)


@pytest.fixture
def room(dsn: str) -> Iterator[Room]:
    settle(dsn, "shop-1", "shop-2")
    with telling(dsn) as tale, all_services(dsn) as services:
        yield Room(tale, services, Asker(api_of(services)))


def test_two_officers_on_one_alarm_both_stand_in_its_story(room: Room) -> None:
    """Nobody's act is lost because another was quicker."""
    (key,) = room.tale.tell(event(State.RAISED, Grade.RED, latched=True))
    li, zhang = room["li"], room["zhang"]
    for asker, words in ((li, "I go"), (zhang, "I call the owner")):
        assert asker("POST", f"/api/v1/alarms/{key}/ack", json={"step": 1}).status_code == 200
        assert asker("POST", f"/api/v1/alarms/{key}/comments", json={"text": words}).status_code == 201
    shown = li("GET", f"/api/v1/alarms/{key}").json()
    assert [done["by"] for done in shown["acknowledgements"]] == ["li", "zhang"]
    assert [(said["by"], said["text"]) for said in shown["comments"]] == [("li", "I go"), ("zhang", "I call the owner")]
    assert (shown["alarm"]["acknowledged_by"], shown["alarm"]["comments"]) == ("li", 2)
    # It is raised again: what the second one saw is no more.
    room.tale.tell(
        event(State.CLEARED, Grade.RED, step=2, latched=True), event(State.RAISED, Grade.RED, step=3, latched=True)
    )
    late = zhang("POST", f"/api/v1/alarms/{key}/ack", json={"step": 2})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "not_possible")
    assert not li("GET", f"/api/v1/alarms/{key}").json()["alarm"]["acknowledged"]


def test_everybody_acts_in_their_own_name(room: Room) -> None:
    """The house's token speaks for others, as the command does; nobody else."""
    (key,) = room.tale.tell(event(State.RAISED, Grade.RED))
    forged = room["li"]("POST", f"/api/v1/alarms/{key}/ack", json={"by": "zhang"})
    assert (forged.status_code, forged.json()["error"]["field"]) == (400, "by")
    done = room.house("POST", f"/api/v1/alarms/{key}/ack", json={"by": "Chen Na"})
    assert done.json()["acknowledged_by"] == "Chen Na"


ACTS: list[tuple[str, dict[str, Any]]] = [
    ("ack", {"note": "seen"}),
    ("comments", {"text": "smoke from the wok"}),
    ("assign", {"to": "li"}),
    ("verdict", {"verdict": "false"}),
    ("reset", {"verdict": "false", "note": "steam"}),
]


def test_an_act_under_one_key_is_done_once(room: Room) -> None:
    """A phone in a lift sends twice."""
    li, zhang = room["li"], room["zhang"]
    lists = {"ack": "acknowledgements", "comments": "comments", "assign": "assignments", "reset": "commands"}
    for act, body in ACTS:
        (key, _) = room.tale.tell(
            event(State.RAISED, Grade.RED, device=act, latched=True),
            event(State.CLEARED, Grade.RED, device=act, step=2, latched=True),
        )
        headers = {"Idempotency-Key": f"once-{act}"}
        answers = [li("POST", f"/api/v1/alarms/{key}/{act}", json=body, headers=headers) for _ in range(3)]
        assert {answer.status_code for answer in answers} <= {200, 201, 202}, act
        assert answers[0].json() == answers[1].json() == answers[2].json(), act
        shown = li("GET", f"/api/v1/alarms/{key}").json()
        assert len(shown[lists.get(act, "verdicts")]) == 1, act
        assert len(shown["verdicts"]) == ("verdict" in body), act
        assert shown["alarm"]["verdict"] == body.get("verdict", ""), act
        other = zhang("POST", f"/api/v1/alarms/{key}/{act}", json=body, headers=headers)
        assert other.json()["error"]["code"] == "not_possible", "it stands for what li did"


def test_what_is_elsewhere_is_not_there_and_what_one_may_not_is_said(room: Room) -> None:
    """Another's alarm is no secret to be guarded but nothing at all; one's own says what the role may not."""
    (key,) = room.tale.tell(event(State.RAISED, Grade.RED, latched=True))
    askers = {login: room[login] for login in PEOPLE}
    owners = {"ack": 200, "comments": 201}
    for act, body in ACTS:
        path = f"/api/v1/alarms/{key}/{act}"
        wanted = {
            "wang": owners.get(act, 403), "other": 404 if act in owners else 403, "north": 403, "installer": 403,
        }  # fmt: skip
        assert {login: askers[login]("POST", path, json=body).status_code for login in wanted} == wanted, act
        nothing = askers["zhang"]("POST", f"/api/v1/alarms/{'0' * 32}/{act}", json=body)
        assert nothing.status_code == 404
    assert askers["other"]("GET", f"/api/v1/alarms/{key}").status_code == 404
    assert askers["installer"]("GET", f"/api/v1/alarms/{key}").status_code == 403


def test_an_alarm_is_given_to_whom_it_may_concern(room: Room) -> None:
    """A name that cannot see it would never know."""
    (key,) = room.tale.tell(event(State.RAISED, Grade.RED))
    li = room["li"]
    for login in ("wang", "other", "north"):
        room[login]
    found = li("GET", f"/api/v1/alarms/{key}/assignees").json()["assignees"]
    assert [one["login"] for one in found] == ["li", "wang"]
    assert li("POST", f"/api/v1/alarms/{key}/assign", json={"to": "wang"}).status_code == 200
    assert li("POST", f"/api/v1/alarms/{key}/assign", json={"to": "other"}).status_code == 409
    mine = li("GET", "/api/v1/alarms", params={"assigned_to": "wang"}).json()["alarms"]
    assert [alarm["assigned_to"] for alarm in mine] == ["wang"]
    li("POST", f"/api/v1/alarms/{key}/assign", json={"to": ""})
    assert li("GET", "/api/v1/alarms", params={"assigned_to": "wang"}).json()["alarms"] == []


def test_a_verdict_waits_until_the_alarm_has_cleared_and_ends_with_the_next_raise(room: Room) -> None:
    """What burns now is not yet known to be false; what was false once may be a fire the next time."""
    (key,) = room.tale.tell(event(State.RAISED, Grade.RED, latched=True))
    li = room["li"]
    early = li("POST", f"/api/v1/alarms/{key}/verdict", json={"verdict": "false"})
    assert early.json()["error"]["what"] == "the alarm is still active."
    room.tale.tell(event(State.CLEARED, Grade.RED, step=2, latched=True))
    assert li("POST", f"/api/v1/alarms/{key}/verdict", json={"verdict": "false"}).status_code == 200
    found = {"verdict": "false", "state": "all"}
    assert len(li("GET", "/api/v1/alarms", params=found).json()["alarms"]) == 1
    room.tale.tell(event(State.RAISED, Grade.RED, step=3, latched=True))
    assert li("GET", "/api/v1/alarms", params=found).json()["alarms"] == []
    assert li("GET", f"/api/v1/alarms/{key}").json()["alarm"]["verdict"] == ""


def test_what_has_not_changed_is_not_sent_again(room: Room) -> None:
    """A program that asks every second reads a line, not a list."""
    (key,) = room.tale.tell(event(State.RAISED, Grade.RED))
    for path in ("/api/v1/alarms", f"/api/v1/alarms/{key}", "/api/v1/rules", "/api/v1/me"):
        first = room.house("GET", path)
        tag = {"If-None-Match": first.headers["ETag"]}
        again = room.house("GET", path, headers=tag)
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    before = room.house("GET", "/api/v1/alarms").headers["ETag"]
    room.house("POST", f"/api/v1/alarms/{key}/comments", json={"by": "li", "text": "on my way"})
    assert room.house("GET", "/api/v1/alarms", headers={"If-None-Match": before}).status_code == 200


@pytest.mark.parametrize("order", ["worst", "newest"])
def test_pages_have_no_gap_and_no_repeat_while_alarms_change(room: Room, order: str) -> None:
    """Whoever reads all pages has read every alarm that stood there all the time, once."""
    grades = [Grade.BLUE, Grade.YELLOW, Grade.RED, Grade.ORANGE]
    raised = [
        event(State.RAISED, grades[n % 4], device=f"d{n}", latched=True, event_us=1_000 + n // 3) for n in range(20)
    ]
    still = set(room.tale.tell(*raised))
    seen: list[str] = []
    cursor, rounds = "", 0
    while True:
        asked = {"limit": 3, "cursor": cursor, "order": order, "state": "all"}
        page = room.house("GET", "/api/v1/alarms", params=asked).json()
        seen += [alarm["key"] for alarm in page["alarms"]]
        cursor = page["next"]
        if not cursor:
            break
        rounds += 1
        # One comes at the head of the list, and one is acknowledged.
        room.tale.tell(event(State.RAISED, Grade.RED, device=f"new{rounds}", latched=True, event_us=9_000 + rounds))
        room.house("POST", f"/api/v1/alarms/{seen[0]}/ack", json={"by": "li"})
    assert len(seen) == len(set(seen)) and still <= set(seen)


NARROWED: list[tuple[dict[str, str], set[str]]] = [
    ({"text": "老王"}, {"kitchen", "hall"}),
    ({"text": "wang'S"}, {"kitchen", "hall"}),
    ({"text": "shop-2"}, {"hall"}),
    ({"text": "%"}, set()),
    ({"text": "厨房", "state": "open"}, {"kitchen"}),
    ({"text": "HEAT det", "state": "open"}, {"kitchen"}),
    ({"text": "nowhere"}, {"shed"}),
    ({"district": "310102"}, {"hall"}),
    ({"device": "hall"}, {"hall"}),
    ({"acknowledged": "true"}, {"hall"}),
    ({"acknowledged": "false", "order": "newest"}, {"kitchen", "shed"}),
    ({"since": "1970-01-01T00:00:02Z"}, {"hall", "shed"}),
    ({"until": "1970-01-01T08:00:02+08:00"}, {"kitchen"}),
    ({"kind": "fire", "grade": "red", "order": "newest"}, {"kitchen"}),
    ({"kind": "gas"}, set()),
    ({"enterprise": "shop-2", "state": "ended"}, {"hall"}),
]


def test_the_list_is_narrowed(room: Room) -> None:
    """Somebody looks for one alarm among many, by what they know of it."""
    room.tale.tell(
        event(State.RAISED, Grade.RED, event_us=1_000_000),
        event(State.RAISED, Grade.BLUE, enterprise="shop-2", device="hall", event_us=2_000_000),
        event(State.RAISED, Grade.YELLOW, enterprise="nowhere", device="shed", event_us=3_000_000),
    )
    (hall,) = room.house("GET", "/api/v1/alarms", params={"device": "hall"}).json()["alarms"]
    room.house("POST", f"/api/v1/alarms/{hall['key']}/ack", json={"by": "li"})
    room.tale.tell(event(State.CLEARED, Grade.BLUE, enterprise="shop-2", device="hall", step=2, event_us=2_500_000))
    for query, wanted in NARROWED:
        found = room.house("GET", "/api/v1/alarms", params={"state": "all"} | query).json()["alarms"]
        assert {alarm["device"] for alarm in found} == wanted, query


def test_a_time_without_a_zone_is_refused(room: Room) -> None:
    """Eight hours are a night."""
    answer = room.house("GET", "/api/v1/alarms", params={"since": "2026-11-30T08:00:00"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "since")


def test_the_list_of_an_owner_is_the_owners(room: Room) -> None:
    """Also of what the registry has never heard of."""
    room.tale.tell(*(event(State.RAISED, Grade.RED, enterprise=shop) for shop in ("shop-1", "shop-2", "shop-3")))
    wanted = {"wang": {"shop-1"}, "north": {"shop-1"}, "li": {"shop-1", "shop-2", "shop-3"}}
    for login, shops in wanted.items():
        asker = room[login]
        for state in ("open", "all"):
            for order in ("worst", "newest"):
                asked = {"state": state, "order": order}
                found = asker("GET", "/api/v1/alarms", params=asked).json()["alarms"]
                assert {alarm["enterprise"] for alarm in found} == shops


def test_a_message_is_read_before_anybody_is_told(room: Room) -> None:
    """Whoever enters a contact wants to know what they will read, and what it will cost."""
    wang = room["wang"]
    path = "/api/v1/enterprises/shop-1/preview"
    shown = wang("GET", path, params={"kind": "gas", "grade": "orange", "language": "zh"}).json()
    assert "老王饭店" in shown["text"] and shown["segments"] >= 1 and shown["alphabet"] == "UCS-2"
    assert wang("GET", "/api/v1/enterprises/shop-2/preview").status_code == 404
    assert wang("POST", "/api/v1/messages/test").status_code == 409, "the account has no phone"
    assert wang("POST", "/api/v1/enterprises/shop-1/contacts/1/test").status_code == 404


def test_too_many_test_messages_are_told_when_to_come_again(room: Room, dsn: str) -> None:
    add_contact(dsn, 1, enterprise="shop-1")
    wang, path = room["wang"], "/api/v1/enterprises/shop-1/contacts/1/test"
    assert wang("POST", path).status_code == 202
    again = wang("POST", path)
    assert (again.status_code, again.json()["error"]["code"]) == (429, "too_many")
    assert 0 < int(again.headers["Retry-After"]) <= 60 and "minute" in again.json()["error"]["what"]


def test_what_is_made_under_one_key_is_made_once(room: Room) -> None:
    """A script that was cut off runs again; a key that nobody knows of is a hole."""
    boss, other = room["boss"], room["second_boss"]
    headers = {"Idempotency-Key": "deploy-7"}
    body = {"login": "made", "role": "operator"}
    nothing = boss("POST", "/api/v1/accounts", json=body | {"login": "-"}, headers=headers)
    assert nothing.status_code == 400, "it came to nothing"
    assert boss("POST", "/api/v1/accounts", json=body, headers=headers).status_code == 201
    again = boss("POST", "/api/v1/accounts", json=body, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "not_possible")
    theirs = other("POST", "/api/v1/accounts", json=body | {"login": "more"}, headers=headers)
    assert theirs.status_code == 201, "the other's own"
    blank = boss("POST", "/api/v1/accounts", json=body, headers={"Idempotency-Key": "a b"})
    assert blank.json()["error"]["field"] == "Idempotency-Key"
