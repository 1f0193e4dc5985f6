"""The webhook channel: a signed POST of the notification as JSON, over connections that are kept open.

Headers: `Tocsin-Id` (the idempotency key), `Tocsin-Attempt`, `Tocsin-Timestamp` (seconds) and `Tocsin-Signature`; see
`alerting.channels.signing` for how a receiver checks them. A 2xx answer means taken. Redirects are not followed and
no proxy of the environment is used: a message goes to the host that the operator wrote into the routes, or nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from alerting.channels.signing import sign
from alerting.ports import Answer, Clock, Outcome
from alerting.routes import WEBHOOK, Recipient
from schemas.notifications import ChannelFacts, Notification, encode_notification

_US = 1_000_000
_AGAIN = frozenset({408, 425, 429})
"""Client errors that pass by themselves; other 4xx need a person."""
_LONGEST_WAIT_S = 300.0
_LONG = 65_536


class Webhook:
    """Thread-safe; one pool of connections for all recipients."""

    def __init__(
        self,
        clock: Clock,
        *,
        timeout_s: float = 5.0,
        concurrency: int = 8,
        verify: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """timeout_s: for each of connecting, writing and the wait for the answer. transport: for tests."""
        self._facts = ChannelFacts(WEBHOOK, batch=1, concurrency=concurrency, limit_s=10.0)
        self._clock = clock
        self._client = httpx.Client(
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            verify=verify,
            transport=transport,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=60.0),
            headers={"User-Agent": "tocsin", "Content-Type": "application/json"},
        )

    @property
    def facts(self) -> ChannelFacts:
        return self._facts

    def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
        return [self._send_one(recipient, message) for message in messages]

    def close(self) -> None:
        self._client.close()

    def _send_one(self, recipient: Recipient, message: Notification) -> Answer:
        body = encode_notification(message)
        timestamp = self._clock() // _US
        headers = {
            "Tocsin-Id": message.id,
            "Tocsin-Attempt": str(message.attempt),
            "Tocsin-Timestamp": str(timestamp),
            "Tocsin-Signature": sign(recipient.secret, timestamp, body),
        }
        try:
            with self._client.stream("POST", recipient.url, content=body, headers=headers) as response:
                answer = answer_of(response.status_code, response.headers.get("Retry-After", ""))
                # The status says it all; a short body is read so that the connection can be used again.
                if int(response.headers.get("Content-Length", _LONG)) < _LONG:
                    response.read()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(Outcome.AGAIN, type(error).__name__)
        except httpx.TransportError as error:
            # The request may have arrived before the link broke or the time was up.
            return Answer(Outcome.UNKNOWN, type(error).__name__)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(Outcome.REFUSED, type(error).__name__)
        return answer


def answer_of(status: int, retry_after: str) -> Answer:
    """May it be tried again, and when? Retry-After is taken in seconds, up to five minutes."""
    detail = f"HTTP {status}"
    if 200 <= status < 300:
        return Answer(Outcome.ACCEPTED, detail)
    if status >= 500 or status in _AGAIN:
        wait_s = min(float(retry_after), _LONGEST_WAIT_S) if retry_after.isdigit() else None
        return Answer(Outcome.AGAIN, detail, wait_s)
    return Answer(Outcome.REFUSED, detail)
