"""A channel's rate, and who shares a lane."""

from __future__ import annotations

import pytest

from alerting.outbox import _lane_of
from alerting.rate import Bucket
from alerting.routes import Recipient


def test_a_second_may_go_at_once_and_then_the_rate_holds() -> None:
    bucket, now_s, sent = Bucket(5.0), 100.0, []
    while now_s < 110.0:
        pause_s = bucket.take(now_s)
        if pause_s == 0:
            sent.append(now_s)
        now_s += pause_s
    assert len([at for at in sent if at == 100.0]) == 5
    assert 50 <= len(sent) <= 56
    for begin in range(100, 109):
        assert len([at for at in sent if begin <= at < begin + 1]) <= 10


def test_less_than_one_a_second_is_one_at_a_time() -> None:
    bucket = Bucket(0.5)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(2.0)
    assert bucket.take(2.0) == 0.0


def test_a_token_that_was_not_needed_comes_back() -> None:
    bucket = Bucket(1.0)
    assert bucket.take(0.0) == 0.0
    bucket.spend(-1)
    assert bucket.take(0.0) == 0.0


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = Bucket(1.0)
    bucket.take(10.0)
    assert bucket.take(5.0) > 0


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="not above 0"):
        Bucket(rate)


def test_people_share_a_lane_and_places_have_their_own() -> None:
    """Ten thousand contacts are not ten thousand threads."""
    people = [Recipient(f"contact:shop-{n}:1", "sms", phone="+861") for n in range(9)]
    assert len({_lane_of(one) for one in people}) == 1
    assert _lane_of(Recipient("contact:shop-1:1", "journal")) != _lane_of(Recipient("journal", "journal"))
    assert _lane_of(Recipient("ops", "webhook")) == "ops"
