"""Leads put through a mapping file as `work map` would, beside what is live, and counted. Nothing is written.

What is here holds people's answers: it is for whoever asked to see them.
"""

import heapq
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from deploy.sending import ReadsTopics
from ingest.codec import DecodeError
from ingest.reading import NoSuchTopic, Offsets
from ingest.records import Received
from processors.lead import Unmappable, map_lead
from processors.mapping.file import UNMAPPED
from processors.mapping.target import Failed, Target, Told
from schemas.shapes import Lead, LeadDetails

_WIDER = 4  # times, where what was looked at holds too few


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The record of a lead that the target's topic has now, and the hash of the mapping file that made it."""

    record: Mapping[str, object]
    mapping: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One lead, and what the file makes of it."""

    lead: Lead
    is_taken: bool  # by the filter
    told: tuple[Told, ...]  # field by field
    record: Mapping[str, object]
    failures: tuple[Failed, ...]
    live: Live | None

    @property
    def fails(self) -> bool:
        return self.is_taken and bool(self.failures)

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields that `work map` would write otherwise than they are, also those that the file has no more."""
        if self.live is None or self.failures or not self.is_taken:
            return ()
        names = [*self.record, *(name for name in self.live.record if name not in self.record)]
        return tuple(name for name in names if self.record.get(name) != self.live.record.get(name))

    @property
    def left(self) -> Mapping[str, Mapping[str, object]]:
        """What no field took: answers and disclaimers by their keys."""
        text = self.record[UNMAPPED]
        found: dict[str, dict[str, object]] = json.loads(str(text)) if text else {}
        return found


@dataclass(slots=True)
class Summary:
    """Of all leads that were tried."""

    looked_at: int = 0
    taken: int = 0
    failed: int = 0
    no_lead: int = 0  # records that no lead can be read from: `work map` buries them for every target
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)  # by field and reason
    changed: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)

    def add(self, tried: Tried) -> None:
        self.looked_at += 1
        if tried.is_taken:
            self.taken += 1
            self.failed += tried.fails
            self.failures.update((each.field, each.reason) for each in tried.failures)
            self.changed.update(tried.changed)
            self.unmapped.update(key for part in tried.left.values() for key in part)


def newest(reader: ReadsTopics, topic: str, last: int) -> list[Received]:
    """The newest record of each of the `last` leads that arrived, in their order. Erased ones are none."""
    bounds = reader.bounds(topic)
    span = last
    while True:  # of a compacted topic nobody knows how many records a span of offsets holds
        since = {partition: max(first, end - span) for partition, (first, end) in bounds.items()}
        found = _newest_of_each(reader, topic, since=since)
        if len(found) >= last or all(since[partition] == first for partition, (first, _) in bounds.items()):
            return sorted(heapq.nlargest(last, found, key=_moment), key=_moment)
        span *= _WIDER


def of_leads(reader: ReadsTopics, topic: str, leads: Collection[str]) -> list[Received]:
    """The newest record of each of these leads, where there is one. The whole topic is read."""
    return sorted(_newest_of_each(reader, topic, leads=leads), key=_moment)


def live_records(
    reader: ReadsTopics, topic: str, leads: Collection[str], decode: Callable[[bytes], Mapping[str, object]]
) -> dict[str, Live]:
    """What the target's topic has of these leads; nothing where there is no topic yet."""
    try:
        found = of_leads(reader, topic, leads)
    except NoSuchTopic:
        return {}
    return {_lead(each): Live(record=decode(each.value or b""), mapping=each.header("mapping")) for each in found}


def read_leads(records: Iterable[Received], decode: Callable[[bytes], LeadDetails], summary: Summary) -> Iterator[Lead]:
    """The leads in records of details; what holds none is counted."""
    for received in records:
        try:
            yield map_lead(decode(received.value or b""))
        except (DecodeError, Unmappable):
            summary.no_lead += 1


def try_lead(target: Target, lead: Lead, live: Live | None) -> Tried:
    mapped = target.map(lead)
    return Tried(
        lead=lead,
        is_taken=target.wants(lead),
        told=tuple(target.tell(lead)),
        record=mapped.record,
        failures=mapped.failures,
        live=live,
    )


def _newest_of_each(
    reader: ReadsTopics, topic: str, *, since: Offsets | None = None, leads: Collection[str] | None = None
) -> list[Received]:
    found: dict[str, Received] = {}
    for received in reader.read(topic, since):
        if received.key is not None and (leads is None or _lead(received) in leads):
            found[_lead(received)] = received
    return [received for received in found.values() if received.value is not None]


def _lead(received: Received) -> str:
    return (received.key or b"").decode("utf-8", "replace")


def _moment(received: Received) -> int:
    return received.timestamp
