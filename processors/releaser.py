"""What was parked goes back when its page may be asked again: in its order, and no further once it may not.

State is what the topics say: parked records, and the fates that close them. A record goes to `again` first and its
`released` fate follows, so a crash in between sends it twice and never loses it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
_READ_AT_ONCE, _READ_BYTES = 1000, 16 * 2**20  # each reading takes half a second; what is read is held in memory
_SENT_AT_ONCE = 200  # so many go back still after the page was seen broken


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
                    if waiting and self._is_open(page_id):
                        sent[page_id] += await self._release(page_id, waiting)
                    else:
                        del going[page_id]
        finally:
            for page_id, records in sent.items():
                if records:
                    self._rests[page_id] = self._clock() + REST_MS
                    telemetry.log("info", "parked.released", page_id=page_id, records=records)

    def _is_open(self, page_id: str) -> bool:
        page = self._pages.get(page_id)
        return page is not None and self._states.standing(page).state == "open"

    async def _release(self, page_id: str, waiting: deque[Waiting]) -> int:
        """Takes the first of them off and sends back what of it is ours and still waits; how many those were."""
        held = self._holds()
        first = [waiting.popleft() for _ in range(min(_READ_AT_ONCE, len(waiting)))]
        ours = [each for each in first if each.partition in held and self._parked.waits(each)]
        if not ours:
            return 0
        read = await asyncio.to_thread(self._read, ours)
        waiting.extendleft(reversed(ours[len(read) :]))
        sent = 0
        for start in range(0, len(read), _SENT_AT_ONCE):
            if not self._is_open(page_id):
                break
            some = read[start : start + _SENT_AT_ONCE]
            going = [received for _, received in some if received is not None]
            # The record first: a fate that went ahead of it would close what was never sent.
            await patience.deliver(self._producer, *(again(received) for received in going))
            await patience.deliver(self._producer, *(released(received) for received in going))
            for each, _ in some:
                self._parked.close(each)
            telemetry.RECORDS.labels(worker="retry", outcome="released").inc(len(going))
            sent += len(going)
        return sent

    def _read(self, waiting: Sequence[Waiting]) -> list[tuple[Waiting, Received | None]]:
        """The parked records of as many of them as memory allows; None for one that expired while it waited.

        They are of one page and in its order, and so in that of their partition. ReadingError where one is not there
        and has not expired: a partition whose leader has just changed may not show its last records yet.
        """
        places = [(each.partition, each.offset) for each in waiting]
        wanted = set(places)
        since = dict(reversed(places))  # of each partition its first
        bounds = self._reader.bounds(self._topic)
        until = dict.fromkeys(bounds, 0) | {number: offset + 1 for number, offset in places}
        found: dict[tuple[int, int], Received] = {}
        size, through = 0, len(waiting)
        for received in self._reader.read(self._topic, since, until):
            place = (received.partition, received.offset)
            if place in wanted:
                found[place] = received
                size += len(received.value or b"")
                if size >= _READ_BYTES:
                    through = places.index(place) + 1
                    break
        read = places[:through]
        if any(place not in found and place[1] >= bounds[place[0]][0] for place in read):
            raise ReadingError(f"{self._topic} does not show records that it has")
        return [(each, found.get(place)) for each, place in zip(waiting[:through], read, strict=True)]


def again(received: Received) -> Record:
    """What is sent for a parked record, untouched but for a header that no longer holds."""
    # What was tried through the whole ladder begins at its foot; what waited for access is at the try it was.
    dropped: tuple[HeaderName, ...] = ("attempt",) if received.header("fate-reason") == EXHAUSTED else ()
    return sent_again(received, without=dropped)


def released(received: Received) -> Record:
    """The fate that closes exactly this parked record: it names its place."""
    page_id = (received.key or b"").decode("utf-8", "replace")
    try:
        lead_id = Notification.read(received.value or b"", page_id=page_id).lead_id
    except BadChange:
        lead_id = None  # parked by somebody else; fetch will say what it is
    reason = received.header("fate-reason") or "-"
    return fate_record(received, "released", stage="fetch", reason=reason, page_id=page_id, lead_id=lead_id)
