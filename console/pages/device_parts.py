"""What was wrong with a message and how to mend it, and its payload, drawn as text."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from console.words import Words
from schemas.payloads import RefusedDetail, Told


def refusal(told: Sequence[Told], words: Words) -> None:
    """Each field that was refused: which, why, and the mend."""
    chinese = words.language == "zh"
    with ui.element("ul").classes("d-told"):
        for one in told:
            with ui.element("li"):
                if one.field:
                    ui.label(one.field).classes("p-id")
                ui.label(one.reason_zh if chinese else one.reason).classes("d-why")
                mend = one.mend_zh if chinese else one.mend
                if mend:
                    with ui.element("p").classes("h-mend"):
                        ui.icon("build")
                        ui.label(mend)


def payload(detail: RefusedDetail, words: Words) -> None:
    """As text, never as markup."""
    shown = ui.element("pre").classes("d-payload").props('tabindex="0"')
    shown._text = detail.text + (" …" if detail.is_cut else "")
    if detail.hex:
        ui.label(words("devices.hex")).classes("t-soft")
        ui.element("pre").classes("d-payload")._text = detail.hex
