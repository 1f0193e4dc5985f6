"""Connects to the broker with paho: TCP, TLS, login, the session, its subscriptions. Then the socket is read in bulk.

paho reads one packet at a time and no byte beyond it, so all that comes behind the broker's CONNACK is still in the
socket; a message that it has read all the same is handed on first.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt import MQTTException
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.bridge.limits import BridgeSettings, Cause
from ingest.bridge.sessions import STATUS, Held
from schemas import mqtt
from schemas.errors import TocsinError
from schemas.mqtt_fields import LARGEST_REMAINING, Reason

_RETAINED_IF_NEW, _RETAINED_NEVER = 1, 2
"""Retain Handling: whether a subscription brings what is retained."""
_WITHOUT_SHARING = "Leave TOCSIN_BROKER_SHARE empty: then one bridge takes everything."


class Undialled(TocsinError):
    """There is no connection, and why."""

    def __init__(self, cause: Cause, what: str, *, mend: str = "") -> None:
        super().__init__(what, mend=mend)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection that is logged in. asked: packet id of its SUBSCRIBE; parted: of its UNSUBSCRIBE; 0 for none."""

    client: paho.Client
    """Closes the socket when it goes, so it stays as long as that."""
    socket: socket.socket
    version: int
    is_resumed: bool
    keep_alive_s: int
    receive_maximum: int
    """QoS 1 messages that the broker takes from us without its PUBACK."""
    largest: int
    """Bytes of the largest packet that the broker takes."""
    asked: int
    parted: int
    first: bytes
    """What paho has read beyond the CONNACK, as frames."""


def dial(settings: BridgeSettings, held: Held, version: int) -> Dialled:
    """Resume or begin the session. Blocks for up to three times `connect_s`. Raises Undialled."""
    client = _client(settings, held.client_id, version)
    heard: list[tuple[bool, int, Any]] = []
    first = bytearray()

    def on_connect(_client: Any, _data: Any, flags: Any, reason: Any, properties: Any) -> None:
        heard.append((flags.session_present, int(reason.value), properties))

    def on_message(_client: Any, _data: Any, message: Any) -> None:
        publish = mqtt.Publish(
            message.topic, message.payload, message.qos, message.retain, message.dup, message.mid
        )  # fmt: skip
        first.extend(mqtt.encode(publish, version))

    client.on_connect, client.on_message = on_connect, on_message
    until = time.monotonic() + 3 * settings.connect_s
    try:
        client.reconnect()
        _drive(client, lambda: bool(heard), until)
        present, reason, properties = heard[0]
        if reason:
            raise _refusal(settings, reason)
        told = vars(properties)
        if settings.group and told.get("SharedSubscriptionAvailable") == 0:
            raise Undialled(Cause.SHARED, "it has no shared subscriptions.", mend=_WITHOUT_SHARING)
        asked, parted = _subscribe(client, held, version)
        _drive(client, lambda: not client.want_write(), until)
    except Undialled:
        client.disconnect()
        raise
    except ssl.SSLCertVerificationError as error:
        raise Undialled(
            Cause.TLS, f"its certificate is not accepted: {error.verify_message}.",
            mend="Name the authority that signed it in TOCSIN_BROKER_CA, and the host as the certificate does.",
        ) from error  # fmt: skip
    except ssl.SSLError as error:
        raise Undialled(Cause.TLS, f"TLS failed: {error.reason or error}.") from error
    except OSError as error:
        raise Undialled(Cause.UNREACHABLE, f"{error.strerror or error or type(error).__name__}.") from error
    except (ValueError, IndexError, struct.error, MQTTException) as error:
        # A broker of 3.1.1 answers in its own words, which paho does not understand when it has asked in those of 5.
        raise _wrong_version(settings, f"its answer was not understood: {error}.") from error
    connected = cast(socket.socket, client.socket())
    if connected is None:
        raise Undialled(Cause.CUT, "it has closed the connection.")
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Dialled(
        client,
        connected,
        version,
        is_resumed=present,
        keep_alive_s=told.get("ServerKeepAlive", settings.keep_alive_s),
        receive_maximum=told.get("ReceiveMaximum", 65_535),
        largest=told.get("MaximumPacketSize", LARGEST_REMAINING),
        asked=asked,
        parted=parted,
        first=bytes(first),
    )


def _client(settings: BridgeSettings, client_id: str, version: int) -> paho.Client:
    five = version == mqtt.V5
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id, None if five else False,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        # What paho has read is acknowledged by us, behind its commit.
        reconnect_on_failure=False, manual_ack=True,
    )  # fmt: skip
    client.connect_timeout = settings.connect_s
    if settings.username:
        client.username_pw_set(settings.username, settings.password or None)
    if settings.tls:
        client.tls_set_context(_context(settings))
    where = settings.host, settings.port, settings.keep_alive_s
    if five:
        asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        asked.SessionExpiryInterval = settings.session_expiry_s
        asked.ReceiveMaximum = settings.receive_maximum
        client.connect_async(*where, clean_start=False, properties=asked)
    else:
        client.connect_async(*where)
    return client


def _context(settings: BridgeSettings) -> ssl.SSLContext:
    """What the machine trusts, or the named authority alone. A handshake that fails closes its socket, in time."""

    class Handshake(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            self.settimeout(settings.connect_s)
            try:
                super().do_handshake(block)
            except BaseException:
                self.close()
                raise

    context = ssl.create_default_context(cafile=settings.ca)
    context.sslsocket_class = Handshake
    return context


def _subscribe(client: paho.Client, held: Held, version: int) -> tuple[int, int]:
    asked: int | None = 0
    parted: int | None = 0
    if held.unwanted:
        _, parted = client.unsubscribe(list(held.unwanted))
    if held.wanted and version == mqtt.V5:
        # Retained telemetry is of a time that nobody knows; a status stands until the next.
        handling = {STATUS: _RETAINED_IF_NEW}
        options = [
            (one, SubscribeOptions(qos=1, retainHandling=handling.get(one, _RETAINED_NEVER))) for one in held.wanted
        ]
        _, asked = client.subscribe(options)
    elif held.wanted:
        _, asked = client.subscribe([(one, 1) for one in held.wanted])
    return asked or 0, parted or 0


def _drive(client: paho.Client, is_done: Callable[[], bool], until: float) -> None:
    """Let paho read and write until `is_done`."""
    while not is_done():
        own = cast(Any, client.socket())
        left_s = until - time.monotonic()
        if own is None:
            raise Undialled(Cause.CUT, "it has closed the connection without an answer.")
        if left_s <= 0:
            raise Undialled(Cause.NO_ANSWER, "it does not answer.")
        if not (isinstance(own, ssl.SSLSocket) and own.pending()):
            waiting = select.poll()
            waiting.register(own, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            waiting.poll(left_s * 1000)
        if client.want_write() and client.loop_write() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            continue
        if not is_done():
            client.loop_read()


def _wrong_version(settings: BridgeSettings, what: str) -> Undialled:
    return Undialled(Cause.VERSION, what, mend=_WITHOUT_SHARING if settings.group else "")


def _refusal(settings: BridgeSettings, reason: int) -> Undialled:
    if reason in (Reason.BAD_LOGIN, Reason.NOT_AUTHORIZED):
        mend = "Give the broker's user in TOCSIN_BROKER and the password in TOCSIN_BROKER_PASSWORD."
        return Undialled(Cause.LOGIN, f"it refuses the login {settings.username or '(none)'}.", mend=mend)
    if reason == Reason.UNSUPPORTED_VERSION:
        return _wrong_version(settings, "it does not speak MQTT 5.")
    if reason == Reason.CLIENT_ID_NOT_VALID:
        return Undialled(Cause.CLIENT_ID, "it refuses our client id.")
    return Undialled(Cause.REFUSED, f"it refuses us: reason {reason:#04x}.")
