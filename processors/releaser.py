"""What was parked goes back when its page may be asked again: in its order, and no further once it may not.

State is what the topics say: parked records, and the fates that close them. A record goes to `again` first and its
`released` fate follows, so a crash in between sends it twice and never loses it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from ingest import telemetry
from ingest.kafka import Producer
from ingest.meta.notification import BadChange, Notification
from ingest.meta.pages import PageAccess
from ingest.reading import Offsets, ReadingError
from ingest.records import PARKED, HeaderName, Received, Record, Topics, fate_record, sent_again
from processors import patience
from processors.access import AccessStates
from processors.failures import EXHAUSTED
from processors.parked import Parked, Waiting

LOOK_EVERY = 1.0  # seconds
REST_MS = 5_000  # a page whose records come back at once, for a reason nobody has told, is not released every second
_AT_ONCE = 200


class FindsPages(Protocol):
    """Whose token is there."""

    def get(self, page_id: str) -> PageAccess | None: ...


class ReadsParked(Protocol):
    """What is needed of `ingest.reading.Reader`."""

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]: ...

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]: ...


class Releaser:
    """Releases the pages whose parked records lie in partitions that `holds` names.

    Every `work retry` keeps one, and asks which partitions of its first rung it holds: so a page is released by one of
    them at a time. When partitions change hands within a release, the next owner may not have read the last fates yet
    and send up to a batch of records again; they are fetched twice. `clock` gives unix milliseconds.
    """

    def __init__(
        self,
        *,
        parked: Parked,
        states: AccessStates,
        pages: FindsPages,
        holds: Callable[[], Collection[int]],
        reader: ReadsParked,
        producer: Producer,
        topics: Topics,
        clock: Callable[[], int],
    ) -> None:
        self._parked = parked
        self._states = states
        self._pages = pages
        self._holds = holds
        self._reader = reader
        self._producer = producer
        self._topic = topics(PARKED)
        self._clock = clock
        self._rests: dict[str, int] = {}  # pages that were just released, and until when they rest

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            try:
                await self.look()
            except ReadingError:
                telemetry.log("warning", "access.unread", topic=self._topic)
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Sends back what waits now and may go: a batch of each page in turn, so that no page waits for another."""
        self._rests = {page_id: until for page_id, until in self._rests.items() if until > self._clock()}
        going = {
            page_id: deque(self._parked.of(page_id))
            for page_id in self._parked.pages()
            if page_id not in self._rests and self._is_open(page_id)
        }
        sent: Counter[str] = Counter()
        try:
            while going:
                for page_id, waiting in list(going.items()):
                    batch = [waiting.popleft() for _ in range(min(_AT_ONCE, len(waiting)))]
                    if not batch or not self._is_open(page_id):
                        del going[page_id]
                        continue
                    sent[page_id] += await self._release(batch)
        finally:
            for page_id, records in sent.items():
                if records:
                    self._rests[page_id] = self._clock() + REST_MS
                    telemetry.log("info", "parked.released", page_id=page_id, records=records)

    def _is_open(self, page_id: str) -> bool:
        page = self._pages.get(page_id)
        return page is not None and self._states.standing(page).state == "open"

    async def _release(self, batch: Sequence[Waiting]) -> int:
        """How many of them were sent back; the others are another's, or wait no longer."""
        held = self._holds()
        ours = [waiting for waiting in batch if waiting.partition in held and self._parked.waits(waiting)]
        if not ours:
            return 0
        found = await asyncio.to_thread(partial(self._read, ours))
        # The record first: a fate that went ahead of it would close what was never sent.
        await patience.deliver(self._producer, *(_again(received) for received in found))
        await patience.deliver(self._producer, *(_released(received) for received in found))
        for waiting in ours:
            self._parked.close(waiting)  # also what was not found: it expired while it waited
        telemetry.RECORDS.labels(worker="retry", outcome="released").inc(len(found))
        return len(found)

    def _read(self, waiting: Sequence[Waiting]) -> list[Received]:
        """The parked records themselves, in their order, and of one page, so from one partition."""
        places = {(each.partition, each.offset) for each in waiting}
        since = dict(sorted(places, reverse=True))  # of each partition its first
        until = dict.fromkeys(self._reader.bounds(self._topic), 0)
        until |= {partition: offset + 1 for partition, offset in sorted(places)}
        found = self._reader.read(self._topic, since, until)
        return [received for received in found if (received.partition, received.offset) in places]


def _again(received: Received) -> Record:
    # What was tried through the whole ladder begins at its foot; what waited for access is at the try it was.
    dropped: tuple[HeaderName, ...] = ("attempt",) if received.header("fate-reason") == EXHAUSTED else ()
    return sent_again(received, without=dropped)


def _released(received: Received) -> Record:
    page_id = (received.key or b"").decode("utf-8", "replace")
    try:
        lead_id = Notification.read(received.value or b"", page_id=page_id).lead_id
    except BadChange:
        lead_id = None  # parked by somebody else; fetch will say what it is
    reason = received.header("fate-reason") or "-"
    return fate_record(received, "released", stage="fetch", reason=reason, page_id=page_id, lead_id=lead_id)
