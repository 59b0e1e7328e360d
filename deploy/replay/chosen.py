"""Sends chosen records through a worker again: raw ones to `again`, Meta's answers to details. No offset is moved.

Of each lead only the newest record is sent, so that it is fetched or mapped once. Raw records keep their origin.
Records of details keep headers and timestamp, so that personal data is kept no longer than it was.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from deploy.sending import Parcel, ReadsTopics
from ingest.codec import DecodeError
from ingest.meta.notification import BadChange, Notification
from ingest.reading import Offsets
from ingest.records import AGAIN, DETAILS, Received, Record, header, headers
from schemas.shapes import LeadDetails

Kind = Literal["page", "form", "lead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which records; `since` and `until` are of when they were written."""

    kind: Kind
    id: str
    since: datetime | None = None
    until: datetime | None = None

    def in_time(self, received: Received) -> bool:
        at = received.timestamp / 1000
        return (self.since is None or at >= self.since.timestamp()) and (
            self.until is None or at < self.until.timestamp()
        )


class Unreadable(Exception):
    """Nobody can tell whether it is wanted; its worker has a dead letter of it. `lead` is None where unknown."""

    def __init__(self, lead: str | None) -> None:
        super().__init__()
        self.lead = lead


Judge = Callable[[Received], tuple[str, bool] | None]
"""The lead that a record is of and whether it is wanted, None where it has no part in the choice. Raises Unreadable."""


def of_raw(choice: Choice) -> Judge:
    """Judges raw records."""

    def judge(received: Received) -> tuple[str, bool] | None:
        if not choice.in_time(received):
            return None
        key = None if received.key is None else received.key.decode("utf-8", "replace")
        try:
            notification = Notification.read(received.value or b"", page_id=key)
        except BadChange:
            raise Unreadable(None) from None
        ids: dict[Kind, str | None] = {
            "page": notification.page_id,
            "form": notification.form_id,
            "lead": notification.lead_id,
        }
        return (notification.lead_id, True) if ids[choice.kind] == choice.id else None

    return judge


def of_details(choice: Choice, decode: Callable[[bytes], LeadDetails]) -> Judge:
    """Judges records of details: a newer one that is not wanted, or a tombstone, takes the place of an older one."""

    def judge(received: Received) -> tuple[str, bool] | None:
        if received.key is None:
            return None
        lead = received.key.decode("utf-8", "replace")
        if received.value is None or not choice.in_time(received):
            return lead, False
        if choice.kind == "lead":
            return lead, lead == choice.id
        try:
            details = decode(received.value)
        except DecodeError:
            raise Unreadable(lead) from None
        return lead, choice.id == (details["page_id"] if choice.kind == "page" else details["form_id"])

    return judge


class Chosen:
    """Where the newest wanted record of each lead lies. Values are not held, so it grows with the chosen leads only."""

    def __init__(self, judge: Judge) -> None:
        self.unreadable = 0
        self._judge = judge
        self._places: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def take(self, records: Iterable[Received]) -> None:
        for received in records:
            try:
                judged = self._judge(received)
            except Unreadable as unreadable:
                self.unreadable += 1
                judged = None if unreadable.lead is None else (unreadable.lead, False)
            match judged:
                case (lead, True):
                    self._places[lead] = (received.partition, received.offset)
                case (lead, False):
                    self._places.pop(lead, None)

    def pick(self, records: Iterable[Received]) -> Iterator[Received]:
        """Those of the records that were chosen."""
        places = set(self._places.values())
        return (received for received in records if (received.partition, received.offset) in places)


def choose(reader: ReadsTopics, topic: str, judge: Judge, *, since: Offsets) -> tuple[Chosen, dict[int, int]]:
    """What is chosen of a topic, read from `since` on, and where the reading ended. Raises as the reader does."""
    ends = {partition: end for partition, (_, end) in reader.bounds(topic).items()}
    chosen = Chosen(judge)
    chosen.take(reader.read(topic, since, ends))
    return chosen, ends


def fetched_again(received: Received) -> Parcel:
    """A raw record on its way to fetch."""
    said = received.headers
    if header(said, "origin") is None:
        said += headers({"origin": received.origin})
    return Parcel(record=Record(topic=AGAIN, key=received.key, value=received.value, headers=said))


def mapped_again(received: Received) -> Parcel:
    """Meta's answer on its way to map, as it was."""
    return Parcel(
        record=Record(
            topic=DETAILS,
            key=received.key,
            value=received.value,
            headers=received.headers,
            timestamp=received.timestamp,
        )
    )
