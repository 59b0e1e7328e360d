"""Which parked records wait, one at a time: decided from parked records and fates alone. Holds no value of any."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from deploy.sending import ReadsTopics
from ingest.meta.notification import BadChange, Notification
from ingest.records import FATES, PARKED, Received, Topics
from processors.failures import attempt_of
from processors.parked import Parked


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
    """The parked records that lay there when it was made, less those of which fates say that they wait no more.

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
        """Takes the fates that were told since it last did."""
        for received in reader.read(self._topics(FATES), since=self._heard):
            self._heard[received.partition] = received.offset + 1
            self._parked.take_fate(received)

    def entries(self, reader: ReadsTopics, wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
        """What still waits when its turn comes and is wanted; of each page in the order in which it was parked."""
        for received in reader.read(self._topics(PARKED), until=self._ends):
            waiting = self._places.get((received.partition, received.offset))
            if waiting is not None and self._parked.waits(waiting):
                entry = Entry(
                    received=received, page_id=waiting.page_id, lead_id=_lead_id(received, page_id=waiting.page_id)
                )
                if wanted(entry):
                    yield entry


def _lead_id(received: Received, *, page_id: str) -> str | None:
    try:
        return Notification.read(received.value or b"", page_id=page_id).lead_id
    except BadChange:
        return None
