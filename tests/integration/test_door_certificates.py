"""Client certificates at the door: HAProxy with deploy/haproxy's own configuration, Mosquitto's client, a real door."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.door import Cause
from schemas import mqtt
from schemas.errors import ConfigError
from schemas.mqtt import Ack, Connack, Connect
from schemas.mqtt_fields import Reason
from schemas.principals import Principal
from tests.door_world import Client, OneLogin, World, door_world
from tests.unit.test_proxied import header, tls
from tests.waiting import until
from tocsin.certs import issue, issue_to_login

pytestmark = pytest.mark.integration
KITCHEN = "shop-1/kitchen"
LOGINS = (Principal(KITCHEN, devices=frozenset({KITCHEN})), Principal("shop-1/bar", devices=frozenset({"shop-1/bar"})))
TELEMETRY = f"tocsin/v1/{KITCHEN}/telemetry"
CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
YEAR = timedelta(days=365)


def program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        say = pytest.fail if os.environ.get("TOCSIN_REQUIRE") == "all" else pytest.skip
        say(f"{name} is missing: apt-get install {package}")
    assert found is not None
    return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with door_world({"proxy_socket": str(tmp_path / "mqtt.sock")}, credentials=OneLogin(*LOGINS)) as made:
        yield made


class Brought(Client):
    """A client that a terminator brings, which says this of it first."""

    def __init__(self, world: World, said: bytes, version: int = mqtt.V5) -> None:
        super().__init__(world.door.port, version)
        self.socket.close()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60.0)
        self.socket.connect(world.settings.proxy_socket)
        self.raw(said)

    def answer(self, **fields: object) -> int:
        self.send(Connect("c", self.version, **fields))  # type: ignore[arg-type]
        code = self.expect(Connack).code
        self.close()
        return int(code)


def test_a_certificate_is_a_login(world: World) -> None:
    """Without user name and password; it publishes for its own device and no other."""
    kitchen = Brought(world, header(tls(KITCHEN)))
    kitchen.connect("k")
    kitchen.publish(b'{"smoke": 1}')
    assert kitchen.expect(Ack).reason == 0
    kitchen.publish(b'{"smoke": 1}', "tocsin/v1/shop-1/bar/telemetry")
    assert kitchen.expect(Ack).reason == Reason.NOT_AUTHORIZED
    assert world.log.values == [1.0]
    kitchen.close()


@pytest.mark.parametrize("pieces", [1, 7])
def test_it_is_read_however_it_is_cut(world: World, pieces: int) -> None:
    """The header and the CONNECT may come in one piece, or byte by byte."""
    whole = header(tls(KITCHEN)) + mqtt.encode(Connect("k", mqtt.V5), mqtt.V5)
    client = Brought(world, b"")
    for at in range(0, len(whole), len(whole) // pieces):
        client.raw(whole[at : at + len(whole) // pieces])
    assert client.expect(Connack).code == 0
    client.close()


def test_who_a_terminator_brings_is_never_anonymous(world: World) -> None:
    """It may come from anywhere, though the terminator is on this machine."""
    assert Brought(world, header()).answer() == Reason.NOT_AUTHORIZED
    assert Brought(world, header(tls(None, has=1))).answer(username=KITCHEN, password=b"wrong") == Reason.BAD_LOGIN
    assert Brought(world, header(tls(None, has=1))).answer(username=KITCHEN, password=KITCHEN.encode()) == 0
    assert world.connected("here", mqtt.V5).socket is not None


def test_a_certificate_is_nobody_elses_login(world: World) -> None:
    """A name beside it must be the same; one that nobody has, or that is not verified, opens nothing."""
    assert Brought(world, header(tls(KITCHEN))).answer(username=KITCHEN, password=b"x") == 0
    other = {"username": "shop-1/bar", "password": b"shop-1/bar"}
    assert Brought(world, header(tls(KITCHEN))).answer(**other) == Reason.BAD_LOGIN
    assert Brought(world, header(tls("shop-9/unknown"))).answer() == Reason.NOT_AUTHORIZED
    assert Brought(world, header(tls(KITCHEN, verdict=1))).answer() == Reason.NOT_AUTHORIZED
    assert Brought(world, header(tls("$anonymous"))).answer() == Reason.NOT_AUTHORIZED


def test_a_client_without_a_header_is_refused(world: World) -> None:
    """And on the port of clients the header of a terminator means nothing."""
    by_itself = Brought(world, mqtt.encode(Connect("c", mqtt.V5), mqtt.V5))
    assert by_itself.is_closed()
    by_itself.close()
    forged = world.client(mqtt.V5)
    forged.raw(header(tls(KITCHEN)))
    assert forged.is_closed()
    assert world.door.counts.refused[Cause.MALFORMED] == 1


def test_the_socket_is_for_user_and_group_and_one_door(world: World, tmp_path: Path) -> None:
    """Whoever connects there is believed. A socket that a kill has left is taken over, a living one is not."""
    path = Path(world.settings.proxy_socket)
    assert path.stat().st_mode & 0o777 == 0o660
    with pytest.raises(ConfigError, match="cannot be used"), door_world({"proxy_socket": str(path)}):
        pass
    world.end()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    world.start()
    assert Brought(world, header(tls(KITCHEN))).answer() == 0


@contextmanager
def haproxy(folder: Path, door: str) -> Iterator[int]:
    """With the configuration that we ship, in another folder and on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    text = CONFIG.read_text().replace("/etc/tocsin/certs", str(folder / "certs")).replace("/run/tocsin/mqtt.sock", door)
    # As many connections as the machine of a test has files for.
    text = text.replace("maxconn 20000", "maxconn 100").replace("bind :8883", f"bind 127.0.0.1:{port}")
    (folder / "haproxy.cfg").write_text(text)
    process = subprocess.Popen([program("haproxy", "haproxy"), "-db", "-f", str(folder / "haproxy.cfg")])
    try:

        def answers() -> bool:
            assert process.poll() is None, "haproxy does not take deploy/haproxy/haproxy.cfg"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers, "haproxy answers")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_a_device_logs_in_with_a_certificate_through_haproxy(world: World, tmp_path: Path) -> None:
    """As it is shipped: what our command issues is taken, and nothing else."""
    publisher, certs, now = program("mosquitto_pub", "mosquitto-clients"), tmp_path / "certs", datetime.now(UTC)
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "certs", "--login", KITCHEN, "--login", "shop-1/bar", "--folder", str(certs)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    issue(certs, ["mqtt.example.org", "127.0.0.1"], YEAR, YEAR, now)
    issue_to_login(tmp_path / "strangers", KITCHEN, YEAR, YEAR, now)

    def publish(port: int, folder: Path | None, name: str = f"logins/{KITCHEN}", *more: str) -> int:
        words = [
            publisher,
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-V",
            "5",
            "-q",
            "1",
            "-t",
            TELEMETRY,
            "-m",
            '{"smoke": 2}',
        ]
        words += ["--cafile", str(certs / "ca.crt"), *more]
        if folder is not None:
            words += ["--cert", str(folder / f"{name}.crt"), "--key", str(folder / f"{name}.key")]
        return subprocess.run(words, capture_output=True, timeout=30).returncode

    with haproxy(tmp_path, world.settings.proxy_socket) as port:
        assert publish(port, certs) == 0
        assert world.log.values == [2.0]
        assert publish(port, None) != 0, "without certificate and password"
        assert publish(port, None, "", "-u", KITCHEN, "-P", KITCHEN) == 0, "with a password"
        assert publish(port, tmp_path / "strangers") != 0, "of another authority"
        assert publish(port, certs, "mqtt.example.org") != 0, "a server's is no client's"
        publish(port, certs, "logins/shop-1/bar")
        assert world.log.values == [2.0, 2.0], "another device's certificate publishes nothing here"
