"""Which parked records wait, what sends them back, and who may be asked again for it, because a person says so.

The record goes to `again` as the releaser of `work retry` sends it, and the fate that closes it follows. Neither the
topic nor a group is changed, so a record that is still refused is parked anew and nothing else.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from deploy.sending import Parcel, ReadsTopics
from ingest.meta.errors import Scope
from ingest.meta.notification import BadChange, Notification
from ingest.meta.pages import PageAccess
from ingest.records import FATES, PARKED, HeaderName, Received, Topics, fate_record, sent_again
from processors.access import AccessStates, Standing
from processors.failures import EXHAUSTED, attempt_of
from processors.parked import Parked, Waiting

_HEAR_EVERY = 100  # records; so many at most are sent although the releaser has sent them meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A parked record that waits."""

    received: Received
    page_id: str
    lead_id: str | None  # None where it cannot be read: somebody else has parked it

    @property
    def reason(self) -> str:
        return self.received.header("fate-reason") or "-"

    @property
    def place(self) -> str:
        """<partition>@<offset> on the topic of parked records."""
        return f"{self.received.partition}@{self.received.offset}"

    @property
    def attempt(self) -> int:
        return attempt_of(self.received)

    @property
    def parked_at(self) -> datetime:
        return datetime.fromtimestamp(self.received.timestamp / 1000, tz=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is asked for; None asks for all."""

    reason: str | None = None
    page_id: str | None = None
    lead_id: str | None = None
    since: datetime | None = None

    def __call__(self, entry: Entry) -> bool:
        asked = ((self.reason, entry.reason), (self.page_id, entry.page_id), (self.lead_id, entry.lead_id))
        return all(wanted is None or wanted == found for wanted, found in asked) and (
            self.since is None or entry.parked_at >= self.since
        )


class Stock:
    """What waits: parked records as they lay when it was made, less what fates say. It holds no value of any of them.

    Whatever reads can raise ReadingError.
    """

    def __init__(self, reader: ReadsTopics, topics: Topics) -> None:
        self._topics = topics
        self._parked = Parked()
        self._ends = {number: end for number, (_, end) in reader.bounds(topics(PARKED)).items()}
        self._heard: dict[int, int] = {}
        # Parked records first, so that each fate meets the record it is about.
        for received in reader.read(topics(PARKED), until=self._ends):
            self._parked.take_parked(received)
        self.hear(reader)
        self._places = {
            (waiting.partition, waiting.offset): waiting
            for page_id in self._parked.pages()
            for waiting in self._parked.of(page_id)
        }

    def hear(self, reader: ReadsTopics) -> None:
        """The fates that were told since it was last asked."""
        for received in reader.read(self._topics(FATES), since=self._heard):
            self._heard[received.partition] = received.offset + 1
            self._parked.take_fate(received)

    def entries(self, reader: ReadsTopics, wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
        """What still waits and is wanted, one at a time; of each page in the order in which it was parked."""
        for received in reader.read(self._topics(PARKED), until=self._ends):
            waiting = self._places.get((received.partition, received.offset))
            if waiting is not None and self._parked.waits(waiting) and wanted(entry := _entry(received, waiting)):
                yield entry


def openings(states: AccessStates, pages: Iterable[PageAccess], *, now: int) -> list[tuple[Standing, Standing]]:
    """What is broken or in doubt of these pages, their tokens and apps, each once, and what opens it.

    A pause stays: it ends by itself, and a call before its end makes it longer. `now` is unix milliseconds.
    """
    scopes: Sequence[Scope] = get_args(Scope)
    keys = {states.key(page, scope): page.page_id for page in pages for scope in scopes}
    stand = [(states.of(key), page_id) for key, page_id in keys.items()]
    return [
        (standing, Standing(state="open", key=standing.key, reason="released", at=now, page_id=page_id))
        for standing, page_id in stand
        if standing.state in ("broken", "doubtful")
    ]


def parcels(
    stock: Stock, reader: ReadsTopics, second: ReadsTopics, wanted: Callable[[Entry], bool]
) -> Generator[Parcel, None, None]:
    """What is sent for those that still wait when their turn comes: a page that is opened is the releaser's too.

    `second` reads what fates say while `reader` is under way.
    """
    for number, entry in enumerate(stock.entries(reader, wanted), 1):
        yield parcel(entry)
        if number % _HEAR_EVERY == 0:
            stock.hear(second)


def parcel(entry: Entry) -> Parcel:
    """The record as it was, and the fate that names the place where it lay."""
    received = entry.received
    # What was tried through the whole ladder begins at its foot; what waited for access is at the try it was.
    dropped: tuple[HeaderName, ...] = ("attempt",) if entry.reason == EXHAUSTED else ()
    fate = fate_record(
        received, "released", stage="fetch", reason=entry.reason, page_id=entry.page_id, lead_id=entry.lead_id
    )
    return Parcel(record=sent_again(received, without=dropped), fate=fate)


def _entry(received: Received, waiting: Waiting) -> Entry:
    try:
        lead_id = Notification.read(received.value or b"", page_id=waiting.page_id).lead_id
    except BadChange:
        lead_id = None
    return Entry(received=received, page_id=waiting.page_id, lead_id=lead_id)
