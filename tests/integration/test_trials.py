"""Previews of messages, and test messages: seen by whom they concern, and sent the way that a warning goes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from alerting.composer import Reply
from alerting.people import NotPossible
from alerting.texts import load_texts
from alerting.trials import TooManyTests, Trials, UnknownPlace
from schemas.alarms import Grade, Kind
from schemas.errors import ConfigError
from schemas.viewers import NotAllowed, Role, Viewer, house
from tests.people_world import Watch, add_contact, settle, watch

HOUSE = house()
OWNER = Viewer("owner", Role.OWNER, enterprises=("shop-1",))
OTHER = Viewer("other", Role.OWNER, enterprises=("shop-2",))
INTEGRATOR = Viewer("fitter", Role.INTEGRATOR, enterprises=("shop-1",))


@pytest.fixture
def w(dsn: str) -> Iterator[Watch]:
    settle(dsn)
    add_contact(dsn, 1, name="李伟")
    with watch(dsn) as made:
        yield made


@pytest.fixture
def trials(w: Watch) -> Iterator[Trials]:
    made = Trials(w.dsn, load_texts(), w.clock, Reply("https://tocsin.example", "0571-1"))
    yield made
    made.close()


def account(dsn: str, phone: str) -> Viewer:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "INSERT INTO accounts (login, role, phone, language) VALUES ('wang', 'operator', %s, 'zh') RETURNING id",
            [phone],
        ).fetchone()
    assert row is not None
    return Viewer("wang", Role.OPERATOR, account=row[0])


def test_a_preview_is_what_a_contact_would_read(trials: Trials) -> None:
    seen = trials.preview(OWNER, "shop-1", Kind.FIRE, Grade.RED)
    assert seen.text.startswith("【红色·火灾】城东饭店 后厨 烟感2：烟雾6.2 %/m（限3），")
    assert "https://tocsin.example/a/---" in seen.text and (seen.alphabet, seen.segments) == ("UCS-2", 3)
    english = trials.preview(OWNER, "shop-1", Kind.GAS, Grade.ORANGE, "en")
    assert english.text.startswith("ORANGE GAS East Gate Diner, Kitchen, Detector 2: gas 52 %LEL")
    assert "\n" in trials.preview(OWNER, "shop-1", Kind.GAS, Grade.ORANGE, "en", "journal").text


def test_every_kind_and_grade_has_a_short_message(trials: Trials) -> None:
    for kind in Kind:
        for grade in (Grade.BLUE, Grade.YELLOW, Grade.ORANGE, Grade.RED):
            for language in ("zh", "en"):
                seen = trials.preview(HOUSE, "shop-1", kind, grade, language)
                assert seen.segments <= 3 and "{" not in seen.text, seen


def test_what_a_viewer_does_not_see_is_not_there(trials: Trials) -> None:
    for ask in (
        lambda: trials.preview(OTHER, "shop-1", Kind.FIRE, Grade.RED),
        lambda: trials.test_contact(OTHER, "shop-1", 1),
        lambda: trials.test_contact(OWNER, "shop-1", 2),
        lambda: trials.preview(HOUSE, "nowhere", Kind.FIRE, Grade.RED),
    ):
        with pytest.raises(UnknownPlace):
            ask()
    with pytest.raises(NotAllowed):
        trials.test_contact(INTEGRATOR, "shop-1", 1)


@pytest.mark.parametrize("wrong", [{"language": "fr"}, {"channel": "pigeon"}])
def test_what_is_not_spoken_is_said(trials: Trials, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        trials.preview(HOUSE, "shop-1", Kind.FIRE, Grade.RED, **wrong)


def test_a_test_message_goes_to_the_accounts_own_phone(w: Watch, trials: Trials) -> None:
    """By the outbox, as a warning does; and no number stands in the ledger."""
    viewer = account(w.dsn, "+8610000000099")
    made = trials.test_message(viewer)
    w.turn(1.1)
    (sent,) = w.sms.sent
    assert (sent.id, sent.recipient, sent.text) == (made.id, f"account:{viewer.account}", made.text)
    assert "测试" in sent.text and "/a/" not in sent.text
    assert w.rows("SELECT status, attempts FROM notifications") == [("accepted", 1)]
    assert "0000000099" not in str(w.rows("SELECT n::text FROM notifications n"))


def test_a_test_message_goes_to_a_contact(w: Watch, trials: Trials) -> None:
    trials.test_contact(OWNER, "shop-1", 1)
    w.turn(1.1)
    assert w.called() == ["1"] and "李伟" in w.sms.sent[0].text


def test_who_sent_a_test_message_stands_in_the_log_of_acts(w: Watch, trials: Trials) -> None:
    """A contact may be given any number, so texts to strangers were nobody's doing."""
    trials.test_contact(OWNER, "shop-1", 1)
    with pytest.raises(NotPossible):
        trials.test_contact(OWNER, "shop-1", 1)
    found = w.rows("SELECT who, act, subject, enterprise FROM audit_log")
    assert found == [("owner", "test_message", "contact:shop-1:1", "shop-1")]


def test_nobody_is_tested_twice_a_minute(w: Watch, trials: Trials) -> None:
    """A button that sends texts is a way to annoy people, and to spend money."""
    trials.test_contact(OWNER, "shop-1", 1)
    with pytest.raises(NotPossible, match="within the last minute"):
        trials.test_contact(OWNER, "shop-1", 1)
    w.clock.forward(61)
    trials.test_contact(OWNER, "shop-1", 1)


def test_an_account_asks_for_few_test_messages_an_hour(w: Watch, trials: Trials) -> None:
    """A key in a loop, or a bored hand, sent one every minute for as long as it liked; another console counts along."""
    for order in range(2, 8):
        add_contact(w.dsn, order)
    second = Trials(w.dsn, load_texts(), w.clock)
    try:
        for order, console in zip(range(1, 6), itertools.cycle((trials, second)), strict=False):
            console.test_contact(OWNER, "shop-1", order)
            w.clock.forward(60)
        with pytest.raises(TooManyTests, match="5 test messages within an hour") as caught:
            second.test_contact(OWNER, "shop-1", 6)
        assert caught.value.wait_s == 3600 - 5 * 60
        assert trials.test_contact(HOUSE, "shop-1", 6), "another account has a count of its own"
        w.clock.forward(caught.value.wait_s)
        trials.test_contact(OWNER, "shop-1", 7)
    finally:
        second.close()
    assert w.rows("SELECT count(*) FROM audit_log WHERE act = 'test_message'") == [(7,)], "what was refused is none"


def test_few_test_messages_a_day_go_to_one_number(w: Watch, trials: Trials) -> None:
    """Whoever is asked for, by whomever: a number may stand at many enterprises, and may be a stranger's."""
    add_contact(w.dsn, 2, phone="+8610000000001")
    askers = [Viewer(f"owner-{number}", Role.OWNER, enterprises=("shop-1",)) for number in range(7)]
    for number in range(20):
        trials.test_contact(askers[number // 5], "shop-1", 1 + number % 2)
        w.clock.forward(61)
    with pytest.raises(TooManyTests, match="20 test messages went to this number") as caught:
        trials.test_contact(askers[5], "shop-1", 2)
    w.clock.forward(caught.value.wait_s)
    trials.test_contact(askers[5], "shop-1", 2)
    assert "0000000001" not in str(w.rows("SELECT t::text FROM test_messages t"))


def test_who_has_no_phone_is_told_so(w: Watch, trials: Trials) -> None:
    for viewer in (HOUSE, account(w.dsn, "")):
        with pytest.raises(NotPossible, match="no phone number"):
            trials.test_message(viewer)
