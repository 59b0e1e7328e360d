"""Leadstream's past in memory: what its workers would have written, record by record, and the account of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.account import Account
from deploy.account.counting import Asked
from deploy.account.positions import READS, Positions
from deploy.account.taking import keep
from ingest.reading import Offsets
from ingest.records import (
    AGAIN,
    CRM,
    DETAILS,
    LEADS,
    PARKED,
    RAW,
    RETRY,
    Failure,
    Fate,
    Received,
    Record,
    Stage,
    dead_letter,
    fate_record,
    headers,
    sent_again,
    set_aside,
)
from tests.cluster import NOW, Cluster

PAGE, OTHER_PAGE = "106777055130587", "206777055130587"
LONG_AGO, FAR = 0, 2**62


class Past:
    """A cluster whose workers have read everything, unless the test says how far; and books that are kept on."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster()
        self.folder = folder
        self.identity = "cluster-1"
        self.stands: dict[str, dict[int, int]] = {}
        self.now = NOW + 3_600_000
        self.targets: Sequence[str] = ()  # that have a topic, as sales.v1
        self.read = 0
        self.expired: set[str] = set()  # topics whose records are all gone
        self.gone: set[tuple[str, int, int]] = set()  # single records that can no longer be read
        self._leads = 0

    def raw(self, page: str = PAGE, lead: str | None = None) -> Received:
        self._leads += 1
        change = {"field": "leadgen", "value": {"leadgen_id": lead or str(55459717045641544 + self._leads)}}
        said = headers({"source": "webhook"})
        return self.cluster.put(Record(topic=RAW, key=page.encode(), value=json.dumps(change).encode(), headers=said))

    def lead_of(self, received: Received) -> str:
        return str(json.loads(received.value or b"")["value"]["leadgen_id"])

    def fetch(self, received: Received) -> Received:
        """Details, as `work fetch` writes them, and the fate of what had another before."""
        said = headers({"origin": received.origin})
        details = self.cluster.put(
            Record(topic=DETAILS, key=self.lead_of(received).encode(), value=b"avro", headers=said)
        )
        if received.topic == self.cluster.topics(AGAIN):
            self.tell(received, "fetched", "answered")
        return details

    def map(self, details: Received, targets: Sequence[str] | None = None, *, without: Sequence[str] = ()) -> Received:
        """The lead, and what it is for each target that takes it; those that it is `without` are up to the test."""
        for target in targets or () if details.value is not None else self.targets:
            if target not in without:
                self.cluster.put(made(details, f"{CRM}{target}"))
        return self.cluster.put(made(details, LEADS, targets))

    def arrive(self, received: Received) -> Received:
        return self.map(self.fetch(received))

    def tell(
        self, of: Received, fate: Fate, reason: str = "-", *, stage: Stage = "fetch", target: str | None = None
    ) -> Received:
        lead = (of.key or b"").decode() if stage == "map" else self.lead_of(of)
        told = fate_record(of, fate, stage=stage, reason=reason, page_id=None, lead_id=lead, target=target)
        return self.cluster.put(told)

    def wait(self, of: Received, rung: int = 0) -> Received:
        copy = self.cluster.put(set_aside(of, RETRY[rung], reason="unavailable", attempt=2, now=NOW))
        self.tell(of, "waiting", "unavailable")
        return copy

    def park(self, of: Received, reason: str = "no-token") -> Received:
        copy = self.cluster.put(set_aside(of, PARKED, reason=reason, attempt=1, now=NOW))
        self.tell(of, "parked", reason)
        return copy

    def bury(
        self, of: Received, reason: str = "not-found", *, stage: Stage = "fetch", target: str | None = None
    ) -> Received:
        failure = Failure(stage=stage, reason=reason, error="Missing", target=target, fields=("email",))
        letter = self.cluster.put(dead_letter(of, failure, now=NOW))
        self.tell(of, "dead", reason, stage=stage, target=target)
        return letter

    def back(self, of: Received) -> Received:
        return self.cluster.put(sent_again(of))

    def release(self, copy: Received) -> Received:
        again = self.back(copy)
        self.tell(copy, "released", "no-token")
        return again

    def stand(self, received: Received, *, beyond: bool = False) -> None:
        """The reader of the record's topic has committed up to the record, or past it."""
        name = received.topic.removeprefix(self.cluster.topics.prefix)
        self.stands[name] = self.ends(name)[name] | {received.partition: received.offset + beyond}

    def compact(self, topic: str) -> None:
        """The last record of each key stays, at its place."""
        records = self.cluster.on(topic)
        last = {received.key: received.offset for received in records}  # of one key, one partition
        self.gone |= {_place(received) for received in records if last[received.key] != received.offset}

    def take_away(self, topic: str, key: bytes) -> None:
        """What no topic may do."""
        self.gone |= {_place(received) for received in self.cluster.on(topic) if received.key == key}

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Without what has expired."""
        found = self.cluster.bounds(topic)
        return {number: (end, end) for number, (_, end) in found.items()} if topic in self.expired else found

    @property
    def reader(self) -> "_Counting":
        return _Counting(self)

    @property
    def mapped(self) -> tuple[str, ...]:
        """What map writes to."""
        return (LEADS, *(f"{CRM}{target}" for target in self.targets))

    def ends(self, *topics: str) -> dict[str, dict[int, int]]:
        """Where these topics end now."""
        found = {topic: self.cluster.bounds(self.cluster.topics(topic)) for topic in topics}
        return {topic: {number: end for number, (_, end) in bounds.items()} for topic, bounds in found.items()}

    def account(self, *, since: int = LONG_AGO, until: int = FAR, page: str | None = None) -> Account:
        ends = self.ends(*(topic for topics in READS.values() for topic in topics))
        return self.account_by(ends | self.stands, since=since, until=until, page=page)

    def account_by(
        self,
        committed: Mapping[str, Offsets],
        *,
        mapped: Mapping[str, Offsets] | None = None,
        since: int = LONG_AGO,
        until: int = FAR,
        page: str | None = None,
    ) -> Account:
        """As it is by what was committed when it was asked, and by where leads.v1 and the targets' topics had ended
        before, else end now.
        """
        self.read = 0
        found = Positions(
            cluster=self.identity,
            committed=committed,
            mapped=self.ends(*self.mapped) if mapped is None else mapped,
        )
        return keep(
            self.reader,
            self.folder / "books.sqlite",
            found,
            self.cluster.topics,
            Asked(since=since, until=until, page=page),
            now=self.now,
        )


class _Counting:
    """The cluster's reader, which counts what is read."""

    def __init__(self, past: Past) -> None:
        self._past = past

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        return self._past.bounds(topic)

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]:
        for received in self._past.cluster.read(topic, since, until):
            if _place(received) not in self._past.gone:
                self._past.read += 1
                yield received


def _place(received: Received) -> tuple[str, int, int]:
    return received.topic, received.partition, received.offset


def made(details: Received, topic: str, targets: Sequence[str] | None = None) -> Record:
    said = details.headers + (headers({"targets": ",".join(targets)}) if targets is not None else ())
    return Record(topic=topic, key=details.key, value=details.value, headers=said, timestamp=details.timestamp)


def kinds(account: Account, page: str = PAGE) -> dict[str, int]:
    return {str(kind): number for kind, number in account.pages.get(page, {}).items()}


def lost(account: Account) -> list[tuple[str, str]]:
    assert account.holds is (account.lost.count == 0)
    return [(each.stage, each.at) for each in account.lost.examples]


def at(received: Received, topic: str) -> str:
    return f"{topic} {received.partition}@{received.offset}"
