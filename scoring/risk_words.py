"""A risk in a person's words: terms, reasons and remedies by template, in Chinese and English. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import structs

from schemas.errors import CorruptState
from schemas.risk import Reason, Remedy, Risk, Said
from schemas.toml_decoder import TomlDecoder

LANGUAGES = ("zh", "en")
_CODES = ", "
"""Between the codes of devices, where there are several."""


class RiskTexts(msgspec.Struct, frozen=True):
    """One language; every table has the same keys in each."""

    points: str
    not_known: str
    own_colour: str
    """Shown beside a colour: whose it is."""
    columns: list[str]
    """Headings of the table: who, colour, score, the terms' points, reasons, when."""
    colour: dict[str, str]
    term: dict[str, str]
    note: dict[str, str]
    reason: dict[str, str]
    remedy: dict[str, str]
    fact: dict[str, str]
    said: dict[str, str]
    kind: dict[str, str]
    grade: dict[str, str]


_decoder = TomlDecoder(RiskTexts)


@cache
def risk_texts(language: str) -> RiskTexts:
    """Of a language; English where there is none. Raises CorruptState when the shipped file cannot be read."""
    name = language if language in LANGUAGES else "en"
    try:
        return _decoder.decode(files("scoring.risk_texts").joinpath(f"{name}.toml").read_bytes())
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CorruptState(f"the words of risk in {name!r} cannot be read: {error}") from error


class RiskInWords(msgspec.Struct, frozen=True):
    """A whole risk in one language."""

    colour: str
    own_colour: str
    """Whose colour it is, to be shown with it."""
    terms: dict[str, str]
    """By letter."""
    notes: dict[str, str]
    """By the letters of terms without data: why that is so."""
    reasons: list[str]
    remedies: list[str]
    unknown: list[str]
    """Facts that nobody has told us."""


def in_words(risk: Risk, language: str) -> RiskInWords:
    texts = risk_texts(language)
    return RiskInWords(
        texts.colour[risk.colour.word],
        texts.own_colour,
        {term.letter.value: texts.term[term.letter.value] for term in risk.terms},
        {term.letter.value: texts.note[term.note] for term in risk.terms if term.note},
        [reason_in_words(reason, language) for reason in risk.reasons],
        [remedy_in_words(remedy, language) for remedy in risk.remedies],
        [texts.fact[name] for name in risk.unknown],
    )


def devices_named(risk: Risk) -> set[str]:
    """Codes of the devices that its reasons and remedies speak of."""
    found: set[str] = set()
    for said in (*(one.said for one in risk.reasons), *(one.said for one in risk.remedies)):
        found |= {str(said.get("device", "")), *_listed(said), _circuit(said)[0]}
    return found - {""}


def with_names(risk: Risk, language: str, devices: Mapping[str, str], sensor: Callable[[str], str] = str) -> Risk:
    """With what people call its devices in place of their codes.

    devices: code → name; one that is not there, or has none, keeps its code.  sensor: what `current.L1` is called.
    """
    listed = risk_texts(language).said["listed"]

    def named(said: Said) -> Said:
        told = {**said}
        if "device" in said:
            told["device"] = devices.get(str(said["device"])) or said["device"]
        if codes := _listed(said):
            told["devices"] = listed.join(devices.get(code) or code for code in codes)
        device, channel = _circuit(said)
        if device:
            told["worst"] = f"{devices.get(device) or device}/{sensor(channel)}"
        return told

    return structs.replace(
        risk,
        reasons=tuple(structs.replace(one, said=named(one.said)) for one in risk.reasons),
        remedies=tuple(structs.replace(one, said=named(one.said)) for one in risk.remedies),
    )


def reason_in_words(reason: Reason, language: str) -> str:
    texts = risk_texts(language)
    said: Said = {**reason.said}
    if reason.code == "hazard":
        said |= _hazard(texts, reason.said)
    return texts.reason[reason.code].format_map(_filled(texts, said))


def remedy_in_words(remedy: Remedy, language: str) -> str:
    texts = risk_texts(language)
    said: Said = {**remedy.said}
    if remedy.code == "tell_facts":
        names = str(said["facts"]).split(",")
        said["facts"] = texts.said["between"].join(texts.fact[name] for name in names)
    return texts.remedy[remedy.code].format_map(_filled(texts, said))


def _listed(said: Said) -> list[str]:
    """Codes of devices; of a reason `devices` is how many there are."""
    devices = said.get("devices")
    return devices.split(_CODES) if isinstance(devices, str) else []


def _circuit(said: Said) -> tuple[str, str]:
    """Device and sensor of the worst circuit, empty where there is none; of alarms `worst` is a grade."""
    device, slash, sensor = str(said.get("worst", "")).partition("/")
    return (device, sensor) if slash else ("", "")


def _filled(texts: RiskTexts, said: Said) -> dict[str, str]:
    filled = {name: str(value) for name, value in said.items()}
    if "kind" in said:
        filled["kind"] = texts.kind.get(str(said["kind"]), str(said["kind"]))
    if isinstance(said.get("worst"), int):
        filled["worst"] = texts.grade.get(str(said["worst"]), "")
    elif "worst" in said:
        filled["worst"] = texts.said["worst"].format(value=said["worst"]) if said["worst"] else ""
    return filled


def _hazard(texts: RiskTexts, said: Said) -> Said:
    facts = []
    for place in (1, 2):
        name = said.get(f"fact_{place}")
        if name:
            value = said[f"value_{place}"]
            facts.append(texts.said[str(name)].format(value=f"{value:g}" if isinstance(value, float) else value))
    listed = texts.said["between"].join(facts)
    return {
        "trade": texts.said["trade"].format(value=said["trade"]) if said.get("trade") else "",
        "facts": texts.said["facts"].format(value=listed) if facts else "",
        "unknown": texts.said["unknown"].format(value=said["unknown"]) if said.get("unknown") else "",
    }
