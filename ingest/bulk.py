"""Reads all leads of a form or an ad, page by page, behind live leads; each page is yielded once and then forgotten.

What Meta cannot give at once it is asked for in smaller pages, down to single leads, and in larger ones again. What is
outside the asked times is dropped here too, for Meta's filter is said to be ignored now and then. Nothing of a page is
kept but its cursor, which holds no token: whoever stores it can go on there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ingest.meta.client import MANY_BYTES, AskName
from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, OverBudget, Unavailable
from ingest.meta.graph import LEAD_FIELDS, REDUCED_LEAD_FIELDS, Answer, Ask, Key, Usage
from ingest.meta.graph.bulk import BulkLead, BulkPage, ask_leads, read_leads
from ingest.meta.pages import PageAccess

MOST_AT_ONCE = 500  # leads; Meta names no bound, and a page of them is a megabyte or two
UNANSWERED_TRIES = 10  # in a row, some minutes together
_GROW_AFTER = 10  # answered pages, and twice as many each time that the larger page was refused again
_PAUSES = (1.0, 60.0)  # seconds: before the second try, and the longest one
_SAY_FROM = 5.0  # seconds
_BEGINS = 3  # of one slice, for its cursor was refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The leads of a form or an ad with `since <= created < until`, in unix seconds; None is without end."""

    edge_id: str
    page: PageAccess
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadsPage:
    """A page of a slice: `after` is the cursor to go on from, None at the end of the slice.

    `outside` are leads that Meta gave and the slice does not have, `unreadable` elements without an id or a time.
    `anew` is true where the slice begins again from its first lead. `limit` is the page size to be asked for next.
    """

    leads: tuple[BulkLead, ...] = field(repr=False)
    after: str | None
    usage: Usage
    fields: Sequence[str] = LEAD_FIELDS
    version: str | None = None
    outside: int = 0
    unreadable: int = 0
    anew: bool = False
    limit: int = MOST_AT_ONCE


class Unreadable(Exception):
    """The slice, or the rest of it, cannot be read; the pages before are good. `cause` is what Meta has said last."""

    def __init__(self, reason: str, cause: GraphError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


class PageLost(Unreadable):
    """Nothing of the page may be read until a person has repaired it."""


class AsksLeads(Protocol):
    """What is needed of the Graph client."""

    async def ask(self, name: AskName, ask: Ask, key: Key, most: int = MANY_BYTES) -> Answer: ...

    def key(self, page: PageAccess) -> Key: ...


class Turns(Protocol):
    """Live leads go first: asked before each call, and told what came of it."""

    def turn(self, page: PageAccess) -> AbstractAsyncContextManager[None]:
        """Entered when the page may be asked; PageLost where it may not until a person has repaired something.

        It lasts until what was read is done with, so that as many pages of leads are in memory as there are turns.
        """
        ...

    async def gave(self, page: PageAccess, usage: Usage) -> None: ...

    async def refused(self, page: PageAccess, error: OverBudget | Blocked | AccessLost) -> None: ...


class PageSize:
    """How many leads to ask for: half as many where that was too much, twice as many once it has gone well for long."""

    def __init__(self, limit: int = MOST_AT_ONCE, *, most: int = MOST_AT_ONCE) -> None:
        self._most = most
        self.limit = max(1, min(limit, most))
        self._well = 0
        self._grow_after = _GROW_AFTER
        self._grew = False

    def went_well(self) -> None:
        self._well += 1
        if self._well >= self._grow_after and self.limit < self._most:
            self.limit, self._well, self._grew = min(2 * self.limit, self._most), 0, True
        elif self._grew and self._well >= _GROW_AFTER // 2:
            self._grew, self._grow_after = False, _GROW_AFTER

    def was_too_much(self) -> bool:
        """Whether a smaller page can be asked for."""
        if self._grew:  # it was tried too soon
            self._grew, self._grow_after = False, 2 * self._grow_after
        self._well = 0
        before, self.limit = self.limit, max(1, self.limit // 2)
        return self.limit < before


class BulkRead:
    """`told` hears a sentence where a page is slow to come; `pause` waits for so many seconds."""

    def __init__(
        self,
        graph: AsksLeads,
        turns: Turns,
        *,
        told: Callable[[str], None] = lambda _: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        most: int = MOST_AT_ONCE,
    ) -> None:
        self._graph = graph
        self._turns = turns
        self._told = told
        self._pause = pause
        self._most = most
        self._reduced: set[str] = set()  # pages that some field may not be read of

    async def pages(
        self,
        wanted: Slice,
        *,
        after: str | None = None,
        fields: Sequence[str] = LEAD_FIELDS,
        limit: int | None = None,
    ) -> AsyncGenerator[LeadsPage, None]:
        """The slice from its first lead, or from a cursor, on; the last page has none. Unreadable, or BadAsk for no id.

        `limit` is the page size to begin with, as the last page of an earlier reading gave it. Whoever stops before the
        end closes it (`aclosing`), for the page at hand holds a turn.
        """
        size = PageSize(self._most if limit is None else limit, most=self._most)
        stand = _Stand(wanted=wanted, fields=fields, after=after, size=size)
        while True:
            asked = self._fields(stand)
            ask = stand.ask(asked)
            try:
                async with self._turns.turn(wanted.page):
                    page = await self._read(stand, ask, asked)
                    yield page
            except GraphError as error:
                await self._make_good(stand, error, asked)
                continue
            if page.after is None:
                return

    async def _read(self, stand: "_Stand", ask: Ask, asked: Sequence[str]) -> LeadsPage:
        page = stand.wanted.page
        answer = await self._graph.ask("leads", ask, self._graph.key(page), MANY_BYTES)
        read = read_leads(answer)
        await self._turns.gave(page, answer.usage)
        if stand.reduced:
            self._reduced.add(page.page_id)
        if read.after is not None and read.after == stand.after:  # a list that leads to itself has no end
            raise Unreadable("not-an-object")
        return stand.go_on(read, answer, asked)

    async def _make_good(self, stand: "_Stand", error: GraphError, asked: Sequence[str]) -> None:
        """Returns when the next ask may be answered; Unreadable otherwise."""
        edge_id, page = stand.wanted.edge_id, stand.wanted.page
        if isinstance(error, OverBudget | Blocked):
            await self._turns.refused(page, error)
            return
        if _is_too_much(error) and stand.size.was_too_much():
            self._told(f"{edge_id}: {error.reason}, so {stand.size.limit} leads are asked for at once")
            if _says_so(error):
                return
        if isinstance(error, Unavailable) or _says_so(error):
            await self._try_later(stand, error)
        elif isinstance(error, BadAsk) and stand.begin_anew():
            self._told(f"{edge_id}: Meta takes the cursor no more, so it is read from its first lead on")
        elif _blames_a_field(error) and not set(asked) <= set(REDUCED_LEAD_FIELDS):
            stand.reduced = True
        else:
            if isinstance(error, AccessLost):
                await self._turns.refused(page, error)
                raise PageLost(error.reason, error) from None
            raise Unreadable(error.reason, error) from None

    async def _try_later(self, stand: "_Stand", error: GraphError) -> None:
        stand.tries += 1
        if stand.tries >= UNANSWERED_TRIES:
            raise Unreadable(error.reason, error) from None
        seconds = min(_PAUSES[0] * 2 ** (stand.tries - 1), _PAUSES[1])
        if seconds > _SAY_FROM:
            self._told(f"{stand.wanted.edge_id}: {error.reason}, asked again in {seconds:.0f} s")
        await self._pause(seconds)

    def _fields(self, stand: "_Stand") -> Sequence[str]:
        if not stand.reduced and stand.wanted.page.page_id not in self._reduced:
            return stand.fields
        return tuple(name for name in REDUCED_LEAD_FIELDS if name in stand.fields)


@dataclass(slots=True)
class _Stand:
    """How far a slice is read, and how it is asked for."""

    wanted: Slice
    fields: Sequence[str]
    after: str | None
    size: PageSize
    reduced: bool = False  # some field may not be read
    anew: bool = False
    begins: int = 1
    tries: int = 0  # in a row, unanswered

    def ask(self, fields: Sequence[str]) -> Ask:
        since, until = self.wanted.since, self.wanted.until
        return ask_leads(
            self.wanted.edge_id, fields=fields, since=since, until=until, limit=self.size.limit, after=self.after
        )

    def begin_anew(self) -> bool:
        """Whether a refusal is the cursor's: the fields were taken when it was given."""
        if self.after is None or self.begins >= _BEGINS:
            return False
        self.after, self.anew, self.begins = None, True, self.begins + 1
        return True

    def go_on(self, read: BulkPage, answer: Answer, fields: Sequence[str]) -> LeadsPage:
        since, until = self.wanted.since, self.wanted.until
        leads = tuple(
            lead
            for lead in read.leads
            if (since is None or lead.created_time >= since) and (until is None or lead.created_time < until)
        )
        self.tries = 0
        self.size.went_well()
        page = LeadsPage(
            leads=leads,
            after=read.after,
            usage=answer.usage,
            fields=fields,
            version=answer.version,
            outside=len(read.leads) - len(leads),
            unreadable=read.unreadable,
            anew=self.anew,
            limit=self.size.limit,
        )
        self.after, self.anew = read.after, False
        return page


def _blames_a_field(error: GraphError) -> bool:
    return error.reason in ("bad-field", "bad-ask", "capability", "permission")


def _is_too_much(error: GraphError) -> bool:
    """Where fewer leads may be answered: Meta says so, or it took too long, or the answer was too large or cut off."""
    return _says_so(error) or error.reason in ("timeout", "truncated", "server-error", "service-down", "unknown-error")


def _says_so(error: GraphError) -> bool:
    # "Please reduce the amount of data": 1/99, HTTP 500.
    return error.reason == "too-large" or (error.code, error.subcode) == (1, 99)
