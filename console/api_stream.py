"""`/api/v1/alarms/stream`: the open alarms as server-sent events, for programs that stay.

First all that is open (`alarms`), then what changes (`changes`). An event's id is the version of what the reader then
knows; whoever comes back with it as `Last-Event-ID` hears nothing again that it has. A cut from the database is said
at once (`cut`) and its end too (`back`); in between nothing that is old is sent. A comment every fifteen seconds shows
that the line stands, and finds those out who have gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from alerting.views import WatchedAlarm
from console.api_shapes import answers
from console.guard import viewer_of
from console.live import Live
from console.rooms import Snapshot
from schemas.viewers import Act, Viewer

HEARTBEAT_S = 15.0
_KEPT = 64
"""Changes between two versions that are kept as bytes, since all readers of a scope get the same."""

_EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}


class AlarmsEvent(msgspec.Struct, frozen=True):
    """Event `alarms`: all that is open, worst first, at most 500."""

    version: int
    as_of_us: int
    total: int
    grades: dict[str, int]
    unacknowledged: int
    alarms: list[WatchedAlarm]


class ChangesEvent(msgspec.Struct, frozen=True):
    """Event `changes`: what is new or another than before, and the keys of what is no longer among the open ones."""

    version: int
    as_of_us: int
    total: int
    grades: dict[str, int]
    unacknowledged: int
    changed: list[WatchedAlarm]
    gone: list[str]


class LineEvent(msgspec.Struct, frozen=True):
    """Event `cut`: since when the database does not answer, and as of when the last known is; event `back`."""

    as_of_us: int
    since_us: int | None = None


SHAPES = (AlarmsEvent, ChangesEvent, LineEvent)


class Changes:
    """What to send to whoever knows one snapshot and shall know the next, as bytes."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], bytes] = {}

    def between(self, viewer: Viewer, known: Snapshot, now: Snapshot) -> bytes:
        """Empty when nothing is another."""
        at = (viewer.scope, known.version, now.version)
        if at not in self._kept:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[at] = _changes(known, now)
        return self._kept[at]


def stream_router(live: Live) -> APIRouter:
    router = APIRouter(tags=["alarms"])
    changes = Changes()

    @router.get(
        "/alarms/stream",
        response_class=StreamingResponse,
        responses=answers(AlarmsEvent, 401, 403, 503)
        | {
            200: {
                "description": "Events without end.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
        summary="The open alarms, live, as server-sent events.",
    )
    async def stream(
        request: Request,
        last_event_id: Annotated[str, Header(max_length=40, description="Of the last event that was read.")] = "",
    ) -> StreamingResponse:
        viewer = viewer_of(request)
        viewer.must(Act.SEE_ALARMS)
        return StreamingResponse(
            _events(live, changes, viewer, last_event_id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


async def _events(live: Live, changes: Changes, viewer: Viewer, last_id: str) -> AsyncIterator[bytes]:
    known: Snapshot | None = None
    cut = False
    async with live.stream(viewer) as newest:
        yield b": welcome\n\n"
        while True:
            snapshot = await newest.get(HEARTBEAT_S)
            if snapshot is None:
                yield b": cut\n\n" if cut else b": live\n\n"
                continue
            if snapshot.cut_since_us is not None:
                if not cut:
                    yield _event("cut", LineEvent(snapshot.as_of_us, snapshot.cut_since_us))
                cut = True
                continue
            if cut:
                yield _event("back", LineEvent(snapshot.as_of_us))
                cut = False
            if known is None and last_id != str(snapshot.version):
                yield _event("alarms", _whole(snapshot), snapshot.version)
            elif known is not None and (said := changes.between(viewer, known, snapshot)):
                yield said
            known = snapshot


def _whole(now: Snapshot) -> AlarmsEvent:
    return AlarmsEvent(now.version, now.as_of_us, now.total, now.grades, now.unacknowledged, now.alarms)


def _changes(known: Snapshot, now: Snapshot) -> bytes:
    before = {alarm.key: alarm for alarm in known.alarms}
    changed = [alarm for alarm in now.alarms if before.pop(alarm.key, None) != alarm]
    if not (changed or before) and (known.total, known.unacknowledged) == (now.total, now.unacknowledged):
        return b""
    event = ChangesEvent(now.version, now.as_of_us, now.total, now.grades, now.unacknowledged, changed, sorted(before))
    return _event("changes", event, now.version)


def _event(name: str, data: msgspec.Struct, version: int | None = None) -> bytes:
    id_ = b"" if version is None else b"id: %d\n" % version
    return b"event: " + name.encode() + b"\n" + id_ + b"data: " + msgspec.json.encode(data) + b"\n\n"
