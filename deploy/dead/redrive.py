"""The way back of a dead letter: where it goes, or why it has none, and what is sent.

Value and key are untouched, `origin` and `first-failed-at` stay, `attempt` is one more. What is sent to details keeps
the timestamp it had there, so that personal data is kept no longer, and never replaces a newer answer or a tombstone.

A lead goes back to details once, whole, and map makes everything of it again: for which target it had failed is not
said there. Details is compacted by lead, so a record for one target alone would take the place of the lead's own, and a
later replay would leave it out of all others. So all open dead letters of map that hold the same answer are sent back
by the one record, those of other targets too, and each has its fate.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from deploy.sending import Parcel, ReadsTopics
from ingest.reading import Offsets
from ingest.records import (
    AGAIN,
    DEAD,
    DETAILS,
    FATES,
    UPDATES,
    HeaderName,
    Received,
    Record,
    Stage,
    Topics,
    fate_record,
    headers,
)

from .ledger import Ledger, Letter, State, read_letter

_STAGES: Mapping[str, Stage] = {stage: stage for stage in get_args(Stage)}
_OURS = ("stage", "fate-reason", "attempt", "first-failed-at", "target", "field")


class NoWayBack(Exception):
    """This dead letter is not sent back; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What details has of a lead now."""

    digest: bytes | None  # None is a tombstone
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What lay on the topics when they were read: the state of each dead letter up to `ends`."""

    ledger: Ledger
    ends: Offsets


Way = tuple[str, str | None, str, str]
"""Stage, target and reason of letters, and what is to become of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a redrive would do; and what details has of the leads that go back there."""

    ways: Counter[Way] = field(default_factory=Counter)  # the wanted letters, by where they go
    refusals: Counter[Way] = field(default_factory=Counter)  # and by the sentence why they do not
    standing: Mapping[bytes, Standing] = field(default_factory=dict)
    details_ends: Offsets = field(default_factory=dict)
    fates: dict[bytes, tuple[Record, ...]] = field(default_factory=dict)  # by lead that goes back to details
    others: int = 0  # letters that were not wanted, but go back with one that is

    @property
    def records(self) -> int:
        """How many are sent."""
        return sum(number for (*_, topic), number in self.ways.items() if topic != DETAILS) + len(self.fates)


def take_stock(reader: ReadsTopics, topics: Topics) -> Stock:
    """Reads all dead letters, then all fates. ReadingError when they cannot be read."""
    ledger = Ledger()
    ends = _ends(reader, topics(DEAD))
    for received in reader.read(topics(DEAD), until=ends):
        ledger.take_letter(read_letter(received))
    # Afterwards, so that what another redrive says meanwhile is heard.
    for received in reader.read(topics(FATES)):
        ledger.take_fate(received)
    return Stock(ledger=ledger, ends=ends)


def letters(
    reader: ReadsTopics, topics: Topics, stock: Stock, wanted: Callable[[Letter], bool]
) -> Iterator[tuple[Letter, State]]:
    """The dead letters that are wanted, one at a time."""
    for received in reader.read(topics(DEAD), until=stock.ends):
        found = read_letter(received)
        if wanted(found):
            yield found, stock.ledger.state(found)


def open_letters(
    reader: ReadsTopics, topics: Topics, stock: Stock, wanted: Callable[[Letter], bool]
) -> Iterator[Letter]:
    return (found for found, state in letters(reader, topics, stock, wanted) if state == "open")


def plan(reader: ReadsTopics, topics: Topics, stock: Stock, wanted: Callable[[Letter], bool]) -> Plan:
    """What would become of each open dead letter. Reads details too where one of stage map is among them."""
    details = topics(DETAILS)
    details_ends = _ends(reader, details)
    leads, since = set(), dict(details_ends)
    for found in open_letters(reader, topics, stock, wanted):
        if found.stage == "map" and found.received.key is not None:
            leads.add(found.received.key)
            partition, offset = _source(found.received)
            since[partition] = min(offset, since.get(partition, offset))
    standing = _standing(reader.read(details, since, details_ends), leads)
    planned = Plan(standing=standing, details_ends=details_ends)
    along: dict[bytes, tuple[Record, ...]] = {}
    for found in open_letters(reader, topics, stock, lambda letter: _is_of(letter, leads) or wanted(letter)):
        is_wanted = wanted(found)
        try:
            topic = sent_back(found, standing).topic
        except NoWayBack as refused:
            if is_wanted:
                planned.refusals[found.stage, found.target, found.reason, str(refused)] += 1
            continue
        if is_wanted:
            planned.ways[found.stage, found.target, found.reason, topic] += 1
        if topic == DETAILS:
            fates, key = planned.fates if is_wanted else along, found.received.key or b""
            fates[key] = (*fates.get(key, ()), redriven(found))
    along = {key: fates for key, fates in along.items() if key in planned.fates}
    planned.fates.update({key: planned.fates[key] + fates for key, fates in along.items()})
    return replace(planned, others=sum(map(len, along.values())))


def parcels(found: Iterable[Letter], planned: Plan) -> Generator[Parcel, None, None]:
    """What is sent for those that have a way back: the record, and once the broker has it, their fates."""
    of_leads = dict(planned.fates)
    for each in found:
        try:
            record = sent_back(each, planned.standing)
        except NoWayBack:
            continue
        if record.topic != DETAILS:
            yield Parcel(record=record, fates=(redriven(each),))
        elif fates := of_leads.pop(record.key or b"", None):
            yield Parcel(record=record, fates=fates)


def sent_back(letter: Letter, standing: Mapping[bytes, Standing]) -> Record:
    """The record that goes back. NoWayBack where it may not."""
    received = letter.received
    match letter.stage:
        case "fetch":
            return Record(topic=AGAIN, key=received.key, value=received.value, headers=_headers(letter))
        case "map":
            return Record(
                topic=DETAILS,
                key=received.key,
                value=received.value,
                headers=_headers(letter),
                timestamp=_timestamp(letter, standing),
            )
        case "update":
            return Record(topic=UPDATES, key=received.key, value=received.value, headers=_headers(letter))
        case "ingest":
            if letter.notification is None or not _is_leadgen(received):
                raise NoWayBack("the door could still not read it: only a newer version might")
            # The door keys by page; a change that was unreadable may have been left without a key.
            key = letter.notification.page_id.encode()
            return Record(topic=AGAIN, key=key, value=received.value, headers=_headers(letter))
        case _:
            raise NoWayBack("it was not written by leadstream")


def redriven(letter: Letter) -> Record:
    """The fate that closes exactly this dead letter: it names its place."""
    return fate_record(
        letter.received,
        "redriven",
        stage=_STAGES.get(letter.stage, "ingest"),
        reason=letter.reason,
        page_id=letter.page_id,
        lead_id=letter.lead_id,
        target=letter.target,
    )


def _is_of(letter: Letter, leads: Container[bytes]) -> bool:
    return letter.stage == "map" and letter.received.key is not None and letter.received.key in leads


def _timestamp(letter: Letter, standing: Mapping[bytes, Standing]) -> int:
    received = letter.received
    if received.key is None or received.value is None:
        raise NoWayBack("it has no key, and details takes none without: write the record anew")
    there = standing.get(received.key)
    if there is None:
        raise NoWayBack("its details have expired: what Meta still has is fetched by `replay fetch --lead`")
    if there.digest is None:
        raise NoWayBack("its lead was erased since")
    if there.digest != _digest(received.value):
        raise NoWayBack("its lead has a newer answer since")
    return there.timestamp


def _standing(details: Iterable[Received], leads: set[bytes]) -> dict[bytes, Standing]:
    found: dict[bytes, Standing] = {}
    for received in details:
        if received.key is not None and received.key in leads:
            digest = None if received.value is None else _digest(received.value)
            found[received.key] = Standing(digest=digest, timestamp=received.timestamp)
    return found


def _source(received: Received) -> tuple[int, int]:
    """Where on details the record lay: whatever came of its lead since lies behind it, in the same partition."""
    partition, offset = received.header("__connect.errors.partition"), received.header("__connect.errors.offset")
    return int(partition or 0), int(offset or 0)


def _headers(letter: Letter) -> tuple[tuple[str, bytes], ...]:
    received = letter.received
    said: dict[HeaderName, str | int] = {
        "attempt": letter.attempt + 1,
        "first-failed-at": received.header("first-failed-at") or received.timestamp,
    }
    kept = tuple(
        (name, value)
        for name, value in received.headers
        if name not in _OURS and not name.startswith("__connect.errors.")
    )
    return kept + headers(said)


def _is_leadgen(received: Received) -> bool:
    change = json.loads(received.value or b"null")
    return isinstance(change, dict) and change.get("field") == "leadgen"


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _ends(reader: ReadsTopics, topic: str) -> dict[int, int]:
    return {partition: end for partition, (_, end) in reader.bounds(topic).items()}
