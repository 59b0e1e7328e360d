"""Calls to Meta that live leads go before: each waits until its page may be asked, and says why and until when.

What Meta says of budgets and tokens is decided on by the governor, as for live leads, and told to every worker.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import aiohttp

from ingest.bulk import PageLost
from ingest.kafka import ConfluentProducer
from ingest.meta.client import MANY_BYTES, AskName, GraphClient
from ingest.meta.errors import AccessLost, Blocked, OverBudget
from ingest.meta.graph import Answer, Ask, Key, Usage, ask_form
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, Topics
from ingest.settings import KafkaSettings, MetaSettings, RetrySettings, read
from processors import patience
from processors.access import AccessStates, Standing
from processors.asking import Asking
from processors.following import following
from processors.governor import FULL, Governor

_ANSWER = aiohttp.ClientTimeout(total=30, sock_connect=5)  # seconds; some hundred leads take longer than one
_LOOK_EVERY = 5.0  # seconds: a pause may be lifted, and a token be repaired, before its time
_WHY = {
    "background": "three quarters of its budget are used, and the rest is for live leads; it goes on within the hour",
    "unanswered": "Meta does not answer for it",
    "blocked": "Meta has blocked its token for a while",
}


class AsksMeta(Protocol):
    async def ask(self, name: AskName, ask: Ask, key: Key, most: int = MANY_BYTES) -> Answer: ...

    def key(self, page: PageAccess) -> Key: ...


class Background:
    """`tell` makes known what the governor has decided; `told` hears sentences; `at_once` turns are taken at a time."""

    def __init__(
        self,
        graph: AsksMeta,
        governor: Governor,
        *,
        tell: Callable[[], Awaitable[None]],
        told: Callable[[str], None],
        clock: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        at_once: int = 2,
    ) -> None:
        """`clock` is unix milliseconds; `pause` waits for so many seconds."""
        self._graph = graph
        self._governor = governor
        self._tell = tell
        self._told = told
        self._clock = clock
        self._pause = pause
        self._slots = asyncio.Semaphore(at_once)
        self._said: dict[str, str] = {}  # by page: why it waits, as it was last said
        self._used: dict[str, float] = {}

    @property
    def used(self) -> Mapping[str, float]:
        """Percent used of each page's budget, as Meta last told; a page is left out where it did not."""
        return self._used

    @asynccontextmanager
    async def turn(self, page: PageAccess) -> AsyncIterator[None]:
        """As `ingest.bulk.Turns` has it."""
        while True:
            await self._wait(page)
            async with self._slots:
                if self._standing(page).state in ("paused", "broken"):  # meanwhile
                    continue
                self._said.pop(page.page_id, None)
                yield
                return

    async def gave(self, page: PageAccess, usage: Usage) -> None:
        loads = [use.load.fullest for use in usage.business if use.kind in ("leadgen", "pages")]
        if usage.page is not None:
            loads.append(usage.page.fullest)
        if loads:
            self._used[page.page_id] = max(loads)
        self._governor.gave_form(page, usage)
        await self._tell()

    async def refused(self, page: PageAccess, error: OverBudget | Blocked | AccessLost) -> None:
        if isinstance(error, OverBudget | Blocked):
            self._used[page.page_id] = FULL
            self._governor.refused_form(page, error)
        elif error.scope == "token":  # a dead token is dead for live leads too; of a page, this may be our edge's alone
            self._governor.refused(page, error, "")
        await self._tell()

    async def ask(self, name: AskName, ask: Ask, page: PageAccess, *, live: bool = False) -> Answer:
        """A single answer, pauses waited out; PageLost, or a GraphError that no pause ends.

        It takes no turn, and where it is `live` it does not go behind live leads.
        """
        while True:
            try:
                answer = await self._answer(name, ask, page, live=live)
            except (OverBudget, Blocked) as error:
                await self.refused(page, error)
            else:
                await self.gave(page, answer.usage)
                return answer

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        """A form's node, for its snapshot."""
        # A page of its leads is at hand and holds a turn: waiting for more budget here would hold up all other pages.
        return await self.ask("form", ask_form(form_id), page, live=True)

    async def _answer(self, name: AskName, ask: Ask, page: PageAccess, *, live: bool) -> Answer:
        async for attempt in patience.a_few():
            with attempt:
                await self._wait(page, live=live)
                return await self._graph.ask(name, ask, self._graph.key(page), MANY_BYTES)
        raise AssertionError("attempts end with an answer or an error")

    def _standing(self, page: PageAccess, *, live: bool = False) -> Standing:
        return self._governor.standing(page, live=live)

    async def _wait(self, page: PageAccess, *, live: bool = False) -> None:
        while (standing := self._standing(page, live=live)).state in ("paused", "broken"):
            if standing.state == "broken":
                raise PageLost(standing.reason)
            self._say(page, standing)
            left = ((standing.until or 0) - self._clock()) / 1000
            await self._pause(min(max(left, 0.1), _LOOK_EVERY))

    def _say(self, page: PageAccess, standing: Standing) -> None:
        why = _WHY.get(standing.reason, f"Meta's limit was reached ({standing.reason})")
        until = "" if standing.reason == "background" else f", until {_clock_time(standing.until or 0)}"
        if self._said.get(page.page_id) != why + until:
            self._said[page.page_id] = why + until
            self._told(f"page {page.page_id} waits{until}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """Meta, as a command asks it beside the workers: `tell` makes known what the governor has decided."""

    graph: GraphClient
    governor: Governor
    background: Background
    tell: Callable[[], Awaitable[None]]


@asynccontextmanager
async def asking_meta(
    kafka: KafkaSettings, producer: ConfluentProducer, told: Callable[[str], None]
) -> AsyncIterator[Meta]:
    """What all workers have been told of budgets and access is read to its end first. `told` hears sentences."""
    meta, retry = read(MetaSettings), read(RetrySettings)
    states = AccessStates(secret=meta.meta_app_secrets[0].secret, clock=_now)
    governor = Governor(states, clock=_now, quiet_ms=round(retry.retry_delays[0] * 1000))
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        following(kafka, Topics(prefix=kafka.topic_prefix)(ACCESS), states.follow),
    ):
        graph = GraphClient(session, meta, timeout=_ANSWER)
        tell = Asking(graph=graph, governor=governor, producer=producer, concurrency=1).tell
        background = Background(graph, governor, tell=tell, told=told, clock=_now)
        yield Meta(graph=graph, governor=governor, background=background, tell=tell)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _clock_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).strftime("%H:%M:%S UTC")
