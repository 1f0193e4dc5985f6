"""What a person does about an alarm on a page: the same functions as the API's, and refusals in words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alerting.people import ASKED, UnknownAlarm
from console.refusals import refusal, word
from schemas.errors import ServiceAway, TocsinError
from schemas.viewers import NotAllowed

if TYPE_CHECKING:
    from console.pages.page import At

LONGEST_NOTE = 1000
_LOOK_S = 0.1
_LOOKS = 30
"""The engine answers a reset within a tick or two."""


class Acts:
    """Of one open page."""

    def __init__(self, at: At) -> None:
        self._at = at

    async def do(self, asked: Mapping[str, Any]) -> str:
        """asked: act, key, step, note, id, as a browser says it. Returns why it was not done, "" when it was."""
        at, words = self._at, self._at.words
        if not await at.still_in():
            at.reader.expired()
            return words("acts.expired")
        try:
            refused = await self._do(
                str(asked.get("act", "")),
                str(asked.get("key", "")),
                int(asked["step"]) if isinstance(asked.get("step"), int) else None,
                str(asked.get("note", ""))[:LONGEST_NOTE].replace("\0", ""),
                str(asked.get("id", ""))[:100],
            )
            if not refused:
                at.reader.done(str(asked.get("act", "")))
            return refused
        except UnknownAlarm:
            return words("acts.gone")
        except (NotAllowed, ServiceAway) as error:
            return refusal(error, words)
        except TocsinError as error:
            return words("acts.not_possible", why=refusal(error, words))

    async def _do(self, act: str, key: str, step: int | None, note: str, id_: str) -> str:
        at, people = self._at, self._at.services.people
        if act == "acknowledge":
            await at.ask(people.acknowledge, at.viewer, key, step=step, note=note, idempotency_key=id_)
        elif act == "comment":
            await at.ask(people.comment, at.viewer, key, note, idempotency_key=id_)
        elif act == "assign":
            await at.ask(people.assign, at.viewer, key, note, idempotency_key=id_)
        elif act == "verdict":
            await at.ask(people.judge, at.viewer, key, note, step=step, idempotency_key=id_)
        elif act == "reset":
            command = await at.ask(people.ask_reset, at.viewer, key, step=step, note=note, idempotency_key=id_)
            for _ in range(_LOOKS):
                if command.standing != ASKED:
                    break
                await asyncio.sleep(_LOOK_S)
                command = await at.ask(people.command, at.viewer, command.key)
            if command.standing == ASKED:
                return at.words("acts.still_asked")
            if command.standing != "accepted":
                return at.words("acts.reset_refused", why=word(command.reason, at.words))
        else:
            return at.words("acts.unknown")
        return ""
