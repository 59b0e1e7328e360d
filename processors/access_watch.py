"""Looks at the tokens, permissions and subscriptions of every page, on a schedule, and tells what has changed.

What is found goes to `meta.access` under the page's own key, to the metrics and, when it begins and when it is over, to
the log: so a token that ends is known days before. It opens and breaks nothing; the monitor and fetch do.

A look asks what `leadstream doctor` asks, less the leads. Pages take turns, some of one app at a time, in the
background of live leads: what is paused is left for later, and a token that is broken is only asked about, with its
app's own. Where Meta did not answer all, what was told before stays.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from prometheus_client import Gauge

from ingest import telemetry
from ingest.health import OF_ALL, AsksMeta, Circumstances, Examination, Finding, PageSeen, Seen, is_no_answer, judge
from ingest.kafka import Producer
from ingest.meta.errors import Blocked, OverBudget
from ingest.meta.graph import TokenFacts
from ingest.meta.pages import PageAccess
from processors import patience
from processors.access import AccessStates
from processors.governor import Governor
from processors.health import Health, HealthStates, forgotten, health_of, health_record
from processors.turns import ListsPages, Turns

LOOK_EVERY = 1.0  # seconds, for pages whose time has come
FIRST_SECONDS = 30.0  # within these a page is looked at that was not before
UNANSWERED_SECONDS = 60.0  # until a page is looked at again that was not answered
PAGES_AT_ONCE = 16  # of one app, in three calls to Meta that count as some fifty
APART = 1.0  # seconds between two of these: thousands of pages do not spend an app's budget in a minute
FIRST_TO_EXPIRE = 20  # pages that have a metric of their own
_EXPLAIN = frozenset({"app-secret-missing", "app-secret-wrong", "app-refused"})  # why a page was not asked


class AccessWatch:
    """Looks every `every` seconds at each page that is this worker's (see Turns). `clock` gives unix milliseconds.

    `given` are the circumstances but for the time; `told` makes known what the governor has decided.
    """

    def __init__(
        self,
        *,
        graph: AsksMeta,
        states: AccessStates,
        governor: Governor,
        told: Callable[[], Awaitable[None]],
        health: HealthStates,
        pages: ListsPages,
        holds: Callable[[], Collection[int]],
        partitions: int,
        producer: Producer,
        every: float,
        alarm_days: float,
        api_version: str,
        graph_url: str,
        clock: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._graph = graph
        self._states = states
        self._governor = governor
        self._told = told
        self._health = health
        self._pages = pages
        self._turns = Turns(pages, holds=holds, partitions=partitions, first=min(FIRST_SECONDS, every), clock=clock)
        self._producer = producer
        self._every = every
        self._alarm_days = alarm_days
        self._api_version = api_version
        self._graph_url = graph_url
        self._clock = clock
        self._pause = pause
        self._said: dict[tuple[str, str | None], bool] = {}  # of what concerns a whole app: whether it is so
        self._gauges = _Gauges()

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self._pause(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Looks at the pages whose time has come."""
        await self._forget_others()
        of_app: dict[str | None, list[PageAccess]] = defaultdict(list)
        for page in self._turns.due():
            of_app[page.app_id].append(page)
        for pages in of_app.values():
            for first in range(0, len(pages), PAGES_AT_ONCE):
                # Asked now and not before: what was learnt meanwhile holds for these too.
                together = [page for page in pages[first : first + PAGES_AT_ONCE] if self._may_look(page)]
                if together:
                    await self._look_at(together)
                    await self._told()
                    await self._pause(APART)
        mine = [page.page_id for page in self._turns.mine()]
        self._gauges.set(self._health, mine, now=self._clock())

    def _may_look(self, page: PageAccess) -> bool:
        """Else it stays due. A broken page or token is looked at: what is wrong with it is what is asked."""
        app = self._states.of(self._states.key(page, "app")).state
        return app not in ("paused", "broken") and self._governor.standing(page, live=False).state != "paused"

    def _may_ask(self, page: PageAccess) -> bool:
        """Whether its own token may be used."""
        return self._states.of(self._states.key(page, "token")).state not in ("paused", "broken")

    async def _look_at(self, pages: Sequence[PageAccess]) -> None:
        seen = await Examination(self._graph, clock=self._clock, may_ask=self._may_ask).examine(pages)
        findings = judge(
            seen,
            Circumstances(
                now=self._clock() / 1000,
                api_version=self._api_version,
                alarm_days=self._alarm_days,
                graph_url=self._graph_url,
            ),
        )
        self._report(pages[0], seen)
        looked = {each.page.page_id: each for app in seen.apps for each in app.pages}
        was_answered = not any(is_no_answer(error) for app in seen.apps for error in (app.refused, app.subscription))
        for page in pages:
            own = [each for each in findings if each.page_id in (None, page.page_id)]
            if was_answered and _is_whole(looked.get(page.page_id), own):
                self._turns.rest(page, self._every)
                await self._compare(page, looked.get(page.page_id), own)
            else:
                self._turns.rest(page, min(self._every, UNANSWERED_SECONDS))

    def _report(self, page: PageAccess, seen: Seen) -> None:
        for app in seen.apps:
            for error in (app.refused, app.subscription):
                if isinstance(error, OverBudget | Blocked):
                    self._governor.refused_form(page, error)
            for each in app.pages:
                for usage in each.usages:
                    self._governor.gave_form(each.page, usage)
                for error in each.errors:
                    if isinstance(error, OverBudget | Blocked):
                        self._governor.refused_form(each.page, error)

    async def _compare(self, page: PageAccess, seen: PageSeen | None, findings: Sequence[Finding]) -> None:
        token = seen.token if seen is not None and isinstance(seen.token, TokenFacts) else None
        now = health_of(page, findings, token, now=self._clock())
        if not self._health.is_news(now):
            return
        before = self._health.of(page.page_id) or Health(page_id=page.page_id)
        self._health.put(now)
        await patience.deliver(self._producer, health_record(now))
        for name in sorted({*now.findings} - {*before.findings}):
            severity = now.findings[name]
            if self._is_to_be_said(name, page, is_so=True):
                wrong = severity == "wrong"
                event: telemetry.Event = "health.wrong" if wrong else "health.warning"
                telemetry.log("error" if wrong else "warning", event, **_ids(name, page))
        for name in sorted({*before.findings} - {*now.findings}):
            if self._is_to_be_said(name, page, is_so=False):
                telemetry.log("info", "health.gone", **_ids(name, page))

    def _is_to_be_said(self, name: str, page: PageAccess, *, is_so: bool) -> bool:
        """What concerns all pages of an app is said once for all of them."""
        if name.partition("/")[0] not in OF_ALL:
            return True
        known = self._said.get((name, page.app_id))
        self._said[name, page.app_id] = is_so
        return known is not is_so

    async def _forget_others(self) -> None:
        """Of a page that has left the file nothing is to be found any more."""
        listed = {page.page_id for page in self._pages.all()}
        for page_id in self._health.pages():
            if page_id not in listed and self._turns.holds(page_id):
                self._health.drop(page_id)
                await patience.deliver(self._producer, forgotten(page_id))


class _Gauges:
    """The metrics. In a folder that processes share no label can be taken away: what is over is 0, or no number."""

    def __init__(self) -> None:
        self._codes: set[str] = set()
        self._tokens: set[str] = set()
        self._accesses: set[str] = set()

    def set(self, health: HealthStates, page_ids: Collection[str], *, now: int) -> None:
        counts = health.counts(page_ids)
        self._codes |= counts.keys()
        for code in self._codes:
            telemetry.HEALTH_PAGES.labels(code).set(counts.get(code, 0))
        tokens, accesses = health.first_to_expire(page_ids, FIRST_TO_EXPIRE)
        self._tokens = _set_days(telemetry.TOKEN_DAYS, tokens, self._tokens, now=now)
        self._accesses = _set_days(telemetry.DATA_ACCESS_DAYS, accesses, self._accesses, now=now)


def _set_days(gauge: Gauge, ends: Mapping[str, int], before: Iterable[str], *, now: int) -> set[str]:
    for page_id in before:
        if page_id not in ends:
            gauge.labels(page_id).set(float("nan"))
    for page_id, at in ends.items():
        gauge.labels(page_id).set((at - now) / 86_400_000)
    return {*ends, *before}


def _is_whole(seen: PageSeen | None, findings: Iterable[Finding]) -> bool:
    """Whether all that there is to see was seen, or what is wrong explains why not."""
    if seen is not None and any(is_no_answer(error) for error in seen.errors):
        return False
    was_asked = seen is not None and seen.node is not None
    return was_asked or any(each.severity == "wrong" and (each.page_id or each.code in _EXPLAIN) for each in findings)


def _ids(name: str, page: PageAccess) -> dict[str, str | None]:
    code, _, about = name.partition("/")
    return {"code": code, "about": about or None, "page_id": page.page_id, "app_id": page.app_id}
