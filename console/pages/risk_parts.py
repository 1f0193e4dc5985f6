"""The risk of a place, drawn: its colour with the score, its reasons, its terms, and the shares of colours in a sum.

A risk colour is a round mark with a number in it, so that it is not taken for a warning grade, which has a shape.
"""

from __future__ import annotations

from msgspec import structs
from nicegui import ui

from console.pages.device_parts import sensor_name
from console.words import Words
from registry.trades import trade_of
from schemas.risk import Reason, Risk, RiskColour
from scoring import risk_words
from streams.risk_book import RiskTotal, RiskView

_LEAST_SAID = 0.05


def risk_mark(colour: str, score: float, words: Words) -> None:
    with ui.element("div").classes(f"r-mark is-{colour}"):
        ui.element("b")._text = f"{score:.0f}"
        ui.label(words("enterprise.coloured", colour=words(f"map.colour.{colour}")))


def with_names(view: RiskView, words: Words) -> Risk:
    """Its risk with names in place of codes: of the trade, of devices and of what they measure."""
    devices = {device: one.in_language(words.language) for device, one in view.devices.items()}
    risk = risk_words.with_names(view.risk, words.language, devices, lambda sensor: sensor_name(sensor, words))

    def name(reason: Reason) -> Reason:
        trade = trade_of(str(reason.said.get("trade") or ""))
        called = words.name(trade.name, trade.name_en)
        return structs.replace(reason, said={**reason.said, "trade": called}) if called else reason

    return structs.replace(risk, reasons=tuple(name(reason) for reason in risk.reasons))


def reason_pairs(risk: Risk, words: Words) -> list[tuple[str, str]]:
    """Up to three, as points ("" for a knock-out, which has none and comes first) and words. risk: `with_names`."""
    said = risk_words.in_words(risk, words.language)
    return [
        (f"+{reason.points:.1f}" if reason.points else "", text)
        for reason, text in zip(risk.reasons, said.reasons, strict=True)
    ]


def reasons(risk: Risk, words: Words) -> None:
    with ui.element("ul").classes("r-reasons"):
        for points, text in reason_pairs(risk, words):
            with ui.element("li").classes("" if points else "is-out"):
                ui.element("b")._text = points or "!"
                ui.label(text)


def remedies(risk: Risk, words: Words) -> None:
    """What would lower the score, most first."""
    said = risk_words.in_words(risk, words.language)
    if not risk.remedies:
        ui.label(words("supervisor.no_remedy")).classes("t-soft")
        return
    with ui.element("ul").classes("r-reasons is-remedies"):
        for remedy, text in zip(risk.remedies, said.remedies, strict=True):
            with ui.element("li"):
                # What ends a knock-out changes the colour, and no points.
                ui.element("b")._text = f"−{remedy.points:.1f}" if remedy.points >= _LEAST_SAID else "→"
                ui.label(text)


def terms(risk: Risk, words: Words) -> None:
    """Every term with its points, and why one has none."""
    said = risk_words.in_words(risk, words.language)
    with ui.element("table").classes("s-table r-terms"), ui.element("tbody"):
        for term in risk.terms:
            letter = term.letter.value
            with ui.element("tr"):
                ui.element("th").props('scope="row"')._text = said.terms[letter]
                with ui.element("td"), ui.element("div").classes("r-track").props('aria-hidden="true"'):
                    ui.element("i").style(f"width: {min(100.0, term.value):.0f}%")
                ui.element("td")._text = f"{term.points:.1f} / {100 * term.weight:.0f}" if term.known else "—"
            if note := said.notes.get(letter):
                with ui.element("tr").classes("r-note"):
                    ui.element("td").props('colspan="3"')._text = note


def bar(total: RiskTotal, words: Words) -> None:
    """How many are of which colour, worst first, as one bar; said in words for who does not see it."""
    counts = [(colour.word, int(getattr(total, colour.word))) for colour in reversed(RiskColour)]
    said = ", ".join(f"{words(f'map.colour.{word}')} {count}" for word, count in counts if count)
    with ui.element("div").classes("r-bar").props('role="img"') as drawn:
        drawn.props["aria-label"] = said
        drawn.props["title"] = said
        for word, count in counts:
            if count:
                ui.element("i").classes(f"is-{word}").style(f"flex-grow: {count}")
