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
from typing import Protocol, get_args

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.errors import BadAsk, Blocked, GraphError, Missing, OverBudget, Scope
from ingest.meta.pages import PageAccess
from processors import patience
from processors.access import AccessStates, Standing, access_record

LONGEST_MS = 3_600_000
CALLS_PER_LOOK = 50  # they come out of the app's budget, which leads need too; those not asked for longest go first
_SCOPES: tuple[Scope, ...] = get_args(Scope)
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
        self._asked_at: dict[str, int] = {}

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._pause(self._every * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  no secret
            await self.look()

    async def look(self) -> None:
        """Opens what is seen repaired, and what is due for a trial."""
        unsettled = list(self._states.unsettled())
        telemetry.ACCESS_BROKEN.set(sum(standing.state == "broken" for standing in unsettled))
        due = [standing for standing in unsettled if self._is_due(standing)]
        if not due:
            return
        # Once for all of them: each key of a token is a hash, and thousands of tokens can die in one moment.
        pages = {self._states.key(page, scope): page for page in self._pages.all() for scope in _SCOPES}
        to_ask: list[tuple[Standing, PageAccess]] = []
        for standing in due:
            scope, page = _scope(standing), pages.get(standing.key)
            if page is None:
                # A page without a token waits for one; a token or an app that no page uses is nobody's trouble now.
                if scope != "page":
                    await self._open(standing)
            elif scope == "app":
                await self._open(standing)
            elif self._may_ask(page, scope):
                to_ask.append((standing, page))
        to_ask.sort(key=lambda each: self._asked_at.get(each[0].key, 0))
        async with asyncio.TaskGroup() as asking:
            for standing, page in to_ask[:CALLS_PER_LOOK]:
                asking.create_task(self._ask(standing, page))

    async def _ask(self, standing: Standing, page: PageAccess) -> None:
        self._asked_at[standing.key] = self._clock()
        is_token = _scope(standing) == "token"
        try:
            said = await (self._graph.token_is_valid if is_token else self._graph.leads_are_readable)(page)
        except (BadAsk, Missing):
            said = None  # Meta does not know what we mean
        except (OverBudget, Blocked) as error:
            self._leave_alone(standing, error)
            return
        except GraphError:
            return  # refused still, or not answered: the next look asks again
        # While Meta was asked, others may have told more.
        if said is not False and self._states.of(standing.key) == standing:
            await self._open(standing)

    def _may_ask(self, page: PageAccess, scope: Scope) -> bool:
        """Whether the call is not one in a pause, nor one with a dead token.

        A token is asked about with the app's own, so neither it nor its page stands in the way: a token and a page
        that are broken both would wait for each other.
        """
        app = self._states.of(self._states.key(page, "app")).state
        token = self._states.of(self._states.key(page, "token")).state
        return app != "paused" if scope == "token" else not {app, token} & {"paused", "broken"}

    def _leave_alone(self, standing: Standing, error: OverBudget | Blocked) -> None:
        seconds = error.regain_after if isinstance(error, OverBudget) else None
        before = self._next.get(standing.key)
        wait = round(self._every * 1000) if before is None else before.wait
        self._next[standing.key] = _Next(
            self._clock() + (LONGEST_MS if seconds is None else round(seconds * 1000)), wait
        )

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
