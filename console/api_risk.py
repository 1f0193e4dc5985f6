"""`/api/v1/risk`: how enterprises stand, with reasons, totals, history, and a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from console.api_shapes import NO_NUL, Code, Responses, answer, answers
from console.guard import viewer_of
from schemas.risk import RiskColour
from schemas.viewers import Act, Viewer
from scoring.risk_words import risk_texts
from streams.risk_book import LONGEST_PAGE, RiskBook, RiskChapter, RiskPage, RiskTotal, RiskView

ColourWord = Literal["blue", "yellow", "orange", "red"]
District = Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")]
Trade = Annotated[str, Query(pattern=r"^([A-T][0-9]{0,4})?$", description="All trades whose code begins so.")]
Text = Annotated[str, Query(max_length=100, pattern=NO_NUL, description="Stands in the code, a name or an address.")]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\ufeff"


class RiskTotals(msgspec.Struct, frozen=True):
    totals: list[RiskTotal]


class RiskHistory(msgspec.Struct, frozen=True):
    chapters: list[RiskChapter]


SHAPES = (RiskPage, RiskView, RiskTotals, RiskHistory)
_CSV: Responses = {
    200: {"description": "The table.", "content": {"text/csv": {"schema": {"type": "string"}}}},
}


def risk_router(book: RiskBook) -> APIRouter:
    router = APIRouter(tags=["risk"])

    @router.get(
        "/risk",
        responses=answers(RiskPage, 400, 401, 403, 503, cached=True),
        summary="Enterprises by the risk of the place, worst first, in pages.",
    )
    def list_risks(
        request: Request,
        colour: Annotated[list[ColourWord] | None, Query(description="Repeatable.")] = None,
        district: Annotated[list[District] | None, Query(description="Repeatable.")] = None,
        trade: Trade = "",
        text: Text = "",
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
        cursor: Annotated[str, Query(max_length=500, description="`next` of the page before.")] = "",
    ) -> Response:
        found = book.list(
            viewer_of(request),
            colours=_colours(colour),
            districts=district,
            trade=trade or None,
            text=text,
            limit=limit,
            cursor=cursor,
        )
        return answer(request, found)

    @router.get(
        "/risk/totals",
        responses=answers(RiskTotals, 400, 401, 403, 503, cached=True),
        summary="How many enterprises have which colour, their mean and worst score, by district, by trade, or in all.",
    )
    def totals(request: Request, by: Literal["district", "trade", "all"] = "district") -> Response:
        return answer(request, RiskTotals(book.totals(viewer_of(request), by)))

    @router.get("/risk.csv", responses=_csv_answers(), summary="All of them as a table for spreadsheets, worst first.")
    def table(
        request: Request,
        colour: Annotated[list[ColourWord] | None, Query(description="Repeatable.")] = None,
        district: Annotated[list[District] | None, Query(description="Repeatable.")] = None,
        trade: Trade = "",
        text: Text = "",
        language: Annotated[
            Literal["zh", "en"] | None, Query(description="Of headings and reasons; the asker's if left out.")
        ] = None,
    ) -> Response:
        asker = viewer_of(request)
        asker.must(Act.EXPORT)
        viewer = asker if language is None else msgspec.structs.replace(asker, language=language)
        pages = _pages(book, viewer, _colours(colour), district, trade or None, text)
        first = next(pages)  # whatever is wrong is said before the first byte
        said = {"Content-Disposition": 'attachment; filename="risk.csv"', "Cache-Control": "private, no-store"}
        return StreamingResponse(_written(viewer, first, pages), 200, said, media_type="text/csv; charset=utf-8")

    @router.get(
        "/risk/{code}",
        responses=answers(RiskView, 400, 401, 403, 404, 503, cached=True),
        summary="One enterprise: score, colour, every term with its points, reasons, and what would lower it.",
    )
    def one(request: Request, code: Code) -> Response:
        return answer(request, book.of(viewer_of(request), code))

    @router.get(
        "/risk/{code}/history",
        responses=answers(RiskHistory, 400, 401, 403, 404, 503, cached=True),
        summary="How it stood, newest first.",
    )
    def history(
        request: Request,
        code: Code,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
        before_us: Annotated[
            int | None, Query(ge=0, lt=1 << 62, description="Older than this (µs since 1970).")
        ] = None,
    ) -> Response:
        return answer(request, RiskHistory(book.history(viewer_of(request), code, limit=limit, before_us=before_us)))

    return router


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_answers() -> Responses:
    return {**answers(RiskPage, 400, 401, 403, 503), **_CSV}


def _colours(words: list[ColourWord] | None) -> list[RiskColour] | None:
    return None if words is None else [RiskColour.of(word) for word in words]


def _pages(
    book: RiskBook,
    viewer: Viewer,
    colours: list[RiskColour] | None,
    districts: list[str] | None,
    trade: str | None,
    text: str,
) -> Iterator[RiskPage]:
    cursor = ""
    while True:
        page = book.list(
            viewer,
            colours=colours,
            districts=districts,
            trade=trade,
            text=text,
            limit=LONGEST_PAGE,
            cursor=cursor,
        )
        yield page
        cursor = page.next
        if not cursor:
            return


def _written(viewer: Viewer, first: RiskPage, others: Iterator[RiskPage]) -> Iterator[str]:
    texts = risk_texts(viewer.language)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    out.write(_BOM)
    writer.writerow(texts.columns)
    for page in chain([first], others):
        for view in page.risks:
            writer.writerow([safe_cell(cell) for cell in _row(view)])
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def _row(view: RiskView) -> list[str]:
    risk = view.risk
    points = {term.letter.value: f"{term.points:.1f}" for term in risk.terms}
    at = datetime.fromtimestamp(risk.as_of_us / 1e6, UTC).isoformat(timespec="seconds")
    reasons = [*view.words.reasons, "", "", ""][:3]
    return [
        risk.enterprise, view.name, view.name_en, view.district, view.trade, view.colour, f"{risk.score:.1f}",
        *points.values(), *reasons, at,
    ]  # fmt: skip
