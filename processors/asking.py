"""How leads are asked for: one call when it is quiet, batches of up to 50 under load, and only where it may be asked.

Each page has a line of its own, so that a batch is one token's and one budget's, and a slow page makes only its own
leads wait. While a page's calls are under way, further leads gather and go together. A page that was not answered last
time is asked for one lead alone. Live leads go before those of other doors.

What Meta says of budgets and access goes to the governor at once, and to `meta.access` before anybody here learns it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, OverBudget
from ingest.meta.graph import BATCH_SIZE, LEAD_FIELDS, Answer
from ingest.meta.pages import PageAccess
from processors import patience
from processors.access import Standing, State, access_record
from processors.governor import Governor

CALLS_PER_PAGE = 4
PAGE_SHARE = 32  # of the calls under way, one page may have so much of them, where that is more
_SILENT_SECONDS = 1.0  # between two calls for a page while nobody is answered
_PROBE_SECONDS = (1.0, 30.0)  # the pause before the first probe in a storm, and the longest one

_EVENTS: dict[State, telemetry.Event] = {
    "open": "access.open",
    "doubtful": "access.doubtful",
    "paused": "access.paused",
    "broken": "access.broken",
}


class Turned(Exception):
    """The page may not be asked now; `standing` says why and until when. Nobody was asked, or Meta has just said so."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(standing.reason)
        self.standing = standing


class AsksMeta(Protocol):
    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer: ...

    async def form(self, form_id: str, page: PageAccess) -> Answer: ...

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
    ) -> tuple[Answer | GraphError, ...]: ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Wanted:
    lead_id: str
    live: bool
    answer: asyncio.Future[Answer]


@dataclass(slots=True)
class _Line:
    """The leads of one page that wait to be asked for, with the same fields."""

    page: PageAccess
    fields: Sequence[str]
    live: deque[_Wanted] = field(default_factory=deque)
    background: deque[_Wanted] = field(default_factory=deque)
    calls: int = 0

    def __len__(self) -> int:
        return len(self.live) + len(self.background)

    def take(self, most: int) -> list[_Wanted]:
        taken: list[_Wanted] = []
        for waiting in (self.live, self.background):
            while waiting and len(taken) < most:
                wanted = waiting.popleft()
                if not wanted.answer.done():  # its record was given to another worker
                    taken.append(wanted)
        return taken


class Asking:
    """`concurrency` is how many calls are under way at once, of all pages; `pause` waits for so many seconds."""

    def __init__(
        self,
        *,
        graph: AsksMeta,
        governor: Governor,
        producer: Producer,
        concurrency: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._graph = graph
        self._governor = governor
        self._producer = producer
        self._slots = asyncio.Semaphore(concurrency)
        self._per_page = max(CALLS_PER_PAGE, concurrency // PAGE_SHARE)
        self._pause = pause
        self._lines: dict[tuple[PageAccess, bool], _Line] = {}
        self._form_turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_order = asyncio.Lock()
        self._probe = asyncio.Lock()
        self._probe_after = _PROBE_SECONDS[0]

    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str], live: bool = True) -> Answer:
        """Meta's answer. Turned where the page may not be asked; else Unavailable, Missing, BadAsk.

        And AccessLost("capability") where all fields were asked for: one of them alone can be to blame.
        """
        wanted = _Wanted(lead_id=lead_id, live=live, answer=asyncio.get_running_loop().create_future())
        key = (page, fields is LEAD_FIELDS)  # the page as it is opened now: a new token does not go with the old one
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(page, fields)
        (line.live if live else line.background).append(wanted)
        self._go(key, line)
        return await wanted.answer

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        """A form's node; Turned where the page may not be asked now, else GraphError."""
        # A page may have any number of forms, and while they come slowly its leads must leave slots for other pages.
        turns = self._form_turns.setdefault(page.page_id, asyncio.Semaphore(CALLS_PER_PAGE))
        async with turns, self._slots:
            if (turned := self._turned(page, live=True)) is not None:
                raise Turned(turned)
            try:
                answer = await self._graph.form(form_id, page)
            except (OverBudget, Blocked) as error:
                standing = self._governor.refused_form(page, error)
                await self.tell()
                raise Turned(standing) from None
            self._governor.gave_form(page, answer.usage)
            await self.tell()
            return answer

    async def tell(self) -> None:
        """What the governor has decided goes to everyone, and to the log."""
        if news := self._governor.news():
            telling = asyncio.create_task(self._publish(news))
            self._tasks.add(telling)
            telling.add_done_callback(self._tasks.discard)
            # A record that is given to another worker takes its own news along nowhere: they are told regardless.
            await asyncio.shield(telling)

    async def _publish(self, news: Sequence[Standing]) -> None:
        async with self._in_order:
            for standing in news:
                await patience.deliver(self._producer, access_record(standing))
                telemetry.log(
                    "error" if standing.state == "broken" else "info",
                    _EVENTS[standing.state],
                    key=standing.key,
                    page_id=standing.page_id,
                    reason=standing.reason,
                    until=standing.until,
                )

    def _go(self, key: tuple[PageAccess, bool], line: _Line) -> None:
        if line.calls * BATCH_SIZE >= len(line):  # what waits goes together once a call is over
            return
        most = self._per_page if self._governor.proven(line.page) else 1
        while line.calls < most and line.calls * BATCH_SIZE < len(line):
            line.calls += 1
            task = asyncio.create_task(self._call(key, line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _call(self, key: tuple[PageAccess, bool], line: _Line) -> None:
        taken: list[_Wanted] = []
        try:
            async with self._slots:
                # What may not be asked anyway is told so at once, and costs no probe.
                if self._governor.storm and self._governor.standing(line.page).state not in ("paused", "broken"):
                    await self._probing(line, taken)
                else:
                    if self._governor.silent:  # until it is a storm: leads do not ask as fast as they fail
                        await self._pause(_SILENT_SECONDS)
                    await self._ask(line, taken)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the records' that wait for this call
            for wanted in taken:
                _settle(wanted, error)
        finally:
            line.calls -= 1
            if line:
                self._go(key, line)
            elif not line.calls:
                self._lines.pop(key, None)

    async def _probing(self, line: _Line, taken: list[_Wanted]) -> None:
        """One call at a time over all pages, further and further apart, until one is answered."""
        async with self._probe:
            if self._governor.storm:
                await self._pause(self._probe_after)
                self._probe_after = min(2 * self._probe_after, _PROBE_SECONDS[1])
                await self._ask(line, taken)
                if not self._governor.storm:
                    self._probe_after = _PROBE_SECONDS[0]
                return
        # It was over before it was this one's turn: from here on no page waits for another.
        await self._ask(line, taken)

    async def _ask(self, line: _Line, taken: list[_Wanted]) -> None:
        was = self._governor.storm
        taken += line.take(BATCH_SIZE if self._governor.proven(line.page) and not was else 1)
        asked = self._admitted(line, taken)
        if not asked:
            return
        outcomes = await self._outcomes(line, asked)
        settled = self._judged(line, asked, outcomes)
        if self._governor.storm and not was:
            telemetry.log("error", "worker.storm")
        await self.tell()
        for wanted, outcome in zip(asked, settled, strict=True):
            _settle(wanted, outcome)

    def _admitted(self, line: _Line, taken: list[_Wanted]) -> list[_Wanted]:
        """Those that may be asked for now: what was learnt while they waited holds for them too."""
        turned = {live: self._turned(line.page, live=live) for live in {wanted.live for wanted in taken}}
        for wanted in taken:
            if (standing := turned[wanted.live]) is not None:
                _settle(wanted, Turned(standing))
        return [wanted for wanted in taken if turned[wanted.live] is None]

    def _turned(self, page: PageAccess, *, live: bool) -> Standing | None:
        """Why the page may not be asked now; None where it may."""
        standing = self._governor.standing(page, live=live)
        return standing if standing.state in ("paused", "broken") else None

    async def _outcomes(self, line: _Line, taken: Sequence[_Wanted]) -> Sequence[Answer | GraphError]:
        if len(taken) == 1:
            return [await self._alone(line, taken[0])]
        try:
            return await self._graph.leads_batch([(each.lead_id, line.page) for each in taken], fields=line.fields)
        except BadAsk:  # of all of them together, which says nothing about each
            return [await self._alone(line, wanted) for wanted in taken]
        except GraphError as error:
            return [error] * len(taken)

    async def _alone(self, line: _Line, wanted: _Wanted) -> Answer | GraphError:
        try:
            return await self._graph.lead(wanted.lead_id, line.page, fields=line.fields)
        except GraphError as error:
            return error

    def _judged(
        self, line: _Line, asked: Sequence[_Wanted], outcomes: Sequence[Answer | GraphError]
    ) -> list[Answer | Exception]:
        settled: list[Answer | Exception] = []
        given = 0  # one after another with the same usage: nearly always a whole batch
        for wanted, outcome, following in zip(asked, outcomes, [*outcomes[1:], None], strict=True):
            if isinstance(outcome, Answer):
                settled.append(outcome)
                given += 1
                if not isinstance(following, Answer) or following.usage is not outcome.usage:
                    self._governor.answered(line.page, outcome.usage, leads=given)
                    given = 0
            else:
                settled.append(self._refused(line, wanted, outcome))
        return settled

    def _refused(self, line: _Line, wanted: _Wanted, error: GraphError) -> Exception:
        if isinstance(error, AccessLost) and error.reason == "capability" and line.fields is LEAD_FIELDS:
            return error
        standing = self._governor.refused(line.page, error, wanted.lead_id)
        return error if standing is None else Turned(standing)


def _settle(wanted: _Wanted, outcome: Answer | Exception) -> None:
    if wanted.answer.done():
        return
    if isinstance(outcome, Answer):
        wanted.answer.set_result(outcome)
    else:
        wanted.answer.set_exception(outcome)
