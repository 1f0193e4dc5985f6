"""The SMS channel against a far end that speaks the carrier's HTTP: what each answer means, and what becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest

from alerting.channels.sms import Sms, refusal
from alerting.ports import Answer, Arrival, Outcome, Tracked
from alerting.routes import Recipient
from schemas.alarms import Grade
from schemas.notifications import Notification, Part
from sensors_sim.carrier import Behaviour, Carrier, start

PHONE, OTHER = "+8610000000001", "+8610000000002"
SECRET = "the token of the account"


def text_of(body: str = "火灾：厨房") -> Notification:
    return Notification(f"{1:032x}", "owner", "sms", "shop-1", Grade.RED, Part.WARNING, True, "zh", body, (), 0, 0)


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carrier]:
    running = start(tmp_path_factory.mktemp("carrier") / "texts.jsonl")
    yield running
    running.stop()


@pytest.fixture
def sms(carrier: Carrier) -> Iterator[Sms]:
    carrier.behave(Behaviour())
    channel = Sms("AC1", SECRET, "+15005550006", url=carrier.url, timeout_s=1.0)
    yield channel
    channel.close()


def owner(phone: str = PHONE) -> Recipient:
    return Recipient("contact:shop-1:1", "sms", phone=phone)


@pytest.mark.parametrize(
    ("how", "outcome", "detail"),
    [
        ("201", Outcome.ACCEPTED, "queued"),
        ("429", Outcome.AGAIN, "twilio 20429"),
        ("500", Outcome.AGAIN, "twilio 20500"),
        # It may have been taken: the answer never came, or cannot be read.
        ("slow", Outcome.UNKNOWN, "ReadTimeout"),
        ("garbage", Outcome.UNKNOWN, "JSONDecodeError"),
        # A success that says failure is a failure.
        ("error_in_200", Outcome.REFUSED, "twilio 30008"),
    ],
)
def test_what_the_carrier_answers_becomes(carrier: Carrier, sms: Sms, how: str, outcome: Outcome, detail: str) -> None:
    carrier.behave(Behaviour(answers=[how]))
    (answer,) = sms.send(owner(), [text_of()])
    assert (answer.outcome, answer.detail) == (outcome, detail)


def test_a_busy_carrier_says_when(carrier: Carrier, sms: Sms) -> None:
    carrier.behave(Behaviour(answers=["429"]))
    assert sms.send(owner(), [text_of()])[0].retry_after_s == 1.0


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, 21211, Outcome.REFUSED),
        (400, 21610, Outcome.REFUSED),
        # The sender's queue is full: it empties.
        (400, 21611, Outcome.AGAIN),
        # A wrong token is mended by a person, and the warning must not be lost meanwhile.
        (401, 20003, Outcome.AGAIN),
        (503, None, Outcome.AGAIN),
    ],
)
def test_which_errors_pass_by_themselves(status: int, code: int | None, outcome: Outcome) -> None:
    assert refusal(status, code, None).outcome is outcome


def test_the_text_arrives_whole_and_is_followed_until_it_is_delivered(carrier: Carrier, sms: Sms) -> None:
    (answer,) = sms.send(owner(), [text_of("火灾：厨房 56 °C & <b>")])
    taken = carrier.texts()[-1]
    assert (taken.sid, taken.to, taken.body) == (answer.reference, PHONE, "火灾：厨房 56 °C & <b>")
    assert sms.track([answer.reference]) == [Tracked(Arrival.DELIVERED, "delivered")]


def test_a_text_on_its_way_is_not_called_delivered(carrier: Carrier, sms: Sms) -> None:
    carrier.behave(Behaviour(delivers_after_s=3600))
    (answer,) = sms.send(owner(), [text_of()])
    assert sms.track([answer.reference])[0].arrival is Arrival.ON_ITS_WAY


def test_a_text_that_never_arrives_says_so(carrier: Carrier, sms: Sms) -> None:
    carrier.behave(Behaviour(fails=[OTHER]))
    (answer,) = sms.send(owner(OTHER), [text_of()])
    assert answer.outcome is Outcome.ACCEPTED
    assert sms.track([answer.reference, "SMnone"]) == [
        Tracked(Arrival.FAILED, "twilio 30005"),
        Tracked(Arrival.FAILED, "twilio 20404"),
    ]


def test_a_carrier_that_is_away_leaves_the_arrival_open() -> None:
    channel = Sms("AC1", SECRET, "MG1", url="http://127.0.0.1:1")
    assert channel.track(["SM1"]) == [Tracked(Arrival.UNKNOWN, "ConnectError")]
    channel.close()


def test_a_contact_without_a_number_is_refused_before_anything_is_sent() -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError

    channel = Sms("AC1", SECRET, "MG1", transport=httpx.MockTransport(never))
    assert channel.send(owner(""), [text_of()]) == [Answer(Outcome.REFUSED, "no phone number")]
    channel.close()


def test_a_messaging_service_is_named_instead_of_a_number() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(201, json={"sid": "SM1", "status": "accepted"})

    channel = Sms("AC1", SECRET, "MG1", transport=httpx.MockTransport(answer))
    channel.send(owner(), [text_of()])
    channel.close()
    assert asked[0].url.host == "api.twilio.com" and b"MessagingServiceSid=MG1" in asked[0].content


def test_neither_number_nor_text_nor_token_is_logged(
    carrier: Carrier, sms: Sms, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    carrier.behave(Behaviour(answers=["201", "429", "garbage"]))
    for _ in range(3):
        sms.send(owner(), [text_of("a kitchen burns")])
    assert not [word for word in (PHONE, PHONE[1:], "kitchen", SECRET) if word in caplog.text]
    assert PHONE not in repr(owner())
