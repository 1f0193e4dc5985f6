"""What the risk remembers of an enterprise: its facts, the lives of its alarms in the last month, and its colour.

The state is a function of what happened (alarm events, acknowledgements, facts, hours of strain), each at its time;
`scoring.risk` makes the score of it at any instant. It is bounded: of ended alarms the newest `LIVES` are kept one by
one for a month, of older ones what is left of their points.
"""

from __future__ import annotations

import msgspec

from schemas.alarms import AlarmEvent, Grade, Kind, State
from schemas.risk import RiskFacts, Strain
from scoring.risk_table import DAY_US, risk_table

LIVES = 500
"""Ended alarms that are remembered one by one."""
OUT_OF_SERVICE = "out_of_service"
"""Family of the lives that stand for devices switched off in the registry."""
_MONTH_US = 30 * DAY_US
YEAR_US = 365 * DAY_US


class Life(msgspec.Struct, array_like=True):
    """One alarm, as far as the risk asks. Times are µs since 1970.

    grade: as it stands.  worst: the highest ever.  peak: the highest since it was last raised.
    raised_us: when it was last raised.  asked_us: when it last reached the grade that a person must answer.
    """

    key: str
    kind: str
    family: str
    device: str
    grade: int
    worst: int
    peak: int
    step: int
    raised_step: int
    raised_us: int
    asked_us: int
    acked_us: int | None = None
    closed_us: int | None = None
    was_late: bool = False
    """Answered late, or never, before it was raised again or rose."""
    history: bool = False
    """Found by a back-fill: nobody could have answered it."""
    muted: bool = False
    """Its device was out of service: somebody works there."""
    verdict: str = ""
    """What a person says that it was: `real`, `false` or `test`."""

    @property
    def counts(self) -> bool:
        """Nobody was working there, and it was no test."""
        return not self.muted and self.verdict != "test"


class Fire(msgspec.Struct, array_like=True):
    """A fire that a person has confirmed."""

    key: str
    at_us: int


class RiskState(msgspec.Struct, array_like=True):
    """All that the risk of one enterprise is made of."""

    facts: RiskFacts = RiskFacts()
    lives: list[Life] = []
    left: float = 0.0
    """Points of alarms that are remembered one by one no more, as of `left_us`; they halve like all others."""
    left_us: int = 0
    strain: Strain | None = None
    fires: list[Fire] = []
    """Of the last year, in order."""
    colour: int = 0
    """The last one, 0 before the first."""
    since_us: int = 0
    as_of_us: int = 0
    """When it was judged last; time never goes back."""
    told: list[str] = []
    """The reasons that stand in the history last, and when and with how many points."""
    told_us: int = 0
    told_score: float = 0.0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RiskState)


def encode_state(state: RiskState) -> bytes:
    return _encoder.encode(state)


def decode_state(body: bytes) -> RiskState:
    """Raises msgspec.ValidationError when it is not one."""
    return _decoder.decode(body)


def apply_event(state: RiskState, event: AlarmEvent) -> bool:
    """Take an event in; False when that step is in already, so that taking it twice is harmless."""
    life = find_life(state, event.key)
    if life is not None and event.step <= life.step:
        return False
    if event.state is State.WITHDRAWN:
        if life is not None:
            state.lives.remove(life)
        return True
    # What a back-fill found happened when it happened; all else when the engine said it.
    at_us = min(event.event_us, event.now_us) if event.late else event.now_us
    grade = int(event.grade)
    if life is None:
        life = Life(
            event.key, event.kind.value, event.family, event.device, grade, grade, grade, event.step, event.step,
            at_us, at_us, history=event.late, muted=_is_out(state, event.device),
        )  # fmt: skip
        state.lives.append(life)
    elif event.state is State.RAISED:
        _settle_lateness(life, at_us)
        life.raised_step, life.raised_us, life.asked_us = event.step, at_us, at_us
        life.peak, life.acked_us, life.closed_us = grade, None, None
        life.verdict = ""
        life.history, life.muted = event.late, _is_out(state, event.device)
    elif grade > life.peak:
        if grade >= Grade.ORANGE:
            _settle_lateness(life, at_us)
            life.asked_us = at_us
        life.peak = grade
    life.step, life.grade, life.worst = event.step, grade, max(life.worst, grade)
    if event.active or event.latched:
        life.closed_us = None
    elif life.closed_us is None:
        life.closed_us = max(at_us, life.raised_us)
    return True


def apply_acknowledgement(state: RiskState, key: str, step: int, at_us: int) -> bool:
    """A person acknowledged the alarm as it stood at `step`. False when that changes nothing."""
    life = find_life(state, key)
    if life is None or step < life.raised_step or (life.acked_us is not None and life.acked_us <= at_us):
        return False
    life.acked_us = at_us
    return True


def apply_verdict(state: RiskState, key: str, step: int, verdict: str) -> bool:
    """A person says what the alarm, as it stood at `step`, turned out to be. The newest word counts."""
    life = find_life(state, key)
    if life is None or step < life.raised_step or life.verdict == verdict:
        return False
    life.verdict = verdict
    state.fires = [fire for fire in state.fires if fire.key != key]
    if verdict == "real" and life.kind == Kind.FIRE:
        state.fires = sorted([*state.fires, Fire(key, life.raised_us)], key=lambda fire: (fire.at_us, fire.key))
    return True


def apply_facts(state: RiskState, facts: RiskFacts, at_us: int) -> bool:
    """What the registry says from now on. False when it says what it said."""
    if facts == state.facts:
        return False
    out = set(facts.out_of_service)
    standing = {life.device for life in state.lives if life.family == OUT_OF_SERVICE and life.closed_us is None}
    for life in state.lives:
        if life.family == OUT_OF_SERVICE and life.closed_us is None and life.device not in out:
            life.closed_us = max(at_us, life.raised_us)
        elif life.family != OUT_OF_SERVICE and life.closed_us is None:
            life.muted = life.device in out
    for device in sorted(out - standing):
        key = f"{OUT_OF_SERVICE} {device} {at_us}"
        state.lives.append(Life(key, "fault", OUT_OF_SERVICE, device, 0, 0, 0, 1, 1, at_us, at_us, muted=True))
    state.facts = facts
    return True


def apply_strain(state: RiskState, strain: Strain | None) -> bool:
    if strain == state.strain:
        return False
    state.strain = strain
    return True


def forget_old(state: RiskState, at_us: int) -> None:
    """Let go of ended alarms that only their points are still asked of, and of what is too much."""
    if state.fires and state.fires[0].at_us + YEAR_US <= at_us:
        state.fires = [fire for fire in state.fires if fire.at_us + YEAR_US > at_us]
    edge = at_us - _MONTH_US
    old = [
        life for life in state.lives if life.closed_us is not None and life.closed_us < edge and life.asked_us < edge
    ]
    if len(state.lives) - len(old) > LIVES:
        ended = [life for life in state.lives if life.closed_us is not None]
        young = sorted((life for life in ended if not is_old(life, at_us)), key=lambda life: (life.closed_us, life.key))
        old += young[: max(0, len(young) - LIVES)]
    if not old:
        return
    weights = risk_table().alarms.of_grades()
    half_us = risk_table().alarms.half_life_d * DAY_US
    anchor = max([state.left_us, *(life.closed_us or 0 for life in old)])
    state.left = float(state.left * 2.0 ** ((state.left_us - anchor) / half_us)) if state.left else 0.0
    for life in sorted(old, key=lambda life: (life.closed_us, life.key)):
        if life.counts:
            state.left += weights[life.worst] * 2.0 ** (((life.closed_us or 0) - anchor) / half_us)
    state.left_us = anchor
    gone = {life.key for life in old}
    state.lives = [life for life in state.lives if life.key not in gone]


def is_old(life: Life, at_us: int) -> bool:
    """Ended so long ago that no window of a month has it."""
    return life.closed_us is not None and max(life.closed_us, life.asked_us) + _MONTH_US < at_us


def find_life(state: RiskState, key: str) -> Life | None:
    # The newest are asked for most, and stand last.
    for life in reversed(state.lives):
        if life.key == key:
            return life
    return None


def _settle_lateness(life: Life, at_us: int) -> None:
    """Before the question is asked anew: was it answered in time so far?"""
    if life.peak < Grade.ORANGE or life.history or not life.counts:
        return
    answered_us = at_us if life.acked_us is None else life.acked_us
    if answered_us - life.asked_us > risk_table().response.limit_us(life.peak):
        life.was_late = True


def _is_out(state: RiskState, device: str) -> bool:
    return device in state.facts.out_of_service
