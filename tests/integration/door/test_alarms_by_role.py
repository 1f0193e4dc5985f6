"""Alarms at the door by role, and logins that change while their clients are connected."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ingest.door import Cause
from registry.accounts import Accounts
from registry.logins import KnownLogins
from registry.store import LoginFollower, add_device, open_registry, renew_secret
from schemas import mqtt
from schemas.entries import DeviceFacts
from schemas.mqtt import Ack, Connack, Connect, Disconnect, Publish, Type, Will
from schemas.mqtt_fields import Reason
from schemas.principals import Principal
from schemas.viewers import Role, house
from tests.accounts_world import SetClock, make_accounts
from tests.door_world import STATUS, TELEMETRY, Client, OneLogin, World, door_world

pytestmark = pytest.mark.integration
ANY = "tocsin/v1/+/alarms"
ANY_STATE = "tocsin/v1/+/alarms/state"
OPERATOR = Principal("operator", every_alarm=True)
SUPERVISOR = Principal("supervisor", alarms=frozenset({"shop-1", "shop-2"}))
KITCHEN = Principal("kitchen", devices=frozenset({"shop-1/kitchen"}))


def alarms(enterprise: str) -> str:
    return f"tocsin/v1/{enterprise}/alarms"


def come(world: World, name: str, version: int = mqtt.V5, **fields: object) -> Client:
    return world.connected(name, version, username=name, password=name.encode(), **fields)


def heard(client: Client) -> str:
    packet = client.expect(Publish)
    client.send(Ack(Type.PUBACK, packet.packet_id))
    return f"{packet.topic} {packet.payload.decode()}"


def test_a_wildcard_hears_the_alarms_that_are_ones_own() -> None:
    """A supervisor need not know the codes of the enterprises of the district, and hears of no others."""
    with door_world(credentials=OneLogin(OPERATOR, SUPERVISOR)) as world:
        operator, supervisor = come(world, "operator"), come(world, "supervisor")
        for client in (operator, supervisor):
            assert client.subscribe(ANY, ANY_STATE) == (1, 1)
        world.door.publish(alarms("shop-9"), b"far", 1)
        world.door.publish(f"{alarms('shop-9')}/state", b"[9]", 1, True)
        world.door.publish(alarms("shop-2"), b"near", 1)
        assert [heard(operator) for _ in range(3)] == [
            f"{alarms('shop-9')} far", f"{alarms('shop-9')}/state [9]", f"{alarms('shop-2')} near",
        ]  # fmt: skip
        assert heard(supervisor) == f"{alarms('shop-2')} near"
        late = world.connected("late", mqtt.V5, username="supervisor", password=b"supervisor")
        late.subscribe(ANY_STATE)
        world.door.publish(f"{alarms('shop-1')}/state", b"[1]", 1, True)
        assert heard(late) == f"{alarms('shop-1')}/state [1]"


def test_who_reads_alarms_publishes_nothing() -> None:
    """A key that leaks from a screen on a wall must not be able to feign a reading."""
    with door_world(credentials=OneLogin(OPERATOR)) as world:
        operator = come(world, "operator")
        operator.publish(b'{"smoke": 1}', TELEMETRY)
        assert operator.expect(Ack).reason == Reason.NOT_AUTHORIZED
        operator.publish(b"[]", f"{alarms('shop-1')}/state")
        assert operator.expect(Ack).reason == Reason.NOT_AUTHORIZED
        assert world.log.values == []


def test_rights_that_change_hold_at_once_without_a_new_subscription() -> None:
    """An enterprise moves to another district while a screen is open."""
    with door_world(credentials=(logins := OneLogin(SUPERVISOR))) as world:
        supervisor = come(world, "supervisor")
        supervisor.subscribe(ANY)
        logins.become(Principal("supervisor", alarms=frozenset({"shop-3"})))
        world.pass_time(0.5)
        world.door.publish(alarms("shop-1"), b"gone", 1)
        world.door.publish(alarms("shop-3"), b"new", 1)
        assert heard(supervisor) == f"{alarms('shop-3')} new"
        logins.become(Principal("supervisor"))
        world.pass_time(0.5)
        world.door.publish(alarms("shop-3"), b"gone", 1)
        supervisor.send(mqtt.Bare(Type.PINGREQ))
        assert supervisor.read() == mqtt.Bare(Type.PINGRESP)


@pytest.mark.parametrize("version", [mqtt.V311, mqtt.V5])
def test_a_login_that_is_taken_away_ends_its_connections(version: int) -> None:
    """And its will is not spoken: what it may say, it may say no more."""
    with door_world(credentials=(logins := OneLogin(KITCHEN))) as world:
        kitchen = come(world, "kitchen", version, will=Will(STATUS, b"offline", 1))
        kitchen.publish(b'{"smoke": 1}')
        kitchen.expect(Ack)
        logins.become(gone=["kitchen"])
        world.pass_time(0.5)
        if version == mqtt.V5:
            assert kitchen.read() == Disconnect(Reason.NOT_AUTHORIZED)
        assert kitchen.is_closed()
        assert world.door.counts.closed[Cause.REVOKED] == 1
        world.pass_time(2.0)
        assert world.log.values == [1.0]


def test_a_device_that_is_given_to_another_login_is_refused_from_then_on() -> None:
    """The verdict on its topic was remembered for the old rights."""
    with door_world(credentials=(logins := OneLogin(KITCHEN))) as world:
        kitchen = come(world, "kitchen")
        kitchen.publish(b'{"smoke": 1}')
        assert kitchen.expect(Ack).reason == 0
        logins.become(Principal("kitchen", devices=frozenset({"shop-1/other"})))
        world.pass_time(0.5)
        kitchen.publish(b'{"smoke": 2}')
        assert kitchen.expect(Ack).reason == Reason.NOT_AUTHORIZED
        assert world.log.values == [1.0]


def test_a_session_that_is_away_hears_what_its_login_may_read_by_then() -> None:
    """After a restart the door knows it by its saved subscriptions alone."""
    fields = {"clean": False, "properties": {}}
    with door_world(credentials=(logins := OneLogin(SUPERVISOR))) as world:
        come(world, "supervisor", mqtt.V311, **fields).subscribe(ANY)
        world.restart()
        world.door.publish(alarms("shop-1"), b"before", 1)
        logins.become(Principal("supervisor", alarms=frozenset({"shop-2"})))
        world.pass_time(0.5)
        for shop in ("shop-1", "shop-2"):
            world.door.publish(alarms(shop), b"after", 1)
        supervisor = world.client()
        assert supervisor.connect("supervisor", username="supervisor", password=b"supervisor", **fields).session_present
        assert [heard(supervisor) for _ in range(2)] == [f"{alarms('shop-1')} before", f"{alarms('shop-2')} after"]


class House:
    """Accounts, devices and the door's knowledge of them, on a real PostgreSQL."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.accounts: Accounts = make_accounts(dsn, SetClock())
        self.logins = KnownLogins()
        self.follower = LoginFollower(dsn, self.logins)
        with psycopg.connect(dsn) as connection:
            connection.execute("INSERT INTO districts (code, name) VALUES ('310101', '黄浦'), ('310104', '徐汇')")
            for code, district in (("shop-1", "310101"), ("shop-2", "310101"), ("shop-3", "310104")):
                connection.execute(
                    "INSERT INTO enterprises (code, name, trade, district) VALUES (%s, %s, 'H62', %s)",
                    (code, code, district),
                )

    def key(self, login: str, role: Role, **scope: tuple[str, ...]) -> str:
        self.accounts.add(house(), login, role, **scope)
        return self.accounts.make_key(house(), "screen", login).key

    def reads(self, login: str, key: str) -> set[str]:
        self.follower.refresh()
        principal = self.logins.check(login, key.encode())
        if principal is None:
            return set()
        return {shop for shop in ("shop-1", "shop-2", "shop-3") if principal.reads_alarms(shop)}

    def close(self) -> None:
        self.follower.close()
        self.accounts.close()


@pytest.fixture
def people(dsn: str) -> Iterator[House]:
    made = House(dsn)
    yield made
    made.close()


def test_an_account_reads_at_the_door_what_it_sees_in_the_console(people: House) -> None:
    """By its login and an API key; a key of another account, or of none, opens nothing."""
    every = {"shop-1", "shop-2", "shop-3"}
    operator = people.key("li", Role.OPERATOR)
    assert people.reads("li", operator) == every
    assert people.reads("li", people.key("wang", Role.OPERATOR, districts=("310104",))) == set()
    assert people.reads("zhao", people.key("zhao", Role.SUPERVISOR, districts=("310101",))) == {"shop-1", "shop-2"}
    assert people.reads("boss", people.key("boss", Role.OWNER, enterprises=("shop-3",))) == {"shop-3"}
    assert people.reads("root2", people.key("root2", Role.ADMINISTRATOR)) == every
    assert people.reads("ines", people.key("ines", Role.INTEGRATOR, enterprises=("shop-1",))) == set()
    assert people.logins.check("li", operator[:-1].encode()) is None
    assert people.logins.check("li", b"") is None


def test_an_enterprise_that_moves_moves_at_the_door(people: House) -> None:
    """The scope of a district is what the registry says now."""
    key = people.key("zhao", Role.SUPERVISOR, districts=("310101",))
    assert people.reads("zhao", key) == {"shop-1", "shop-2"}
    with psycopg.connect(people.dsn) as connection:
        connection.execute("UPDATE enterprises SET district = '310104' WHERE code = 'shop-2'")
        connection.execute("UPDATE enterprises SET district = '310101' WHERE code = 'shop-3'")
    assert people.reads("zhao", key) == {"shop-1", "shop-3"}


def test_tries_and_uses_do_not_make_doors_read_all_logins_again(people: House) -> None:
    """A thousand wrong passwords would otherwise cost a thousand times the registry."""
    people.key("li", Role.OPERATOR)
    people.follower.refresh()
    with psycopg.connect(people.dsn) as connection:
        connection.execute("UPDATE accounts SET failed = failed + 1")
        connection.execute("UPDATE api_keys SET used_at = now()")
        connection.execute("UPDATE enterprises SET name = 'another'")
    assert not people.follower.refresh()


@pytest.mark.parametrize("how", ["disabled", "revoked"])
def test_an_account_that_is_disabled_or_a_key_that_is_revoked_ends_the_connection(people: House, how: str) -> None:
    """At the door as in the console: within about a second."""
    key = people.key("li", Role.OPERATOR)
    people.follower.refresh()
    with door_world(credentials=people.logins) as world:
        screen = world.connected("screen", mqtt.V5, username="li", password=key.encode())
        assert screen.subscribe(ANY) == (1,)
        if how == "disabled":
            people.accounts.disable(house(), "li")
        else:
            people.accounts.revoke_key(house(), people.accounts.keys(house())[0].id)
        assert people.follower.refresh()
        world.pass_time(0.5)
        assert screen.read() == Disconnect(Reason.NOT_AUTHORIZED)
        again = world.client(mqtt.V5)
        again.send(Connect("screen", mqtt.V5, username="li", password=key.encode()))
        assert again.expect(Connack).code == Reason.BAD_LOGIN


def test_a_new_secret_ends_the_connections_of_the_old_one(people: House) -> None:
    """A secret is renewed because somebody else may have it."""
    with open_registry(people.dsn) as connection:
        old = add_device(connection, DeviceFacts("shop-1", "kitchen"))
    people.follower.refresh()
    with door_world(credentials=people.logins) as world:
        kitchen = world.connected("k", mqtt.V5, username="shop-1/kitchen", password=old.encode())
        with open_registry(people.dsn) as connection:
            add_device(connection, DeviceFacts("shop-1", "bar"))
        people.follower.refresh()
        world.pass_time(0.5)
        kitchen.publish(b'{"smoke": 1}')
        assert kitchen.expect(Ack).reason == 0
        with open_registry(people.dsn) as connection:
            new = renew_secret(connection, "shop-1/kitchen")
        people.follower.refresh()
        world.pass_time(0.5)
        assert kitchen.read() == Disconnect(Reason.NOT_AUTHORIZED)
        world.connected("k", mqtt.V5, username="shop-1/kitchen", password=new.encode())
