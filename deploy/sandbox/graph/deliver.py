"""Deliveries in the background: leads are made and announced in signed POSTs, each repeated until it is answered 200.

Meta repeats at once and then ever more rarely for 36 hours (WHGS); here all of that runs at `time_scale`.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

import aiohttp

from deploy.sandbox.graph.ids import LEADS_PER_FORM, lead_id
from deploy.sandbox.graph.posting import Acknowledged, send_post
from deploy.sandbox.graph.shapes import AdStyle, Delivery, IdStyle, PostInfo
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.webhooks import body_of, change, entry, leadgen_value, names_only, signed_headers
from deploy.sandbox.graph.world import GRAPH_VERSION

RETRY_DELAYS = (0.0, 10.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds before each repetition, the last one for all that follow: the shape is Meta's, the figures are ours."""
HORIZON = 36 * 3600.0
MAX_CHANGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to deliver, and how. Seconds everywhere; rates of leads per second; shares between 0 and 1."""

    url: str
    leads: int
    forms: Sequence[int]
    changes_per_post: int = 1
    pages_per_post: int = 1
    ids: IdStyle = "mixed"
    ads: AdStyle = "mixed"
    shuffle: bool = False
    duplicates: float = 0.0
    dropped: float = 0.0
    concurrency: int = 8
    rate: float | None = None
    time_scale: float = 0.01
    give_up: float | None = None
    timeout: float = 20.0
    race: float = 0.0
    secret: str | None = None


@dataclass(slots=True)
class Post:
    """One POST: the leads it announces and what every attempt was answered (a status, `connection` or `timeout`)."""

    leads: list[int]
    statuses: list[str] = field(default_factory=list)
    acknowledged: bool = False


class Job:
    """One order being carried out."""

    def __init__(
        self,
        number: int,
        order: Order,
        state: State,
        acknowledged: Acknowledged,
        *,
        leads: list[int] | None = None,
        include_values: bool = True,
    ) -> None:
        self.number = number
        self.order = order
        self.posts: list[Post] = []
        self.answers: Counter[str] = Counter()
        self.made = self.announced = self.acknowledged = 0
        self.posts_done = self.posts_given_up = 0
        self.finished = False
        self.failure: str | None = None
        self._leads = leads
        self._include_values = include_values
        self._state = state
        self._acknowledged = acknowledged
        self._chance = random.Random(f"{state.world.seed} job {number}")  # noqa: S311 - a repeatable shuffle
        self._places = asyncio.Semaphore(order.concurrency)

    async def run(self) -> None:
        """Make the leads, send every POST, and return when each is acknowledged or given up."""
        try:
            leads = self._leads if self._leads is not None else self._make_leads()
            self.announced = len(set(leads))
            connector = aiohttp.TCPConnector(limit=self.order.concurrency)
            timeout = aiohttp.ClientTimeout(total=self.order.timeout)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                asyncio.TaskGroup() as tasks,
            ):
                started, sent = time.monotonic(), 0
                for post in self._posts(leads):
                    if self.order.rate:
                        await asyncio.sleep(started + sent / self.order.rate - time.monotonic())
                    await self._places.acquire()
                    sent += len(post.leads)
                    tasks.create_task(self._deliver(session, post))
        except* Exception as group:  # noqa: BLE001 - the job's failure is told to whoever waits for it
            self.failure = "; ".join(map(repr, group.exceptions))
        finally:
            self.finished = True

    def progress(self) -> Delivery:
        """Where the job stands."""
        return Delivery(
            job=self.number,
            finished=self.finished,
            failure=self.failure,
            made=self.made,
            announced=self.announced,
            acknowledged=self.acknowledged,
            posts=len(self.posts),
            posts_open=len(self.posts) - self.posts_done - self.posts_given_up,
            posts_given_up=self.posts_given_up,
            answers=dict(self.answers),
        )

    def report(self) -> list[PostInfo]:
        """Every POST so far."""
        return [
            PostInfo(
                number=number,
                leads=[lead_id(*divmod(lead, LEADS_PER_FORM)) for lead in post.leads],
                statuses=post.statuses,
                acknowledged=post.acknowledged,
            )
            for number, post in enumerate(self.posts)
        ]

    def _make_leads(self) -> list[int]:
        """Make them, drop some, repeat some; the order in which they are announced."""
        order, chance, now = self.order, self._chance, int(self._state.now())
        each, rest = divmod(order.leads, len(order.forms))
        made: list[list[int]] = []
        for place, form in enumerate(order.forms):
            if count := each + (place < rest):
                numbers = self._state.make_leads(form, count, start=now, end=now)
                made.append([form * LEADS_PER_FORM + n for n in numbers])
        self.made = order.leads
        columns = (column for row in range(each + 1) for column in (leads[row : row + 1] for leads in made))
        leads = list(chain.from_iterable(columns))
        if order.dropped:
            leads = [lead for lead in leads if chance.random() >= order.dropped]
        if order.shuffle:
            chance.shuffle(leads)
        if order.duplicates:
            end = len(leads)
            again = [(chance.uniform(place, end), lead) for place, lead in enumerate(leads)]
            again = [item for item in again if chance.random() < order.duplicates]
            leads = [lead for _, lead in sorted([*enumerate(leads), *again])]
        return leads

    def _posts(self, leads: list[int]) -> Iterator[Post]:
        """Leads packed into POSTs; the pages of one POST are neighbours."""
        waiting: dict[int, list[int]] = {}
        for lead in leads:
            page = self._state.page_of(lead // LEADS_PER_FORM)
            group = page // max(self.order.pages_per_post, 1)
            waiting.setdefault(group, []).append(lead)
            if len(waiting[group]) >= min(self.order.changes_per_post, MAX_CHANGES):
                yield self._post(waiting.pop(group))
        for rest in waiting.values():
            yield self._post(rest)

    def _post(self, leads: list[int]) -> Post:
        post = Post(leads=leads)
        self.posts.append(post)
        return post

    def _body(self, post: Post) -> bytes:
        changes: dict[str, list[dict[str, object]]] = {}
        now = self._state.now()
        for number in post.leads:
            lead = self._state.lead(*divmod(number, LEADS_PER_FORM))
            page_id = self._state.world.page(lead.form.page).page_id
            value = leadgen_value(lead, page_id, ids=self.order.ids, ads=self.order.ads, chance=self._chance)
            changes.setdefault(page_id, []).append(change(value))
        if not self._include_values:
            return body_of([names_only(page_id, sent_at=now) for page_id in changes])
        return body_of([entry(page_id, group, sent_at=now) for page_id, group in changes.items()])

    async def _deliver(self, session: aiohttp.ClientSession, post: Post) -> None:
        """Called with a place taken; gives it back after every attempt."""
        order = self.order
        body = self._body(post)
        headers = signed_headers(body, order.secret or self._state.world.app.secret, version=GRAPH_VERSION)
        if order.race:
            ids = (int(lead_id(*divmod(number, LEADS_PER_FORM))) for number in post.leads)
            self._state.hide(ids, time.time() + order.race)
        horizon = order.give_up if order.give_up is not None else HORIZON * order.time_scale
        end = time.monotonic() + horizon
        delays = chain(RETRY_DELAYS, repeat(RETRY_DELAYS[-1]))
        while True:
            try:
                status, _ = await send_post(session, order.url, body, headers)
            finally:
                self._places.release()
            post.statuses.append(status)
            self.answers[status] += 1
            if status == "200":
                self._acknowledge(post)
                return
            delay = next(delays) * order.time_scale
            if delay and time.monotonic() + delay > end:  # the repetition at once is always made
                self.posts_given_up += 1
                return
            await asyncio.sleep(delay)
            await self._places.acquire()

    def _acknowledge(self, post: Post) -> None:
        leads = sorted({lead_id(*divmod(number, LEADS_PER_FORM)) for number in post.leads})
        new = [lead for lead in leads if int(lead) not in self._acknowledged.leads]
        if new:
            self._acknowledged.add(new)
        self.acknowledged += len(new)
        post.acknowledged = True
        self.posts_done += 1
