"""Looks at the forms of every page, on a schedule, and tells what is new, changed or archived.

Each look lists a page's forms, some at a time, and compares them with what is known. What is listed otherwise than it
is known is read alone before it is told: two ways of asking that do not agree must not take turns in telling. A form
that is listed no more is not taken for archived: a list may leave out what is there.

Pages take turns, one call after another, in the background of live leads: a page that may not be asked, or has used up
three quarters of a budget, is left for later. Where Meta does not let forms be listed, nothing else is lost.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.errors import BadAsk, Blocked, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import FORMS_AT_ONCE, Answer, JsonObject, Page, snapshot
from ingest.meta.notification import id_or_none
from ingest.meta.pages import PageAccess
from processors.form_history import FormHistory, Version
from processors.forms import tell
from processors.governor import Governor
from processors.turns import ListsPages, Turns

LOOK_EVERY = 1.0  # seconds, for pages whose time has come
FIRST_SECONDS = 3.0  # within these a page is looked at that was not before: whoever maps its forms waits for it
UNANSWERED_SECONDS = 60.0  # until a page is looked at again that was not answered
APART = 0.1  # seconds between two calls: thousands of pages do not spend an app's budget in a minute
_FEWER = 10  # forms at once, where Meta does not answer for more
MOST_CALLS = 1000  # for the list of one page; one that goes on behind them has no end


class ListsForms(Protocol):
    """GraphError where there is no answer."""

    async def forms(self, page: PageAccess, after: str | None = None, *, limit: int = FORMS_AT_ONCE) -> Page: ...

    async def form(self, form_id: str, page: PageAccess) -> Answer: ...


@dataclass(slots=True)
class _Look:
    """A look at a page's forms, as far as it has come."""

    page: PageAccess
    after: str | None = None
    calls: int = 0


class FormWatch:
    """Looks every `every` seconds at each page whose records would lie in a partition that `holds` names.

    Of several workers one does: its topic has `partitions` of them. `clock` gives unix milliseconds; `told` makes known
    what the governor has decided.
    """

    def __init__(
        self,
        *,
        graph: ListsForms,
        governor: Governor,
        told: Callable[[], Awaitable[None]],
        history: FormHistory,
        pages: ListsPages,
        holds: Callable[[], Collection[int]],
        partitions: int,
        producer: Producer,
        every: float,
        clock: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._graph = graph
        self._governor = governor
        self._told = told
        self._history = history
        self._turns = Turns(pages, holds=holds, partitions=partitions, first=min(FIRST_SECONDS, every), clock=clock)
        self._producer = producer
        self._every = every
        self._clock = clock
        self._pause = pause
        self._unread: dict[str, str] = {}  # by page: why its forms could not be listed
        self._denied: dict[str, tuple[object, ...]] = {}  # by form: what the list says of it and the form does not

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._pause(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Looks at the pages whose time has come, a call for each of them in turn."""
        looks = deque(_Look(page) for page in self._turns.due())
        while looks:
            look = looks.popleft()
            if not self._may_ask(look.page):
                continue  # it stays due, and its list begins anew when it may be asked
            try:
                if await self._go_on(look):
                    looks.append(look)
                else:
                    self._turns.rest(look.page, self._every)
                self._unread.pop(look.page.page_id, None)
            except GraphError as error:
                self._refuse(look.page, error)
            await self._told()
            await self._pause(APART)

    def _may_ask(self, page: PageAccess) -> bool:
        return self._governor.standing(page, live=False).state not in ("paused", "broken")

    def _refuse(self, page: PageAccess, error: GraphError) -> None:
        if isinstance(error, OverBudget | Blocked):
            self._governor.refused_form(page, error)
            return  # it stays due
        # That forms may not be listed says nothing of leads: nothing is parked for it.
        if self._unread.get(page.page_id) != error.reason:
            self._unread[page.page_id] = error.reason
            telemetry.log("warning", "forms.unread", page_id=page.page_id, reason=error.reason)
        self._turns.rest(page, min(self._every, UNANSWERED_SECONDS) if isinstance(error, Unavailable) else self._every)

    async def _go_on(self, look: _Look) -> bool:
        """Reads the next forms of a page, and tells what is news in them; whether there are more."""
        listed = await self._list(look)
        for node in listed.items:
            if not await self._compare(look.page, node):
                return True
        before, look.after = look.after, listed.after
        look.calls += 1
        return look.after not in (None, before) and look.calls < MOST_CALLS

    async def _list(self, look: _Look) -> Page:
        try:
            listed = await self._graph.forms(look.page, look.after)
        except (Unavailable, BadAsk):  # too much at once is a failing server, or more than is taken in
            listed = await self._graph.forms(look.page, look.after, limit=_FEWER)
        self._governor.gave_form(look.page, listed.usage)
        return listed

    async def _compare(self, page: PageAccess, node: JsonObject) -> bool:
        """Tells what is news in a form as it was listed; False where the page may be asked no further."""
        form_id = id_or_none(node.get("id"))
        if form_id is None:
            return True
        news = self._history.news(form_id, page.page_id, snapshot(node), now=self._clock())
        if news is not None and self._history.current(form_id) is not None:
            said = _said(news.version)
            if self._denied.get(form_id) == said:
                return True
            if not self._may_ask(page):
                return False
            await self._pause(APART)
            try:
                answer = await self._graph.form(form_id, page)
            except (Missing, BadAsk, Unavailable):
                return True  # the next look asks again
            self._governor.gave_form(page, answer.usage)
            news = self._history.news(form_id, page.page_id, snapshot(answer.parsed), now=self._clock())
            if news is None or _said(news.version) != said:
                self._denied[form_id] = said
        if news is not None:
            await tell(news, self._history, self._producer)
        return True


def _said(version: Version) -> tuple[object, ...]:
    return version.version, version.status, version.keys
