"""Rule packs: from a person's TOML to `schemas.rules.RulePack`, or to the list of what is wrong with it.

`docs/reference/rules.md` shows the form. A pack is checked whole before any of it is taken: a rule that cannot do what
it says (a clear inside its raise, a red that waits too long) is a mistake here, not a surprise at night.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import replace
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any

from schemas.alarms import Grade, Kind
from schemas.errors import ConfigError
from schemas.measures import BY_NAME
from schemas.rules import Override, Rule, RulePack, Signal, Watch
from streams.pack_checks import TIMED, check_rule, is_flag_rule
from streams.pack_text import Mistake, PackRefused, Table, lines_of

DEFAULT_PACK = "default"
DEFAULT_MAX_GAP_US = 60_000_000
HEAT_CLASSES = tuple(letter + suffix for letter in ("A1", "A2", *"BCDEFG") for suffix in ("", "S", "R"))
"""EN 54-5: S never answers below its static minimum, R answers to the rate of rise."""

_ANY_MEASURE = frozenset({Signal.RANGE, Signal.STUCK, Signal.CLOCK, Signal.Z})
_SOURCES = frozenset({"source", "source_zh"})
_OVERRIDE_KEYS = frozenset({"raise", "clear", "grade", "latched", "max_gap", *_SOURCES})
_RULE_KEYS = _OVERRIDE_KEYS | {"id", "measure", "family", "kind", "signal", "profile", "watch"}
_SELECTORS = ("heat_class", "trade", "enterprise", "device")
_FLOORS = ("and_value_at_or_above", "and_reserve_used")
_LIMITS = ("at_or_above", "above", "at_or_below", "below", "is")


def load_pack(path: Path | None = None) -> RulePack:
    """Read a pack from `path`, or the default pack. Raises PackRefused, or ConfigError when it cannot be opened."""
    if path is None:
        return parse_pack(resources.files("streams").joinpath("rules/default.toml").read_text("utf-8"), DEFAULT_PACK)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the rule pack {path} cannot be read: {error}", mend="Name a readable TOML file in UTF-8."
        ) from error
    return parse_pack(text, path.stem)


def parse_pack(text: str, name: str) -> RulePack:
    """Check `text` and compile it. Raises PackRefused with every mistake: line, field, what, mend."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackRefused(name, [_syntax(error)]) from error
    lines = lines_of(text)
    mistakes: list[Mistake] = []
    Table(document, "", 0, lines, mistakes).only(("rule", "override"))
    tables = [_table(t, "rule", i, lines, mistakes) for i, t in enumerate(_array(document, "rule", mistakes))]
    rules: dict[str, Rule] = {}
    bases: dict[str, Table] = {}
    for table in tables:
        rule = _rule(table)
        if rule.id in bases:
            table.wrong("id", f"the id `{rule.id}` is used twice.", "Give each rule its own id.")
        elif rule.id:
            rules[rule.id], bases[rule.id] = rule, table
    overrides: list[Override] = []
    for i, values in enumerate(_array(document, "override", mistakes)):
        overrides += _overrides(_table(values, "override", i, lines, mistakes), bases)
    if not tables and not mistakes:
        mistakes.append(Mistake(None, "", "the pack has no rule.", "Add at least one [[rule]]."))
    if mistakes:
        raise PackRefused(name, mistakes)
    version = blake2b(text.encode(), digest_size=16).hexdigest()
    return RulePack(name, version, tuple(rules.values()), tuple(overrides), text)


def _syntax(error: tomllib.TOMLDecodeError) -> Mistake:
    what, _, where = str(error).partition(" (at line ")
    line = int(where.split(",")[0]) if where[:1].isdigit() else None
    return Mistake(line, "", f"not TOML: {what}.", "Texts need quotes, tables in one line need { } and commas.")


def _array(document: dict[str, Any], key: str, mistakes: list[Mistake]) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if isinstance(found, list) and all(isinstance(item, dict) for item in found):
        return found
    mistakes.append(Mistake(None, key, f"`{key}` must be a list of tables.", f"Begin each with [[{key}]]."))
    return []


def _table(
    values: dict[str, Any],
    array: str,
    index: int,
    lines: dict[tuple[str, int, str], int],
    mistakes: list[Mistake],
) -> Table:
    label = values.get("id" if array == "rule" else "rule")
    return Table(values, array, index, lines, mistakes, label=label if isinstance(label, str) else "")


def _rule(table: Table) -> Rule:
    """Compile one [[rule]]; what is wrong is added to the table's mistakes and replaced by something harmless."""
    table.only(_RULE_KEYS)
    signal = Signal[(table.choice("signal", [s.name.lower() for s in Signal], "value") or "value").upper()]
    kind = Kind(table.choice("kind", [k.value for k in Kind], None) or Kind.FAULT)
    grade = Grade.of(table.choice("grade", [g.word for g in Grade if g], None) or "blue")
    watch = Watch[(table.choice("watch", [w.name.lower() for w in Watch], "any") or "any").upper()]
    if watch is not Watch.ANY and signal is not Signal.SILENCE:
        table.wrong("watch", "only a silence rule has a `watch`.", 'Remove it, or write signal = "silence".')
    rule = Rule(
        id=table.text("id", None),
        measures=_measures(table, signal),
        family=table.text("family", None),
        kind=kind,
        grade=grade,
        signal=signal,
        latched=table.flag("latched", False),
        max_gap_us=table.duration_us("max_gap", DEFAULT_MAX_GAP_US),
        profile=table.text("profile"),
        watch=watch,
        source=table.text("source"),
        source_zh=table.text("source_zh"),
    )
    before = len(table.mistakes)
    for key, read in (("raise", _raise), ("clear", _clear)):
        said = table.table(key)
        rule = rule if said is None else read(said, rule)
    if len(table.mistakes) == before:
        check_rule(table, rule)
    return rule


def _measures(table: Table, signal: Signal) -> tuple[str, ...]:
    names = table.texts("measure")
    for name in names:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"One of: {', '.join(BY_NAME)}."
            table.wrong("measure", f"`{name}` is no measure.", hint)
    if signal is Signal.SILENCE and names:
        table.wrong("measure", "silence is a device's, not a measure's.", "Remove it; `watch` chooses devices.")
    elif not names and "measure" not in table.values and signal not in _ANY_MEASURE | {Signal.SILENCE}:
        table.wrong("measure", "`measure` is missing.", 'Add measure = "temperature" or another measure.')
    flags = [n for n in names if n in BY_NAME and BY_NAME[n].flag]
    if flags and signal not in (Signal.VALUE, Signal.RANGE, Signal.CLOCK, Signal.SILENCE):
        table.wrong("signal", f"`{flags[0]}` is true or false: no {signal.name.lower()}.", 'Use signal = "value".')
    if flags and len(flags) < len(names):
        table.wrong("measure", "flags and numbers do not share a rule.", "Write one rule for each.")
    if signal is Signal.RATED and set(names) - {"current"}:
        table.wrong("measure", "only `current` has a rated value.", 'Write measure = "current".')
    return names


def _raise(table: Table, rule: Rule) -> Rule:
    timed = rule.signal in TIMED
    known = {"readings", "for", "band", *_LIMITS, *_FLOORS}
    if timed:
        known = {"at_least", "periods"} if rule.signal is Signal.SILENCE else {"at_least"}
    table.only(known)
    if timed:
        periods = table.number("periods") or 0.0
        if "at_least" not in table.values:
            table.wrong("at_least", "`at_least` is missing.", 'Add at_least = "300s".')
        if periods < 0:
            table.wrong("periods", "`periods` must not be negative.", "Write periods = 3.")
        return replace(rule, high=table.duration_us("at_least", 0) / 1e6, periods=periods)
    low, high = _bounds(table, rule, "raises")
    if "for" in table.values and "band" in table.values:
        table.wrong("band", "`for` and `band` exclude each other.", "`for`: unbroken; `band`: in sum until safe.")
    floor = table.number("and_value_at_or_above")
    if floor is not None and rule.signal is not Signal.RATE:
        table.wrong("and_value_at_or_above", "only a rate rule has a floor on the value.", 'Write signal = "rate".')
    used = table.number("and_reserve_used")
    if used is not None:
        if rule.signal is not Signal.Z:
            table.wrong("and_reserve_used", "only a z rule asks how much reserve is used.", 'Write signal = "z".')
        elif not 0 < used <= 1:
            table.wrong("and_reserve_used", "a share lies above 0 and up to 1.", "Write and_reserve_used = 0.5.")
        floor = used
    band = "band" in table.values
    return replace(
        rule,
        high=high,
        low=low,
        floor=-math.inf if floor is None else floor,
        band=band,
        delay_us=table.duration_us("band" if band else "for", 0),
        readings=table.count("readings", 1),
    )


def _clear(table: Table, rule: Rule) -> Rule:
    rule = replace(rule, clear_delay_us=table.duration_us("for", 0), clear_readings=table.count("readings", 1))
    if rule.signal is Signal.SILENCE:
        table.only({"readings"})
        return rule
    if rule.signal is Signal.STUCK:
        table.only({"readings", "for"})
        return replace(rule, clear_high=0.0)
    table.only({"readings", "for", "is"} if is_flag_rule(rule) else {"readings", "for", *_LIMITS})
    if is_flag_rule(rule):
        want = math.isinf(rule.high)
        said = table.values.get("is", want)
        if said is not want:
            table.wrong("is", "it would clear on the very state that raises it.", f"Write is = {str(want).lower()}.")
        return replace(rule, clear_low=1.0 if want else -math.inf, clear_high=math.inf if want else 0.0)
    low, high = _bounds(table, rule, "clears")
    # In `clear` the limits say where it is safe: at_or_below is an upper end, at_or_above a lower one.
    return replace(
        rule, clear_low=high if math.isfinite(high) else -math.inf, clear_high=low if math.isfinite(low) else math.inf
    )


def _bounds(table: Table, rule: Rule, does: str) -> tuple[float, float]:
    """(low, high): s ≤ low or s ≥ high. `above` and `below` become the next float, so bounds are inclusive."""
    if "is" in table.values:
        if not is_flag_rule(rule):
            table.wrong("is", "`is` is for flags, which are true or false.", "Write at_or_above = ….")
        return (-math.inf, 1.0) if table.flag("is", True) else (0.0, math.inf)
    if is_flag_rule(rule):
        table.wrong("", f"a flag {does} on true or false.", "Write is = true.")
        return -math.inf, 1.0
    for one, other in (("at_or_above", "above"), ("at_or_below", "below")):
        if one in table.values and other in table.values:
            table.wrong(other, f"`{one}` and `{other}` exclude each other.", "Keep one of them.")
    above, below = table.number("above"), table.number("below")
    at_or_above, at_or_below = table.number("at_or_above"), table.number("at_or_below")
    high = at_or_above if above is None else math.nextafter(above, math.inf)
    low = at_or_below if below is None else math.nextafter(below, -math.inf)
    if not set(_LIMITS) & set(table.values):
        table.wrong("", f"it does not say at what value it {does}.", "Add at_or_above, above, at_or_below or below.")
    return -math.inf if low is None else low, math.inf if high is None else high


def _overrides(table: Table, bases: dict[str, Table]) -> list[Override]:
    """One Override for each heat class listed; its rule is the base rule with the tables that the override replaces."""
    table.only({"rule", "off", *_SELECTORS, *_OVERRIDE_KEYS})
    name = table.text("rule", None)
    base = bases.get(name)
    if base is None:
        if name:
            table.choice("rule", bases, None)
        return []
    classes = table.texts("heat_class")
    for unknown in set(classes) - set(HEAT_CLASSES):
        table.wrong("heat_class", f"`{unknown}` is no heat class.", f"One of: {', '.join(HEAT_CLASSES)}.")
    picks = {key: table.text(key) for key in _SELECTORS[1:]}
    if not classes and not any(picks.values()):
        table.wrong("", "it does not say for whom.", "Add heat_class, trade, enterprise or device.")
    if picks["device"] and picks["device"].count("/") != 1:
        table.wrong("device", "a device is named with its enterprise.", 'Write device = "shop-1/kitchen".')
    off = table.flag("off", False)
    changed = {key: table.values[key] for key in _OVERRIDE_KEYS if key in table.values}
    if off == bool(changed):
        what = "it must either switch the rule off or change it."
        table.wrong("off" if off else "", what, "Write off = true, or raise = { … }.")
    kept = base.values
    if _SOURCES & changed.keys():
        # The base's source in the other language speaks of other numbers.
        kept = {key: value for key, value in kept.items() if key not in _SOURCES}
    merged = Table(kept | changed, "override", table.index, table.lines, table.mistakes, label=table.label)
    rule = _rule(merged)
    return [Override(rule, heat_class, off=off, **picks) for heat_class in classes or ("",)]
