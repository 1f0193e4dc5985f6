"""A CONNECT and its answer: who the client is, which session it takes up, what is agreed.

The answer waits for the commit that makes session and will durable; a refusal needs none.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from dataclasses import dataclass, replace
from typing import Any

from ingest.door.access import may_publish
from ingest.door.connection import Connection
from ingest.door.limits import Cause
from ingest.door.session import Line
from ingest.door.state import DoorState
from ingest.saved import SessionKey, WillKept
from schemas import mqtt
from schemas.errors import ConfigError, ServiceAway
from schemas.mqtt import Connack, Connect
from schemas.mqtt_fields import LARGEST_REMAINING, Prop, ProtocolFault, Reason
from schemas.principals import ANONYMOUS, Credentials, Principal

_RETURN_CODES = {
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.SERVER_UNAVAILABLE: 3,
    Reason.CONNECTION_RATE_EXCEEDED: 3,
    Reason.QUOTA_EXCEEDED: 3,
    Reason.BAD_LOGIN: 4,
    Reason.NOT_AUTHORIZED: 5,
    Reason.TOPIC_NAME_INVALID: 5,
    Reason.QOS_NOT_SUPPORTED: 5,
}
"""What MQTT 3.1.1 is told; a reason without a return code closes the connection without a word."""


class Refusal(Exception):
    """A client is not let in; `cause` is counted, `reason` is told."""

    def __init__(self, cause: Cause, reason: Reason) -> None:
        super().__init__(cause)
        self.cause = cause
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Candidate:
    """A client that may come in. agreed_s: its keep-alive.  asked_s, expiry_s: of its session, as asked and granted."""

    packet: Connect
    principal: Principal
    key: SessionKey
    will: WillKept | None
    agreed_s: int
    asked_s: int
    expiry_s: int


class Greeting:
    def __init__(self, state: DoorState, credentials: Credentials | None) -> None:
        """Raises ConfigError when clients from elsewhere could come in without a login."""
        self._state = state
        self._credentials = credentials
        self._is_loopback = is_loopback(state.settings.host)
        self._reentry_until = 0.0
        self._allowance = 0.0
        self._allowed_at = 0.0
        self._generation = 0
        if credentials is None and not self._is_loopback:
            raise ConfigError(
                f"the door would be open to anybody on {state.settings.host}.",
                field="mqtt host",
                mend="Add devices with `tocsin devices add`, so that clients log in, or listen on 127.0.0.1.",
            )

    def log_is_back(self) -> None:
        """Clients that could not come in while the log was away come in at a limited rate."""
        now = self._state.monotonic()
        self._reentry_until = now + self._state.settings.reentry_s
        self._allowance, self._allowed_at = 0.0, now

    def read(self, frame: bytes) -> Connect:
        """The CONNECT that a connection must begin with. Raises Refusal."""
        try:
            packet = mqtt.decode(frame, mqtt.V311)
        except ProtocolFault as fault:
            is_version = fault.reason is Reason.UNSUPPORTED_VERSION
            raise Refusal(Cause.VERSION if is_version else Cause.MALFORMED, fault.reason) from fault
        if not isinstance(packet, Connect):
            raise Refusal(Cause.NO_CONNECT, Reason.PROTOCOL_ERROR)
        return packet

    def refuse(self, packet: Connect | None, refusal: Refusal) -> bytes:
        """The CONNACK that says no; empty where MQTT has none to give."""
        self._state.counts.refused[refusal.cause] += 1
        code = _RETURN_CODES.get(refusal.reason)
        if packet is not None and packet.version == mqtt.V5:
            return mqtt.encode(Connack(False, refusal.reason), mqtt.V5)
        if code is None or (packet is None and refusal.cause is not Cause.VERSION):
            return b""
        return mqtt.encode(Connack(False, code), mqtt.V311)

    def check(self, packet: Connect, certified: str | None = None) -> Candidate:
        """Who it is and what it wants. Raises Refusal.

        certified: of a client that a TLS terminator brings, the name in its certificate, empty without one.
        """
        state, settings, five = self._state, self._state.settings, packet.version == mqtt.V5
        if Prop.AUTH_METHOD in packet.properties:
            raise Refusal(Cause.AUTH, Reason.BAD_AUTHENTICATION_METHOD)
        if len(state.connections) >= settings.connections:
            raise Refusal(Cause.CONNECTIONS, Reason.QUOTA_EXCEEDED)
        self._check_rate()
        if not packet.client_id and not five and not packet.clean:
            raise Refusal(Cause.CLIENT_ID, Reason.CLIENT_ID_NOT_VALID)
        if len(packet.client_id.encode()) > settings.name_bytes:
            raise Refusal(Cause.CLIENT_ID, Reason.CLIENT_ID_NOT_VALID)
        principal = self._log_in(packet) if certified is None else self._log_in_proxied(packet, certified)
        key = SessionKey(principal.id, packet.client_id or f"tocsin-{secrets.token_hex(12)}")
        agreed_s = packet.keep_alive_s or (settings.keep_alive_s if five else settings.idle_s)
        asked_s = packet.properties.get(Prop.SESSION_EXPIRY, 0) if five else 0 if packet.clean else LARGEST_REMAINING
        return Candidate(
            packet,
            principal,
            key,
            _will(principal, key, packet, agreed_s),
            agreed_s,
            asked_s,
            min(asked_s, settings.session_expiry_s),
        )

    def must_fetch(self, candidate: Candidate) -> bool:
        """Is its session to be asked for among the other doors? Raises Refusal when nobody could say.

        Who wants no session that outlives the connection comes in all the same, as with a clean one.
        """
        peers = self._state.peers
        wants_one = candidate.expiry_s > 0 or not candidate.packet.clean
        if peers is None or not wants_one or candidate.key in self._state.sessions:
            return False
        if not peers.is_away:
            return True
        if candidate.expiry_s > 0:
            raise Refusal(Cause.AWAY, Reason.SERVER_UNAVAILABLE)
        return False

    def admit(self, client: socket.socket, candidate: Candidate) -> Connection:
        """Let a client in; its CONNACK stands in the connection's `out`. Raises Refusal."""
        state, settings, packet = self._state, self._state.settings, candidate.packet
        principal, key, expiry_s = candidate.principal, candidate.key, candidate.expiry_s
        five = packet.version == mqtt.V5
        self._check_share(principal, key)
        session, present = state.open_session(key, principal, packet.clean, expiry_s)
        came_us = state.clock()
        will = None if candidate.will is None else replace(candidate.will, came_us=came_us)
        state.keep_will(key, will)
        number = client.fileno()
        self._generation += 1
        state.columns.reserve(number)
        connection = Connection(
            client,
            number,
            self._generation,
            packet.version,
            state.rights.enter(principal),
            session,
            state.talking,
            came_us,
            will,
        )
        columns = state.columns
        columns.clear(number)
        columns.generation[number] = connection.generation
        columns.version[number] = packet.version
        columns.login[number] = connection.login
        columns.patience_s[number] = candidate.agreed_s * (1.5 if packet.keep_alive_s or five else 1.0)
        columns.heard[number] = state.monotonic()
        if key in state.marks:
            columns.mark[number] = state.marks.pop(key)
        state.connections[number] = connection
        state.holders[key] = connection
        state.counts.connections = len(state.connections)
        state.counts.connects += 1
        state.announce(connection)

        answer: dict[Prop, Any] = {}
        if five:
            answer = {
                Prop.RECEIVE_MAXIMUM: settings.receive_maximum,
                Prop.MAXIMUM_QOS: 1,
                Prop.MAXIMUM_PACKET_SIZE: settings.packet_size,
                Prop.TOPIC_ALIAS_MAXIMUM: 0,
                Prop.SUBSCRIPTION_IDS_AVAILABLE: 0,
                Prop.SHARED_AVAILABLE: 0,
            }
            if expiry_s != candidate.asked_s:
                answer[Prop.SESSION_EXPIRY] = expiry_s
            if not packet.client_id:
                answer[Prop.ASSIGNED_CLIENT_ID] = key.client_id
            if not packet.keep_alive_s:
                answer[Prop.SERVER_KEEP_ALIVE] = candidate.agreed_s
        connection.say(mqtt.encode(Connack(present, 0, answer), packet.version))
        session.attach(
            Line(
                packet.version,
                min(packet.properties.get(Prop.RECEIVE_MAXIMUM, 0xFFFF), settings.in_flight),
                packet.properties.get(Prop.MAXIMUM_PACKET_SIZE, LARGEST_REMAINING + 5),
                connection.say,
                lambda: not connection.backlog,
            )
        )
        return connection

    def _check_rate(self) -> None:
        now, settings = self._state.monotonic(), self._state.settings
        if now >= self._reentry_until:
            return
        self._allowance += (now - self._allowed_at) * settings.reentry_per_s
        self._allowance = min(self._allowance, settings.reentry_per_s)
        self._allowed_at = now
        if self._allowance < 1.0:
            raise Refusal(Cause.REENTRY, Reason.CONNECTION_RATE_EXCEEDED)
        self._allowance -= 1.0

    def _check_share(self, principal: Principal, key: SessionKey) -> None:
        """One login may not use up the connections of all; a client that only comes back takes none more."""
        state = self._state
        if principal == ANONYMOUS or key in state.holders:
            return
        if state.rights.connections(principal) >= state.settings.connections_per_login:
            raise Refusal(Cause.CONNECTIONS, Reason.QUOTA_EXCEEDED)

    def _log_in_proxied(self, packet: Connect, certified: str) -> Principal:
        """By its certificate; else by user name and password, since it may come from anywhere."""
        if certified and packet.username not in (None, "", certified):
            raise Refusal(Cause.LOGIN, Reason.BAD_LOGIN)
        if self._credentials is None or not (certified or packet.username):
            raise Refusal(Cause.LOGIN, Reason.NOT_AUTHORIZED)
        if not certified:
            return self._log_in(packet)
        try:
            principal = self._credentials.certified(certified)
        except ServiceAway as away:
            raise Refusal(Cause.AWAY, Reason.SERVER_UNAVAILABLE) from away
        if principal is None:
            raise Refusal(Cause.LOGIN, Reason.NOT_AUTHORIZED)
        return principal

    def _log_in(self, packet: Connect) -> Principal:
        if packet.username is None or self._credentials is None:
            if self._is_loopback and self._state.settings.anonymous:
                return ANONYMOUS
            raise Refusal(Cause.LOGIN, Reason.NOT_AUTHORIZED)
        if len(packet.username.encode()) > self._state.settings.name_bytes:
            raise Refusal(Cause.LOGIN, Reason.BAD_LOGIN)
        try:
            principal = self._credentials.check(packet.username, packet.password or b"")
        except ServiceAway as away:
            raise Refusal(Cause.AWAY, Reason.SERVER_UNAVAILABLE) from away
        if principal is None:
            raise Refusal(Cause.LOGIN, Reason.BAD_LOGIN)
        return principal


def _will(principal: Principal, key: SessionKey, packet: Connect, keep_alive_s: float) -> WillKept | None:
    will = packet.will
    if will is None:
        return None
    if packet.version == mqtt.V5 and will.qos == 2:
        raise Refusal(Cause.QOS, Reason.QOS_NOT_SUPPORTED)
    if not may_publish(principal, will.topic):
        raise Refusal(Cause.FOREIGN, Reason.NOT_AUTHORIZED)
    delay_s = will.properties.get(Prop.WILL_DELAY, 0)
    return WillKept(key, will.topic, will.payload, will.qos, will.retain, delay_s, keep_alive_s, came_us=0)


def is_loopback(host: str) -> bool:
    """Does this address to listen on reach this machine only?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
