"""What people and programs ask of the risk: one enterprise, a list, totals, history. Thread-safe; all take a viewer.

What is outside the viewer's scope is not there. A score stands as of the instant that it names: a quiet enterprise's is
looked at once a day, and its colour the moment it would change.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from database.connections import Connection, Connections
from schemas.errors import ConfigError, TocsinError
from schemas.risk import KnockOut, Letter, Reason, Risk, RiskColour
from schemas.viewers import Act, Viewer
from scoring.risk import explain
from scoring.risk_state import decode_state
from scoring.risk_words import RiskInWords, devices_named, in_words, with_names

LONGEST_PAGE = 500
_SEES = "tocsin_sees(r.enterprise, %(sees_all)s, %(sees_districts)s, %(sees_enterprises)s)"
_ONE = f"""
    SELECT r.state, coalesce(e.name, ''), coalesce(e.name_en, ''), r.district, r.trade
      FROM risk AS r LEFT JOIN enterprises AS e ON e.code = r.enterprise
     WHERE r.enterprise = %(code)s AND {_SEES}
"""  # noqa: S608 - put together from our own text
_LIST = f"""
    SELECT r.enterprise, r.score, r.state, coalesce(e.name, ''), coalesce(e.name_en, ''), r.district, r.trade
      FROM risk AS r LEFT JOIN enterprises AS e ON e.code = r.enterprise
     WHERE {_SEES}
       AND (%(colours)s::smallint[] IS NULL OR r.colour = ANY (%(colours)s))
       AND (%(districts)s::text[] IS NULL OR r.district = ANY (%(districts)s))
       AND (%(trade)s::text IS NULL OR starts_with(r.trade, %(trade)s))
       AND (%(text)s::text IS NULL OR strpos(
            lower(concat_ws(' ', r.enterprise, e.name, e.name_en, e.address, e.address_en)), lower(%(text)s)) > 0)
       AND (%(at_colour)s::smallint IS NULL
            OR (r.colour, r.score, r.enterprise) < (%(at_colour)s, %(at_score)s, %(at_code)s))
     ORDER BY r.colour DESC, r.score DESC, r.enterprise DESC LIMIT %(limit)s
"""  # noqa: S608
_DEVICES = """
    SELECT d.enterprise, d.device, d.name, d.name_en
      FROM devices AS d JOIN unnest(%s::text[], %s::text[]) AS asked (enterprise, device) USING (enterprise, device)
     WHERE d.name <> '' OR d.name_en <> ''
"""
_COLOURS = f"""
    SELECT r.enterprise, r.colour FROM risk AS r
     WHERE {_SEES} AND (%(codes)s::text[] IS NULL OR r.enterprise = ANY (%(codes)s))
     ORDER BY r.colour DESC, r.score DESC, r.enterprise DESC LIMIT %(limit)s
"""  # noqa: S608
_BY = {"district": "r.district", "trade": "r.trade", "all": "''"}
_TOTALS = f"""
    SELECT {{by}}, count(*), count(*) FILTER (WHERE r.colour = 1), count(*) FILTER (WHERE r.colour = 2),
           count(*) FILTER (WHERE r.colour = 3), count(*) FILTER (WHERE r.colour = 4), avg(r.score), max(r.score),
           (array_agg(r.enterprise ORDER BY r.colour DESC, r.score DESC, r.enterprise DESC))[1]
      FROM risk AS r WHERE {_SEES} GROUP BY 1 ORDER BY 6 DESC, 7 DESC, 1
"""  # noqa: S608
_HISTORY = f"""
    SELECT h.at_us, h.score, h.colour, h.points, h.reasons::text, h.knock_outs::text
      FROM risk_history AS h JOIN risk AS r USING (enterprise)
     WHERE h.enterprise = %(code)s AND {_SEES} AND (%(before_us)s::bigint IS NULL OR h.at_us < %(before_us)s)
     ORDER BY h.at_us DESC LIMIT %(limit)s
"""  # noqa: S608

By = Literal["district", "trade", "all"]


class UnknownRisk(TocsinError):
    """There is none, or none that this viewer sees."""

    def __init__(self, code: str) -> None:
        super().__init__(f"there is no risk of an enterprise {code}.", mend="Look at /api/v1/risk.")


class DeviceName(msgspec.Struct, frozen=True):
    """As the registry has it; one of the two may be empty."""

    name: str
    name_en: str

    def in_language(self, language: str) -> str:
        return (self.name or self.name_en) if language == "zh" else (self.name_en or self.name)


class RiskView(msgspec.Struct, frozen=True):
    """A risk with what people call its place. Its colour is of the place; it is no warning grade."""

    name: str
    name_en: str
    district: str
    trade: str
    colour: str
    """In a word: blue, yellow, orange, red."""
    risk: Risk
    words: RiskInWords
    """In the viewer's language, with the names of devices."""
    devices: dict[str, DeviceName]
    """Those of which `risk` speaks by their codes, as far as the registry has names for them."""


class RiskPage(msgspec.Struct, frozen=True):
    risks: list[RiskView]
    next: str = ""
    """Hand it back as `cursor` for the next page; empty on the last."""


class RiskTotal(msgspec.Struct, frozen=True):
    """Of a district, a trade, or all that the viewer sees."""

    key: str
    """The district's or the trade's code; empty for all, and for those that have none."""
    enterprises: int
    blue: int
    yellow: int
    orange: int
    red: int
    mean: float
    """Points."""
    worst: float
    worst_enterprise: str


class RiskChapter(msgspec.Struct, frozen=True):
    """How it stood from an instant on."""

    at_us: int
    score: float
    colour: str
    points: dict[str, float]
    """By the letters of the formula."""
    reasons: list[Reason]
    knock_outs: list[KnockOut]


class _Place(msgspec.Struct, frozen=True, array_like=True):
    colour: int
    score: float
    code: str


_place = msgspec.json.Decoder(_Place)
_reasons = msgspec.json.Decoder(list[Reason])
_knock_outs = msgspec.json.Decoder(list[KnockOut])
Totals = list[RiskTotal]
Chapters = list[RiskChapter]
Views = list[RiskView]


class RiskBook:
    """Raises ServiceAway when PostgreSQL is away, NotAllowed when the role may not see risk."""

    def __init__(self, dsn: str) -> None:
        self._connections = Connections(dsn, "tocsin risk book")

    def close(self) -> None:
        self._connections.close()

    def of(self, viewer: Viewer, code: str) -> RiskView:
        """One enterprise's. Raises UnknownRisk."""
        viewer.must(Act.SEE_RISK)
        views: list[RiskView] = []
        if "\0" not in code:
            with self._connections.transaction(viewer) as connection:
                row = connection.execute(_ONE, {**viewer.parameters(), "code": code}, binary=True).fetchone()
                views = _views(connection, viewer, [(code, *row)] if row else [])
        if not views:
            raise UnknownRisk(code)
        return views[0]

    def list(
        self,
        viewer: Viewer,
        *,
        colours: Sequence[RiskColour] | None = None,
        districts: Sequence[str] | None = None,
        trade: str | None = None,
        text: str = "",
        limit: int = 100,
        cursor: str = "",
    ) -> RiskPage:
        """A page, worst first. trade: all whose code begins so.  text: stands in the code, a name or an address.

        Raises ConfigError for a cursor that is not ours, and for a text that nothing can hold.
        """
        viewer.must(Act.SEE_RISK)
        limit = max(1, min(limit, LONGEST_PAGE))
        after = _decode_cursor(cursor) if cursor else None
        if "\0" in text:
            raise ConfigError("it holds a zero character.", field="text", mend="Leave it out.")
        wanted: dict[str, Any] = {
            "colours": None if colours is None else [int(colour) for colour in colours],
            "districts": None if districts is None else [*districts],
            "trade": trade,
            "text": text or None,
            "at_colour": after and after.colour,
            "at_score": after and after.score,
            "at_code": after and after.code,
            "limit": limit + 1,
        }
        with self._connections.transaction(viewer) as connection:
            rows = connection.execute(_LIST, {**viewer.parameters(), **wanted}, binary=True).fetchall()
            views = _views(connection, viewer, [(code, *rest) for code, _, *rest in rows[:limit]])
        if len(rows) <= limit:
            return RiskPage(views)
        code, score = rows[limit - 1][:2]
        return RiskPage(views, _encode_cursor(_Place(int(views[-1].risk.colour), score, code)))

    def colours(self, viewer: Viewer, limit: int = 100_000, codes: Sequence[str] | None = None) -> dict[str, str]:
        """Enterprise → its colour in a word, of all that the viewer sees; the worst first if there are too many.

        codes: of these alone.
        """
        viewer.must(Act.SEE_RISK)
        with self._connections.transaction(viewer) as connection:
            wanted = {**viewer.parameters(), "limit": limit, "codes": None if codes is None else [*codes]}
            rows = connection.execute(_COLOURS, wanted).fetchall()
        return {code: RiskColour(colour).word for code, colour in rows}

    def totals(self, viewer: Viewer, by: By = "district") -> Totals:
        """Most reds first."""
        viewer.must(Act.SEE_RISK)
        query = _TOTALS.format(by=_BY[by])
        with self._connections.transaction(viewer) as connection:
            rows = connection.execute(query, viewer.parameters()).fetchall()
        return [RiskTotal(*row) for row in rows]

    def history(self, viewer: Viewer, code: str, *, limit: int = 100, before_us: int | None = None) -> Chapters:
        """How an enterprise stood, newest first. Raises UnknownRisk."""
        self.of(viewer, code)
        wanted = {"code": code, "limit": max(1, min(limit, LONGEST_PAGE)), "before_us": before_us}
        with self._connections.transaction(viewer) as connection:
            rows = connection.execute(_HISTORY, {**viewer.parameters(), **wanted}).fetchall()
        return [
            RiskChapter(
                at_us,
                score,
                RiskColour(colour).word,
                dict(zip((letter.value for letter in Letter), points, strict=True)),
                _reasons.decode(reasons),
                _knock_outs.decode(knock_outs),
            )
            for at_us, score, colour, points, reasons, knock_outs in rows
        ]


def _views(connection: Connection, viewer: Viewer, rows: Sequence[tuple[Any, ...]]) -> Views:
    """rows: code, state, names, district and trade of each."""
    risks = [explain(code, decode_state(state)) for code, state, *_ in rows]
    called = _device_names(connection, risks)
    language = viewer.language
    views = []
    for risk, (code, _, name, name_en, district, trade) in zip(risks, rows, strict=True):
        devices = called.get(code, {})
        named = {device: one.in_language(language) for device, one in devices.items()}
        words = in_words(with_names(risk, language, named), language)
        views.append(RiskView(name, name_en, district, trade, risk.colour.word, risk, words, devices))
    return views


def _device_names(connection: Connection, risks: Sequence[Risk]) -> dict[str, dict[str, DeviceName]]:
    """Enterprise → device → its names, of the devices that the risks speak of: one query however many they are."""
    asked = [(risk.enterprise, device) for risk in risks for device in sorted(devices_named(risk))]
    found: dict[str, dict[str, DeviceName]] = {}
    if asked:
        for enterprise, device, *names in connection.execute(_DEVICES, [*map(list, zip(*asked, strict=True))]):
            found.setdefault(enterprise, {})[device] = DeviceName(*names)
    return found


def _encode_cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _decode_cursor(cursor: str) -> _Place:
    try:
        body = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = _place.decode(body)
        if not (1 <= place.colour <= 4) or "\0" in place.code:
            raise ValueError
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise ConfigError(
            "this is not the cursor of a page.", field="cursor", mend="Take `next` of the page before, or leave it out."
        ) from error
    return place
