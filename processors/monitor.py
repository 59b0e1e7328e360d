"""Looks whether what is broken or in doubt was repaired, and tells everyone: what is parked for it then goes on.

Every look costs calls, and a dead token must not be used to ask about itself. So, by key of `meta.access`:
    token   gone from META_PAGES_FILE: repaired. Else Meta is asked about it with the app's own token (debug_token)
    page    Meta is asked whether its leads may be read (has_lead_access)
    app     nothing can be asked
Where nothing can be asked, or Meta does not say, it is opened on trial: the next lead finds out, and one call is all
that costs. Trials, and pages that were opened and broke again, are looked at further and further apart, up to an hour.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.errors import AccessLost, BadAsk, GraphError, Missing, Scope
from ingest.meta.pages import PageAccess
from processors import patience
from processors.access import AccessStates, Standing, access_record

LONGEST_MS = 3_600_000
_JITTER = 0.1  # of the time between two looks: several `work retry` look, and not at the same moment


class AsksAboutAccess(Protocol):
    """Each is None where Meta does not say, and GraphError where it does not answer."""

    async def token_is_valid(self, page: PageAccess) -> bool | None: ...

    async def leads_are_readable(self, page: PageAccess) -> bool | None: ...


class ListsPages(Protocol):
    def all(self) -> Iterable[PageAccess]: ...


@dataclass(frozen=True, slots=True)
class _Next:
    at: int  # unix milliseconds
    wait: int  # milliseconds, doubled with every opening


class Monitor:
    """`every` is the seconds between two looks, `clock` unix milliseconds; `pause` waits for so many seconds."""

    def __init__(
        self,
        *,
        states: AccessStates,
        pages: ListsPages,
        graph: AsksAboutAccess,
        producer: Producer,
        every: float,
        clock: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._states = states
        self._pages = pages
        self._graph = graph
        self._producer = producer
        self._every = every
        self._clock = clock
        self._pause = pause
        self._next: dict[str, _Next] = {}

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._pause(self._every * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  no secret
            await self.look()

    async def look(self) -> None:
        """Opens what is seen repaired, and what is due for a trial."""
        unsettled = list(self._states.unsettled())
        telemetry.ACCESS_BROKEN.set(sum(standing.state == "broken" for standing in unsettled))
        for standing in unsettled:
            if self._is_due(standing) and await self._is_repaired(standing):
                await self._open(standing)

    async def _is_repaired(self, standing: Standing) -> bool:
        scope = _scope(standing)
        page = self._page_of(standing.key, scope)
        if page is None:
            # A page without a token waits for one; a token or an app that no page uses is nobody's trouble any more.
            return scope != "page"
        if self._is_closed_otherwise(page, standing):
            return False
        match scope:
            case "token":
                said = await self._asked(self._graph.token_is_valid(page))
            case "page":
                said = await self._asked(self._graph.leads_are_readable(page))
            case "app":
                said = None
        return said is not False

    async def _asked(self, answer: Awaitable[bool | None]) -> bool | None:
        try:
            return await answer
        except (BadAsk, Missing):
            return None  # Meta does not know what we mean
        except AccessLost:
            return False
        except GraphError:
            return False  # Meta does not answer, or not now: the next look asks again

    def _is_closed_otherwise(self, page: PageAccess, standing: Standing) -> bool:
        """Whether a call would be one that may not be made: with a dead token, or in a pause."""
        others = (self._states.of(self._states.key(page, scope)) for scope in ("app", "token", "page"))
        return any(other.key != standing.key and other.state in ("paused", "broken") for other in others)

    def _page_of(self, key: str, scope: Scope) -> PageAccess | None:
        return next((page for page in self._pages.all() if self._states.key(page, scope) == key), None)

    def _is_due(self, standing: Standing) -> bool:
        """The first look at what has just broken is a whole turn after it broke: repairs take people."""
        now = self._clock()
        after = self._next.get(standing.key)
        if after is None:
            return now - standing.at >= self._every * 1000 * (1 - _JITTER)
        return now >= after.at

    async def _open(self, standing: Standing) -> None:
        now = self._clock()
        before = self._next.get(standing.key)
        wait = round(self._every * 1000) if before is None else min(2 * before.wait, LONGEST_MS)
        if before is not None and now - before.at > LONGEST_MS:  # it stayed open for so long: this is another trouble
            wait = round(self._every * 1000)
        self._next[standing.key] = _Next(now + wait, wait)
        opened = Standing(state="open", key=standing.key, reason="repaired", at=now, page_id=standing.page_id)
        await patience.deliver(self._producer, access_record(opened))
        telemetry.log("info", "access.open", key=standing.key, page_id=standing.page_id, reason="repaired")


def _scope(standing: Standing) -> Scope:
    kind = standing.key.partition(":")[0]
    return "app" if kind == "app" else "token" if kind == "token" else "page"
