"""Looks at the broker that bridges read: does it answer, and does it let us in?"""

from __future__ import annotations

import secrets
import socket
import ssl
from urllib.parse import urlsplit

from schemas.mqtt import decode, encode
from schemas.mqtt_fields import ProtocolFault
from schemas.mqtt_packets import V311, Bare, Connack, Connect, Type
from tocsin.doctor.findings import Finding, fine, wrong
from tocsin.settings import Settings

_PATIENCE_S = 5.0
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_REFUSALS = {
    1: "it does not speak MQTT 3.1.1", 2: "it refuses the client id", 3: "it is not available",
    4: "user name or password is wrong", 5: "the user may not connect",
}  # fmt: skip
"""Return codes of a CONNACK, MQTT 3.1.1 section 3.2.2.3."""


def broker(settings: Settings) -> Finding:
    """One CONNECT with a client id of its own, so that no bridge's session is touched."""
    url = urlsplit(settings.broker)
    try:
        port = url.port or _PORTS.get(url.scheme, 0)
    except ValueError:
        port = 0
    if url.scheme not in _PORTS or not url.hostname or not port:
        return wrong("broker", "TOCSIN_BROKER is no address", "Write mqtt:// or mqtts://[user@]host[:port].")
    where = f"{url.hostname}:{port}"
    try:
        with socket.create_connection((url.hostname, port), _PATIENCE_S) as plain:
            plain.settimeout(_PATIENCE_S)
            if url.scheme == "mqtt":
                return _connect(plain, where, url.username, settings)
            context = ssl.create_default_context(cafile=settings.broker_ca)
            with context.wrap_socket(plain, server_hostname=url.hostname) as link:
                return _connect(link, where, url.username, settings)
    except ssl.SSLError as error:
        mend = "Name the authority that signed it in TOCSIN_BROKER_CA."
        return wrong("broker", f"{where}: its certificate does not fit: {error.reason or error}", mend)
    except OSError as error:
        said = error.strerror or str(error)
        return wrong("broker", f"{where}: {said}", "Is it up, and does TOCSIN_BROKER name it?")


def _connect(link: socket.socket, where: str, user: str | None, settings: Settings) -> Finding:
    password = settings.broker_password.get_secret_value().encode() if user else None
    client = f"tocsin-doctor-{secrets.token_hex(4)}"
    link.sendall(encode(Connect(client, V311, username=user, password=password), V311))
    try:
        answer = decode(_read(link, 4), V311)
    except ProtocolFault:
        answer = Bare(Type.PINGRESP)
    if not isinstance(answer, Connack):
        return wrong("broker", f"{where}: what answers is no MQTT broker", "Does TOCSIN_BROKER name the right port?")
    if answer.code:
        said = _REFUSALS.get(answer.code, f"it refuses with code {answer.code}")
        return wrong("broker", f"{where}: {said}", "Check the user in TOCSIN_BROKER, and TOCSIN_BROKER_PASSWORD.")
    return fine("broker", f"{where} lets us in")


def _read(link: socket.socket, size: int) -> bytes:
    """Raises OSError when the other side ends before."""
    got = b""
    while len(got) < size:
        more = link.recv(size - len(got))
        if not more:
            raise ConnectionResetError(0, "it hung up without an answer")
        got += more
    return got
