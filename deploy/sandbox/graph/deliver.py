"""Deliveries in the background: leads are made, announced in signed POSTs, and every POST is repeated until it is answered 200.

Meta repeats at once and then ever more rarely for 36 hours (WHGS); here all of that runs at `time_scale`.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path

import aiohttp

from deploy.sandbox.graph.facts import Journal
from deploy.sandbox.graph.ids import LEADS_PER_FORM, lead_id
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.webhooks import AdStyle, IdStyle, body_of, change, entry, leadgen_value, signed_headers
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
    forms: list[int]
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

    number: int
    leads: list[int]
    statuses: list[str] = field(default_factory=list)
    acknowledged: bool = False


class Acknowledged:
    """The leads whose announcement was answered 200, on disk before anyone is told."""

    def __init__(self, directory: Path) -> None:
        self._journal = Journal(directory / "acknowledged.txt")
        self.leads = {int(lead) for line in self._journal.lines() for lead in line.split()}

    def add(self, leads: list[str]) -> None:
        """Note the leads of one POST."""
        self._journal.append(" ".join(leads))
        self.leads.update(map(int, leads))

    def clear(self) -> None:
        """Forget all."""
        self._journal.empty()
        self.leads.clear()

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


class Job:
    """One order being carried out."""

    def __init__(self, number: int, order: Order, state: State, acknowledged: Acknowledged) -> None:
        self.number = number
        self.order = order
        self.posts: list[Post] = []
        self.answers: Counter[str] = Counter()
        self.made = self.announced = self.given_up = self.acknowledged = 0
        self.finished = False
        self.failure: str | None = None
        self.hidden_until: dict[int, float] = {}
        self._state = state
        self._acknowledged = acknowledged
        self._chance = random.Random(f"{state.world.seed} job {number}")  # noqa: S311 - a repeatable shuffle
        self._places = asyncio.Semaphore(order.concurrency)

    async def run(self) -> None:
        """Make the leads, send every POST, and return when each is acknowledged or given up."""
        try:
            leads = self._make_leads()
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

    def progress(self) -> dict[str, object]:
        """Where the job stands."""
        return {
            "job": self.number,
            "finished": self.finished,
            "failure": self.failure,
            "made": self.made,
            "announced": self.announced,
            "acknowledged": self.acknowledged,
            "posts": len(self.posts),
            "posts_open": sum(not post.acknowledged for post in self.posts) - self.given_up,
            "posts_given_up": self.given_up,
            "answers": dict(self.answers),
        }

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
        self.announced = len(leads)
        if order.shuffle:
            chance.shuffle(leads)
        if order.duplicates:
            again = [lead for lead in leads if chance.random() < order.duplicates]
            for lead in again:
                leads.insert(chance.randrange(len(leads) + 1), lead)
        return leads

    def _posts(self, leads: list[int]) -> Iterator[Post]:
        """Leads packed into POSTs; the pages of one POST are neighbours."""
        waiting: dict[int, list[int]] = {}
        for lead in leads:
            page = self._state.form(lead // LEADS_PER_FORM).page
            group = page // max(self.order.pages_per_post, 1)
            waiting.setdefault(group, []).append(lead)
            if len(waiting[group]) >= min(self.order.changes_per_post, MAX_CHANGES):
                yield self._post(waiting.pop(group))
        for rest in waiting.values():
            yield self._post(rest)

    def _post(self, leads: list[int]) -> Post:
        post = Post(number=len(self.posts), leads=leads)
        self.posts.append(post)
        return post

    def _body(self, post: Post) -> bytes:
        changes: dict[str, list[dict[str, object]]] = {}
        for number in post.leads:
            lead = self._state.lead(*divmod(number, LEADS_PER_FORM))
            page_id = self._state.world.page(lead.form.page).page_id
            value = leadgen_value(lead, page_id, ids=self.order.ids, ads=self.order.ads, chance=self._chance)
            changes.setdefault(page_id, []).append(change(value))
        return body_of([entry(page_id, group, sent_at=self._state.now()) for page_id, group in changes.items()])

    async def _deliver(self, session: aiohttp.ClientSession, post: Post) -> None:
        """Called with a place taken; gives it back after every attempt."""
        order = self.order
        body = self._body(post)
        headers = signed_headers(body, order.secret or self._state.world.app.secret, version=GRAPH_VERSION)
        if order.race:
            visible_at = time.time() + order.race
            self.hidden_until.update(dict.fromkeys(post.leads, visible_at))
        horizon = order.give_up if order.give_up is not None else HORIZON * order.time_scale
        end = time.monotonic() + horizon
        delays = chain(RETRY_DELAYS, repeat(RETRY_DELAYS[-1]))
        while True:
            try:
                status = await send_post(session, order.url, body, headers)
            finally:
                self._places.release()
            post.statuses.append(status)
            self.answers[status] += 1
            if status == "200":
                self._acknowledge(post)
                return
            delay = next(delays) * order.time_scale
            if time.monotonic() + delay > end:
                self.given_up += 1
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


async def send_post(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> str:
    """Send one POST: the status as text, or `timeout` or `connection`."""
    try:
        async with session.post(url, data=body, headers=headers) as response:
            await response.read()
            return str(response.status)
    except TimeoutError:
        return "timeout"
    except (aiohttp.ClientError, OSError):
        return "connection"


class Courier:
    """Carries out orders, any number at once."""

    def __init__(self, state: State, directory: Path) -> None:
        self.acknowledged = Acknowledged(directory)
        self.jobs: list[Job] = []
        self._state = state
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, order: Order) -> Job:
        """Begin an order."""
        job = Job(len(self.jobs), order, self._state, self.acknowledged)
        self.jobs.append(job)
        self._tasks.append(asyncio.create_task(job.run()))
        return job

    async def stop(self, number: int) -> None:
        """End a job; what was not sent is not sent."""
        task = self._tasks[number]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self.jobs[number].finished = True

    async def forget(self) -> None:
        """End every job and forget all of them and what was acknowledged."""
        for number in range(len(self.jobs)):
            await self.stop(number)
        self.jobs.clear()
        self._tasks.clear()
        self.acknowledged.clear()

    async def close(self) -> None:
        """End every job."""
        for number in range(len(self.jobs)):
            await self.stop(number)
        self.acknowledged.close()
