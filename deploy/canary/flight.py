"""One run of the canary: a test lead is made, waited for, and deleted again, whatever becomes of it.

Meta is asked three times: which test lead there is, to make one, to delete it. The page's budget is that of its leads:
what is paused or broken is not asked, and what Meta says of budgets is told to all workers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Protocol

import stamina

from ingest.meta.client import AskName
from ingest.meta.errors import Blocked, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import Answer, Ask, Key, read_success
from ingest.meta.graph.test_leads import (
    TestLead,
    ask_test_leads,
    ask_to_delete_lead,
    ask_to_make_test_lead,
    read_made,
    read_test_leads,
)
from ingest.meta.pages import PageAccess
from ingest.reading import ReadingError
from processors.governor import Governor
from processors.lead.answers import Answers
from processors.lead.form import Form

from .judging import Flight, Limits, Times, Trace, judge
from .lookout import Arrival

_TELLING = 10.0  # seconds in which a pause is told; it is obeyed here in any case


class AsksMeta(Protocol):
    async def ask(self, name: AskName, ask: Ask, key: Key) -> Answer: ...

    def key(self, page: PageAccess) -> Key: ...


class SeesLeads(Protocol):
    def arrival(self, lead_id: str) -> asyncio.Future[Arrival]: ...

    async def times(self, asked_at: int, arrival: Arrival) -> Times: ...

    async def look_back(self, lead_id: str) -> Trace: ...


class Canary:
    """Flies on one form. `told` makes known what the governor has decided; `watch` begins to see what comes."""

    def __init__(
        self,
        *,
        graph: AsksMeta,
        governor: Governor,
        told: Callable[[], Awaitable[None]],
        watch: Callable[[], AbstractAsyncContextManager[SeesLeads]],
        limits: Limits,
        now: Callable[[], int] = lambda: round(time.time() * 1000),
    ) -> None:
        self._graph = graph
        self._governor = governor
        self._told = told
        self._watch = watch
        self._limits = limits
        self._now = now
        self._unfetched: tuple[Flight, SeesLeads] | None = None

    async def fly(self, form_id: str, page: PageAccess, stop: asyncio.Event) -> Flight:
        """One run. `stop` ends the waiting, and the test lead is deleted as ever."""
        if turned := self._turned(form_id, page):
            return turned
        try:
            if still := await self._still_unfetched():
                return still
            async with self._watch() as seen:
                return await self._clear(form_id, page) or await self._fly(form_id, page, seen, stop)
        except GraphError as error:
            return Flight(form_id=form_id, outcome="not-made", reason=error.reason)
        except ReadingError:
            return Flight(form_id=form_id, outcome="unread")

    async def _fly(self, form_id: str, page: PageAccess, seen: SeesLeads, stop: asyncio.Event) -> Flight:
        if turned := self._turned(form_id, page):  # what was asked meanwhile may have been the last of a budget
            return turned
        asked_at = self._now()
        lead_id = read_made(await self._ask(ask_to_make_test_lead(form_id), page))
        flight, left = Flight(form_id=form_id, outcome="stopped", lead_id=lead_id), None
        try:
            flight = await self._wait(flight, lead_id, asked_at, seen, stop)
        finally:
            left = await self._delete(lead_id, page)
        return replace(flight, left=left)

    async def _wait(self, flight: Flight, lead_id: str, asked_at: int, seen: SeesLeads, stop: asyncio.Event) -> Flight:
        arrived, stopping = seen.arrival(lead_id), asyncio.create_task(stop.wait())
        left = self._limits.timeout - (self._now() - asked_at) / 1000
        await asyncio.wait((arrived, stopping), timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if arrived.done():
            times = await seen.times(asked_at, arrived.result())
            return replace(flight, times=times, outcome=judge(times, self._limits))
        if stop.is_set():
            return replace(flight, times=Times(asked_at=asked_at))
        return await self._lose(flight, lead_id, asked_at, seen)

    async def _lose(self, flight: Flight, lead_id: str, asked_at: int, seen: SeesLeads) -> Flight:
        lost = replace(flight, outcome="lost", times=Times(asked_at=asked_at))
        try:
            trace = await seen.look_back(lead_id)
        except ReadingError:
            return lost
        lost = replace(lost, times=trace.times(asked_at), stuck=trace.stuck, told=trace.told_there)
        if trace.unfetched:
            self._unfetched = lost, seen
        return lost

    async def _still_unfetched(self) -> Flight | None:
        """The flight that was lost because nobody fetched, while that is so: no other is made meanwhile.

        Fetch will find as many leads missing as were deleted before it ran again, and takes several in a row for a
        page that may not be read.
        """
        if self._unfetched is None:
            return None
        flight, seen = self._unfetched
        if (await seen.look_back(flight.lead_id or "")).unfetched:
            return flight
        self._unfetched = None
        return None

    def _turned(self, form_id: str, page: PageAccess) -> Flight | None:
        """A flight that ends before it begins, where the page may not be asked now: a canary is no lead."""
        standing = self._governor.standing(page, live=False)
        if standing.state in ("paused", "broken"):
            return Flight(form_id=form_id, outcome="not-asked", reason=standing.reason)
        return None

    async def _clear(self, form_id: str, page: PageAccess) -> Flight | None:
        """What a run that was killed has left is deleted. A flight that ends here, where something else is there."""
        there = read_test_leads(await self._ask(ask_test_leads(form_id), page))
        for lead in there:
            if reason := self._not_ours(lead):
                return Flight(form_id=form_id, outcome="occupied", reason=reason, lead_id=lead.lead_id)
        for lead in there:
            if left := await self._delete(lead.lead_id, page):
                return Flight(form_id=form_id, outcome="not-made", reason=left)
        return None

    def _not_ours(self, lead: TestLead) -> str | None:
        """Why it has to stay. Meta keeps no name of who made it; a form's only test lead is its own lock."""
        if not Answers(lead.field_data, Form(), []).are_of_a_test_lead:
            return "chosen"
        age = self._now() / 1000 - (lead.created_at or 0)
        return "young" if age < self._limits.timeout else None

    async def _delete(self, lead_id: str, page: PageAccess) -> str | None:
        """Why it could not be, in a word. It is tried a few times: else the form is occupied until the next run."""
        standing = self._governor.standing(page)
        if standing.state == "paused":  # where it is broken, one call more does no harm
            return standing.reason
        try:
            async for attempt in stamina.retry_context(on=Unavailable, attempts=4, timeout=None, wait_initial=0.2):
                with attempt:
                    read_success(await self._ask(ask_to_delete_lead(lead_id), page))
        except Missing:
            return None
        except GraphError as error:
            return error.reason
        return None

    async def _ask(self, ask: Ask, page: PageAccess) -> Answer:
        try:
            answer = await self._graph.ask("test-lead", ask, self._graph.key(page))
            self._governor.gave_form(page, answer.usage)
        except (OverBudget, Blocked) as error:
            self._governor.refused_form(page, error)
            raise
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told(), _TELLING)
        return answer
