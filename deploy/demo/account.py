"""What became of everything that was delivered, read from the topics: raw, fates, dead letters, leads, CRM records."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from ingest.reading import Offsets
from ingest.records import DEAD, FATES, LEADS, OTHER, RAW, UPDATES, Received, Topics
from schemas.shapes import Fate

from .deliveries import Kind
from .sales import TOPIC

_DOOR = (RAW, UPDATES, OTHER, DEAD)
# What waits, is parked or on its way back has no end yet, and what was fetched is not mapped yet.
_KINDS: Mapping[str, Kind] = {"dead": "dead", "skipped": "skipped", "duplicate": "duplicate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one change became, and why where it is no lead."""

    kind: Kind
    reason: str = ""


class ReadsTopics(Protocol):
    def read(self, topic: str, since: Offsets) -> Iterator[Received]: ...


class Account:
    """Reads on from where it stood, each time it is asked to."""

    def __init__(self, reader: ReadsTopics, topics: Topics) -> None:
        self.delivered: dict[str, list[Received]] = {}  # by the header `delivery`
        self.leads: dict[str, Received] = {}  # by lead id, the last one
        self.produced = 0  # records on leads.v1, those of replays included
        self.rows: dict[str, Received] = {}  # of the CRM topic, by lead id, the last one
        self.rows_produced = 0
        self._reader = reader
        self._topics = topics
        self._stands: dict[str, dict[int, int]] = {}
        self._mapped: set[str] = set()  # origins
        self._fates: dict[str, Fate] = {}  # by stage/origin

    def take_door(self) -> list[str]:
        """What the door has written since; the ids of new deliveries."""
        before = set(self.delivered)
        for topic in _DOOR:
            for received in self._new(topic):
                if topic != DEAD or received.header("stage") == "ingest":
                    self.delivered.setdefault(received.header("delivery") or "none", []).append(received)
        return [delivery for delivery in self.delivered if delivery not in before]

    def take_outcomes(self) -> None:
        """What fetch and map have written since."""
        for received in self._new(FATES):
            fate: Fate = json.loads(received.value or b"{}")
            if fate["fate"] != "released":  # told when it is back already: fetch may have judged it again before
                self._fates[(received.key or b"").decode()] = fate
        for received in self._new(LEADS):
            self.produced += 1
            self.leads[(received.key or b"").decode()] = received
            self._mapped.add(received.origin)
        for received in self._new(TOPIC):
            self.rows_produced += 1
            self.rows[(received.key or b"").decode()] = received

    def outcome(self, record: Received) -> Outcome:
        """What a record of the door has become so far."""
        topic = self._plain(record)
        if topic == DEAD:
            return Outcome(kind="dead", reason=record.header("fate-reason") or "")
        if topic != RAW:
            return Outcome(kind="kept")
        if record.origin in self._mapped:
            return Outcome(kind="lead")
        for stage in ("fetch", "map"):
            if fate := self._fates.get(f"{stage}/{record.origin}"):
                return Outcome(kind=_KINDS.get(fate["fate"], "waiting"), reason=fate["reason"])
        return Outcome(kind="waiting")

    def outcomes(self, delivery: str | None) -> Counter[Outcome]:
        return Counter(self.outcome(record) for record in self._of(delivery))

    def topics_of(self, delivery: str | None) -> Counter[str]:
        return Counter(self._plain(record) for record in self._of(delivery))

    def raw(self) -> list[Received]:
        """Every notification of a lead."""
        return [record for records in self.delivered.values() for record in records if self._plain(record) == RAW]

    def waiting(self) -> int:
        """How many notifications have no outcome yet."""
        return sum(self.outcome(record).kind == "waiting" for record in self.raw())

    def _of(self, delivery: str | None) -> list[Received]:
        return [] if delivery is None else self.delivered[delivery]

    def _plain(self, record: Received) -> str:
        return record.topic.removeprefix(self._topics.prefix)

    def _new(self, topic: str) -> Iterator[Received]:
        stands = self._stands.setdefault(topic, {})
        for received in self._reader.read(self._topics(topic), stands):
            stands[received.partition] = received.offset + 1
            yield received
