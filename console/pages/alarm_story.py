"""What has happened to an alarm, in one order: the engine's steps, who was told, what people did. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from alerting.contacts import contact_name, is_contact
from alerting.views import AlarmDetail
from console.rows import unit_word
from console.words import Words
from schemas.alarms import AlarmEvent, State
from schemas.enterprises import Contact

_HOPS = ("accepted", "delivered", "acknowledged")
_ICONS = {
    State.RAISED: "notification_important",
    State.REGRADED: "swap_vert",
    State.CLEARED: "check",
    State.RESET: "restart_alt",
    State.WITHDRAWN: "block",
}


@dataclass(frozen=True, slots=True)
class Moment:
    at_us: int
    icon: str
    title: str
    text: str = ""
    """A person's own words, or the engine's."""
    grade: str = ""
    """Of the engine's steps."""


def story(detail: AlarmDetail, words: Words, names: Mapping[str, str]) -> list[Moment]:
    """Newest first. names: of `names_of`."""
    moments = [*_steps(detail, words), *_told(detail, words, names), *_people(detail, words, names)]
    return sorted(moments, key=lambda moment: -moment.at_us)


def quantity(value: float | None, unit: str, family: str, words: Words) -> str:
    """`95.1 °C`, `2.6 × rated` for a load; nothing for a flag."""
    if value is None or unit == "flag":
        return ""
    shown = f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    return shown + (words("watch.rated") if family == "load" and not unit else unit_word(unit))


def span(seconds: float, words: Words) -> str:
    """`4 min 12 s`."""
    whole = round(seconds)
    if whole < 60:
        return words("watch.ago.seconds", s=whole)
    if whole < 3600:
        return words("watch.ago.minutes", m=whole // 60, s=f"{whole % 60:02}")
    return words("watch.ago.hours", h=whole // 3600, m=f"{whole % 3600 // 60:02}")


def _steps(detail: AlarmDetail, words: Words) -> Iterator[Moment]:
    for event in detail.events:
        yield Moment(event.event_us, _ICONS[event.state], _step(event, words), _why(event, words), event.grade.word)


def _step(event: AlarmEvent, words: Words) -> str:
    grade = words("grade." + event.grade.word)
    if event.state is State.REGRADED:
        key = "rose" if event.grade > event.previous else "fell"
        return words(f"alarm.story.{key}", grade=grade, previous=words("grade." + event.previous.word))
    if event.state is State.CLEARED and event.latched:
        return words("alarm.story.cleared_latched")
    return words(f"alarm.story.{event.state.value}", grade=grade)


def _why(event: AlarmEvent, words: Words) -> str:
    evidence = event.evidence
    value = quantity(evidence.value, evidence.unit, event.family, words)
    limit = quantity(evidence.limit, evidence.unit, event.family, words)
    parts = []
    if event.state in (State.RAISED, State.REGRADED):
        if value and limit:
            parts.append(words("alarm.value_limit", value=value, limit=limit))
        elif value:
            parts.append(value)
        if evidence.held_s >= 1:
            parts.append(words("alarm.held", span=span(evidence.held_s, words)))
        parts.append(words("alarm.by_rule", rule=evidence.rule))
    if event.late or event.age_s:
        parts.append(words("alarm.late", span=span(event.age_s, words)))
    if event.reason:
        parts.append(event.reason)
    return " · ".join(parts)


def _told(detail: AlarmDetail, words: Words, names: Mapping[str, str]) -> Iterator[Moment]:
    for decision in detail.decisions:
        if not decision.told:
            yield Moment(
                decision.at_us, "notifications_off", words("alarm.story.told_nobody"), reason(decision.reason, words)
            )
    for message in detail.notifications:
        stamps = {receipt.stamp for receipt in message.receipts}
        for receipt in message.receipts:
            if receipt.stamp in _HOPS and not (receipt.stamp == "accepted" and "delivered" in stamps):
                to = _to(message.recipient, message.channel, names, words)
                yield Moment(
                    receipt.at_us,
                    "mark_chat_read" if receipt.stamp == "acknowledged" else "send",
                    words(f"alarm.story.message_{receipt.stamp}", to=to),
                )
        for attempt in message.attempts:
            if attempt.outcome not in (None, "accepted") and attempt.finished_us is not None:
                to = _to(message.recipient, message.channel, names, words)
                yield Moment(
                    attempt.finished_us, "sms_failed", words("alarm.story.message_failed", to=to), attempt.detail
                )


def _people(detail: AlarmDetail, words: Words, names: Mapping[str, str]) -> Iterator[Moment]:
    for one in detail.acknowledgements:
        note = words("alarm.story.by_link", who=who(one.contact, names, words)) if one.contact else one.note
        yield Moment(one.at_us, "done", words("alarm.story.acknowledged", by=one.by), note)
    for said in detail.comments:
        yield Moment(said.at_us, "chat", words("alarm.story.comment", by=said.by), said.text)
    for given in detail.assignments:
        if not given.to:
            title = words("alarm.story.let_go", by=given.by)
        elif given.to == given.by:
            title = words("alarm.story.took", by=given.by)
        else:
            title = words("alarm.story.assigned", by=given.by, to=given.to)
        yield Moment(given.at_us, "person", title)
    for judged in detail.verdicts:
        title = words("alarm.story.verdict", by=judged.by, verdict=words(f"alarm.verdict.{judged.verdict.value}"))
        yield Moment(judged.at_us, "gavel", title, judged.note)
    for command in detail.commands:
        if command.standing != "accepted":
            title = words(f"alarm.story.reset_{command.standing}", by=command.by)
            yield Moment(command.asked_us, "restart_alt", title, command.reason)
        else:
            yield Moment(command.asked_us, "restart_alt", words("alarm.story.reset_accepted", by=command.by))


def reason(said: str, words: Words) -> str:
    """Why somebody was told, or nobody: the desk's own words, which are a closed set with few fillings."""
    for key in ("first red", "rise to red", "first orange", "bundled"):
        if said == key:
            return words("alarm.reason." + key.replace(" ", "_"))
    for start in ("no recipient takes", "late", "suppressed", "repeated", "reset by a person", "cleared", "withdrawn"):
        if said.startswith(start):
            return words("alarm.reason." + start.replace(" ", "_"))
    return said


def names_of(detail: AlarmDetail, contacts: Iterable[Contact], words: Words) -> dict[str, str]:
    """Contacts, by their names as recipients: by name, where the viewer may know it, else by their place in the order.

    contacts: of the enterprise, now and before, as far as the viewer may see them.
    """
    places = {one.recipient: words("alarm.contact", order=one.place) for one in detail.alarm.heard if one.place}
    known = {contact_name(one.enterprise, one.id): " ".join(filter(None, (one.name, one.duty))) for one in contacts}
    return places | known


def who(recipient: str, names: Mapping[str, str], words: Words) -> str:
    """A contact who is none any more, and whom nobody names to this viewer, is said to be that."""
    return names.get(recipient) or (words("alarm.contact_before") if is_contact(recipient) else recipient)


def _to(recipient: str, by: str, names: Mapping[str, str], words: Words) -> str:
    """Who, and by what; the journal is nobody, so it is named once."""
    how = channel(by, words)
    return how if recipient == by else f"{who(recipient, names, words)} ({how})"


def channel(name: str, words: Words) -> str:
    key = f"alarm.channel.{name}"
    return words(key) if key in words else name
