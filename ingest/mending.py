"""On details a poorer record never replaces a richer one for good, and nothing replaces a tombstone.

Kafka keeps what was written last, so it is a matter of who writes last, and nobody can ask and write in one step. The
doors of whole leads ask the index of what is there, and write by `Writing`, which looks at the topic's tail before and
after. What slips through all the same, a worker that read a lead again with fewer fields above all, the index finds:
the newest record of a lead is poorer than an earlier one, with no tombstone between them. `mend` sends the richer one
again: its value and headers, and the timestamp of the poorer one in whose place it lies. So it is kept as long as that
would have been, and whoever was answered in between finds the lead no older than that: with the timestamp that it had
once, the account would look for those answers in vain.

What can go wrong in between, of a lead that is about to be written here:

    somebody writes it before our look       the index knows, which is asked after the look
    between our look and our sending         seen in the tail: it is not sent
    between that and ours on the log         seen in the tail afterwards. A tombstone is written once more; a record as
                                             rich as ours tells the same of the lead; and a richer one is found by the
                                             index, which is asked again until it finds nothing
    after ours                               theirs is the last word: a tombstone stays, and if it is poorer than ours,
                                             the index finds that
    two mend at once                         they send the same bytes
    the tombstone's writer is mended over,   the one gap, of milliseconds and only for one who is killed in it: the lead
    and we are killed before looking back    is there again until it is erased once more
    the richer one was compacted away        it is `gone`: Meta has to be asked again

Compaction takes a record no sooner than its segment is closed, which on details is a day.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from ingest.kafka import Producer
from ingest.reading import Offsets
from ingest.records import DETAILS, Received, Record, Topics
from ingest.whereabouts import Outdone

_AT_ONCE = 500  # leads in one round; each record holds an answer and a form
_TRIES = 5  # for a lead that others write just then
_NEAR = 1000  # offsets: what lies no further apart is read in one go


class ReadsTopics(Protocol):
    """What is needed of `ingest.reading.Reader`."""

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]: ...

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]: ...


class FindsOutdone(Protocol):
    """What is needed of the index."""

    def refresh(self) -> None:
        """Reads what is new on the topics."""
        ...

    def outdone(self) -> Iterator[Outdone]:
        """As of the last `refresh`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of records: how many were sent, and of which leads somebody else had written meanwhile."""

    sent: int
    overtaken: frozenset[str]  # not sent: something lies there that was not there when we looked
    erased: frozenset[str]  # a tombstone came meanwhile, and is the last word of the lead


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """Leads, once each: `gone` are those whose richer record lies there no more, `left` those that others kept writing.

    `leadstream replay fetch --lead` asks Meta again for one.
    """

    leads: int
    gone: tuple[str, ...]
    left: tuple[str, ...]


class Writing:
    """Writes details of leads where nobody else does meanwhile: `look`, ask the index, `write`.

    It blocks while it reads, and the reader is used for nothing else while `write` is under way.
    """

    def __init__(self, reader: ReadsTopics, producer: Producer, topics: Topics) -> None:
        self._reader = reader
        self._producer = producer
        self._topic = topics(DETAILS)
        self._looked: dict[int, int] = {}
        self._alone: dict[int, int] | None = None  # where the log ends as long as nobody else writes

    def look(self) -> bool:
        """Whether anybody else may have written since the look before: then the index is to be refreshed. ReadingError.

        It knows of everything before this look then, and else of all but what was written here.
        """
        self._looked = self._ends()
        alone, self._alone = self._alone, self._looked
        return self._looked != alone

    async def write(self, records: Sequence[Record]) -> Written:
        """Sends those of whose lead nothing was written since the look, one of each lead at most.

        NotAcknowledged or ProducerFailed where the broker does not have them, and ReadingError: then some may be there.
        """
        before = self._ends()
        tail = _Tail()
        if before != self._looked:
            tail.take(self._reader.read(self._topic, self._looked, before))
        going = [record for record in records if record.key not in tail.newest]
        await self._producer.deliver(going)
        erased = set(tail.erased())
        after = self._ends()
        # Where the log has grown by as many records as we sent, nobody else wrote.
        alone = sum(after.values()) - sum(before.values()) == len(going)
        if not alone:
            since = _Tail()
            since.take(self._reader.read(self._topic, before, after))
            ours = {record.key for record in going}
            covered = [tombstone for tombstone in since.covered() if tombstone.key in ours]
            await self._producer.deliver([_gone_again(tombstone) for tombstone in covered])
            erased |= {*since.erased(), *(tombstone.key for tombstone in covered)}
        self._alone = after if alone and before == self._alone else None
        if alone and before == self._looked:
            self._looked = after
        # Else it stays: another writing without a look between spares all that others have written since the look.
        wanted = {record.key: (record.key or b"").decode() for record in records}
        return Written(
            sent=len(going),
            overtaken=frozenset(lead for key, lead in wanted.items() if key in tail.newest),
            erased=frozenset(lead for key, lead in wanted.items() if key in erased),
        )

    def _ends(self) -> dict[int, int]:
        return {partition: end for partition, (_, end) in self._reader.bounds(self._topic).items()}


async def mend(index: FindsOutdone, reader: ReadsTopics, producer: Producer, topics: Topics) -> Mended:
    """Brings back every richer record that a poorer one has replaced, and that is still there. Blocks while it reads.

    The reader is another one than the index's. Raises as `Writing.write` does; what was sent by then is mended.
    """
    writing = Writing(reader, producer, topics)
    sent, gone, tries = set[str](), set[str](), Counter[str]()
    while True:
        writing.look()
        index.refresh()
        batch = [*islice((each for each in _open(index, gone) if tries[each.lead_id] < _TRIES), _AT_ONCE)]
        if not batch:
            left = {each.lead_id for each in _open(index, gone)}
            return Mended(leads=len(sent - left), gone=tuple(sorted(gone)), left=tuple(sorted(left)))
        tries.update(each.lead_id for each in batch)
        lying = _lying_at(reader, topics(DETAILS), batch)
        gone.update(each.lead_id for each in batch if (each.partition, each.offset) not in lying)
        # Where the poorer one is gone, something newer came: the index knows of it next time.
        pairs = [(lying.get((each.partition, each.offset)), lying.get(each.by)) for each in batch]
        back = {richer.key: _in_place_of(poorer, richer) for richer, poorer in pairs if richer and poorer}
        written = await writing.write([*back.values()])
        sent.update({(key or b"").decode() for key in back} - written.overtaken)


class _Tail:
    """What was written of each lead since a place, by key."""

    def __init__(self) -> None:
        self.newest: dict[bytes | None, Received] = {}
        self.tombstones: dict[bytes | None, Received] = {}

    def take(self, records: Iterator[Received]) -> None:
        for received in records:
            self.newest[received.key] = received
            if received.value is None:
                self.tombstones[received.key] = received

    def erased(self) -> Iterator[bytes | None]:
        return (key for key, received in self.newest.items() if received.value is None)

    def covered(self) -> Iterator[Received]:
        """The tombstones that something was written over."""
        return (each for key, each in self.tombstones.items() if self.newest[key].value is not None)


def _open(index: FindsOutdone, gone: Collection[str]) -> Iterator[Outdone]:
    return (each for each in index.outdone() if each.lead_id not in gone)


def _lying_at(reader: ReadsTopics, topic: str, batch: Collection[Outdone]) -> Mapping[tuple[int, int], Received]:
    """What is still there of each lead, richer and poorer, by its place; what lies close together is read in one go."""
    wanted = {place: each.lead_id for each in batch for place in ((each.partition, each.offset), each.by)}
    spans: dict[int, list[tuple[int, int]]] = {partition: [] for partition in reader.bounds(topic)}
    for partition, offset in sorted(wanted):
        mine = spans.get(partition, [])
        if mine and offset - mine[-1][1] < _NEAR:
            mine[-1] = (mine[-1][0], offset + 1)
        else:
            mine.append((offset, offset + 1))
    found = {}
    while any(spans.values()):
        taken = {partition: mine.pop() if mine else (0, 0) for partition, mine in spans.items()}
        since = {partition: start for partition, (start, _) in taken.items()}
        until = {partition: end for partition, (_, end) in taken.items()}
        for received in reader.read(topic, since, until):
            place = received.partition, received.offset
            if received.value is not None and received.key == wanted.get(place, "").encode():
                found[place] = received
    return found


def _in_place_of(poorer: Received, richer: Received) -> Record:
    return Record(
        topic=DETAILS,
        key=richer.key,
        value=richer.value,
        headers=richer.headers,
        timestamp=poorer.timestamp,
    )


def _gone_again(tombstone: Received) -> Record:
    return Record(topic=DETAILS, key=tombstone.key, value=None, headers=tombstone.headers)
