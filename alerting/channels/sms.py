"""The SMS channel: Twilio's Messages API, by Twilio's own client over connections that are kept open.

A message is taken when the carrier names it (`Answer.reference`); whether it came to its person is asked later, by
`track`. The API takes no idempotency key, so a send whose answer never came may be repeated, and the ledger shows it.
Texts and numbers stand in the request's body alone: nothing here logs them, and Twilio's own logger is not used.

Codes: https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from alerting.ports import Answer, Arrival, Outcome, Tracked
from alerting.routes import SMS, Recipient
from schemas.notifications import ChannelFacts, Notification

API = "https://api.twilio.com"
_VALID_S = 3600
"""A warning that a phone gets later than this is of no use: the carrier drops it."""
_AGAIN = frozenset({401, 403, 408, 425, 429})
"""Client errors that pass: 401 and 403 by the mend of whoever runs it, and a warning must not be lost meanwhile."""
_QUEUE_IS_FULL = 21611
_LONGEST_WAIT_S = 300.0
_GONE = frozenset({"failed", "undelivered", "canceled"})
_THERE = frozenset({"delivered", "read"})
_silent = logging.getLogger("alerting.sms.silent")
_silent.disabled = True


class Sms:
    """Thread-safe; one pool of connections."""

    def __init__(
        self,
        account: str,
        secret: str,
        sender: str,
        *,
        url: str = API,
        timeout_s: float = 5.0,
        concurrency: int = 8,
        rate_per_s: float | None = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """account, secret: Twilio's account SID and token.  sender: a number in E.164, or a messaging service's SID.

        url: another far end that speaks the same HTTP.  timeout_s: for each of connecting, writing and the answer.
        """
        self._facts = ChannelFacts(
            SMS, batch=1, concurrency=concurrency, limit_s=10.0, rate_per_s=rate_per_s, short=True
        )
        self._http = _Http(url, timeout_s, transport)
        self._client = Client(account, secret, http_client=self._http)
        _ = self._client.messages  # loads most of the client, for which the first warning must not wait
        self._from = {"messaging_service_sid": sender} if sender.startswith("MG") else {"from_": sender}

    @property
    def facts(self) -> ChannelFacts:
        return self._facts

    def send(self, recipient: Recipient, messages: Sequence[Notification]) -> Sequence[Answer]:
        return [self._send_one(recipient, message.text) for message in messages]

    def track(self, references: Sequence[str]) -> Sequence[Tracked]:
        return [self._track_one(reference) for reference in references]

    def close(self) -> None:
        self._http.close()

    def _send_one(self, recipient: Recipient, text: str) -> Answer:
        if not recipient.phone:
            return Answer(Outcome.REFUSED, "no phone number")

        def create() -> Answer:
            made = self._client.messages.create(
                to=recipient.phone, body=text, validity_period=_VALID_S, **self._from
            )  # fmt: skip
            if made.status in _GONE or made.error_code:
                # Taken and given up in one answer: an error inside a success.
                return Answer(Outcome.REFUSED, _code(made.error_code, made.status), reference=made.sid or "")
            if not made.sid:
                return Answer(Outcome.UNKNOWN, "the answer names no message")
            return Answer(Outcome.ACCEPTED, str(made.status or "accepted"), reference=made.sid)

        return self._asked(create)

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except TwilioRestException as error:
            return refusal(error.status, error.code, self._http.retry_after())
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(Outcome.AGAIN, type(error).__name__)
        except (httpx.HTTPError, httpx.InvalidURL, TwilioException, ValueError, TypeError) as error:
            # The request may have arrived before the link broke, or the answer cannot be read.
            return Answer(Outcome.UNKNOWN, type(error).__name__)

    def _track_one(self, reference: str) -> Tracked:
        try:
            found = self._client.messages(reference).fetch()
        except TwilioRestException as error:
            gone = error.status == httpx.codes.NOT_FOUND
            return Tracked(Arrival.FAILED if gone else Arrival.UNKNOWN, _code(error.code, f"HTTP {error.status}"))
        except (httpx.HTTPError, httpx.InvalidURL, TwilioException, ValueError, TypeError) as error:
            return Tracked(Arrival.UNKNOWN, type(error).__name__)
        if found.status in _THERE:
            return Tracked(Arrival.DELIVERED, str(found.status))
        if found.status in _GONE:
            return Tracked(Arrival.FAILED, _code(found.error_code, found.status))
        return Tracked(Arrival.ON_ITS_WAY, str(found.status or ""))


def refusal(status: int, code: int | None, retry_after_s: float | None) -> Answer:
    """What an answer that is an error means for the message."""
    detail = _code(code, f"HTTP {status}")
    if status >= 500 or status in _AGAIN or code == _QUEUE_IS_FULL:
        return Answer(Outcome.AGAIN, detail, retry_after_s)
    return Answer(Outcome.REFUSED, detail)


def _code(code: int | None, otherwise: str | None) -> str:
    return f"twilio {code}" if code else str(otherwise or "unknown")


class _Http(HttpClient):  # type: ignore[misc]  # Twilio has no types
    """What Twilio's client sends by: no proxy of the environment, no redirects, no log."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.BaseTransport | None) -> None:
        super().__init__(_silent, is_async=False, timeout=timeout_s)
        self._url = url.rstrip("/")
        self._last = threading.local()
        self._client = httpx.Client(
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=60.0),
        )

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        self._last.retry_after = ""
        answer = self._client.request(
            method, self._url + url.removeprefix(API), params=params, data=data, headers=headers, auth=auth
        )
        self._last.retry_after = answer.headers.get("Retry-After", "")
        return Response(answer.status_code, answer.text, answer.headers)

    def retry_after(self) -> float | None:
        """Seconds that the last answer to this thread asked to wait, up to five minutes; None if it did not."""
        said = getattr(self._last, "retry_after", "")
        return min(float(said), _LONGEST_WAIT_S) if said.isdecimal() else None

    def close(self) -> None:
        self._client.close()
