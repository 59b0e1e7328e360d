"""A poorer record replaces a richer one for a moment at most, and nobody comes back who was erased."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from ingest.details import RICHNESS
from ingest.kafka import NotAcknowledged
from ingest.mending import Mended, Writing, Written, mend
from ingest.records import DETAILS, Received, Record, header, headers
from ingest.whereabouts import Outdone
from schemas.shapes import Completeness
from tests.cluster import Cluster

LEAD, OTHER = "55459717045641545", "55459717045641546"
RANKS: dict[str | None, int] = dict(RICHNESS.items())


def details(completeness: Completeness, lead: str = LEAD, *, text: str = "", origin: str | None = None) -> Record:
    said = headers({"completeness": completeness}) + (headers({"origin": origin}) if origin else ())
    return Record(topic=DETAILS, key=lead.encode(), value=f"{completeness} {text}".encode(), headers=said)


def tombstone(lead: str = LEAD) -> Record:
    return Record(topic=DETAILS, key=lead.encode(), value=None)


class Index:
    """What the account's index tells, of a cluster in memory that is read from the start each time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._found: list[Outdone] = []

    def refresh(self) -> None:
        best: dict[bytes | None, Received] = {}
        last: dict[bytes | None, Received] = {}
        for received in self._cluster.on(DETAILS):
            last[received.key] = received
            if received.value is None:
                best.pop(received.key, None)
            elif received.key not in best or rank(received) >= rank(best[received.key]):
                best[received.key] = received
        self._found = [
            Outdone(
                lead_id=(key or b"").decode(),
                partition=received.partition,
                offset=received.offset,
                by=(last[key].partition, last[key].offset),
            )
            for key, received in best.items()
            if rank(received) > rank(last[key])
        ]

    def outdone(self) -> Iterator[Outdone]:
        return iter(self._found)


class Contested(Cluster):
    """Somebody else writes just before what we send to details, or just after."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Record] = []
        self.after: list[Record] = []

    async def deliver(self, records: Sequence[Record]) -> None:
        ours = any(record.topic == DETAILS for record in records)
        while ours and self.before:
            self.put(self.before.pop(0))
        await super().deliver(records)
        while ours and self.after:
            self.put(self.after.pop(0))


def rank(received: Received) -> int:
    return RANKS[header(received.headers, "completeness")]


def mended(cluster: Cluster) -> Mended:
    return asyncio.run(mend(Index(cluster), cluster, cluster, cluster.topics))


def written(cluster: Cluster, *records: Record, meanwhile: Sequence[Record] = ()) -> Written:
    async def scenario() -> Written:
        writing = Writing(cluster, cluster, cluster.topics)
        writing.look()
        for record in meanwhile:
            cluster.put(record)
        return await writing.write(records)

    return asyncio.run(scenario())


def newest(cluster: Cluster, lead: str = LEAD) -> Received:
    return [received for received in cluster.on(DETAILS) if received.key == lead.encode()][-1]


def test_the_richer_record_comes_back_in_the_place_of_the_poorer() -> None:
    """As it was, and kept as long as the poorer one would have been."""
    cluster = Cluster()
    full = cluster.put(details("FULL", text="all of it", origin="0@7"))
    poorer = cluster.put(details("REDUCED", origin="0@9"))
    assert mended(cluster) == Mended(leads=1, gone=(), left=())
    now = newest(cluster)
    assert (now.value, now.headers, now.timestamp) == (full.value, full.headers, poorer.timestamp)


def test_where_nothing_is_poorer_nothing_is_sent() -> None:
    cluster = Cluster()
    for record in (details("EXPORT"), details("REDUCED"), details("FULL"), details("FULL", OTHER)):
        cluster.put(record)
    assert mended(cluster) == Mended(leads=0, gone=(), left=())
    assert len(cluster.on(DETAILS)) == 4


def test_of_several_the_richest_comes_back_and_each_lead_its_own() -> None:
    cluster = Cluster()
    for record in (details("REDUCED"), details("FULL", OTHER), details("FULL"), details("REDUCED"), details("EXPORT")):
        cluster.put(record)
    cluster.put(details("EXPORT", OTHER))
    assert mended(cluster).leads == 2
    assert [rank(newest(cluster, lead)) for lead in (LEAD, OTHER)] == [RANKS["FULL"]] * 2


def test_a_lead_that_was_erased_since_does_not_come_back() -> None:
    cluster = Cluster()
    for record in (details("FULL"), details("REDUCED"), tombstone()):
        cluster.put(record)
    assert mended(cluster).leads == 0
    assert newest(cluster).value is None


def test_a_lead_that_is_erased_a_moment_before_it_is_mended_is_erased_again() -> None:
    """The tombstone reached the log just before the record that came back."""
    cluster = Contested()
    for record in (details("FULL"), details("REDUCED")):
        cluster.put(record)
    cluster.before = [tombstone()]
    mended(cluster)
    assert newest(cluster).value is None


def test_a_lead_that_is_erased_right_after_it_was_mended_stays_erased() -> None:
    cluster = Contested()
    for record in (details("FULL"), details("REDUCED")):
        cluster.put(record)
    cluster.after = [tombstone()]
    mended(cluster)
    assert newest(cluster).value is None
    assert len(cluster.on(DETAILS)) == 4


def test_a_poorer_one_right_after_the_mending_is_mended_too() -> None:
    cluster = Contested()
    for record in (details("FULL"), details("REDUCED")):
        cluster.put(record)
    cluster.after = [details("REDUCED"), details("EXPORT")]
    assert mended(cluster) == Mended(leads=1, gone=(), left=())
    assert rank(newest(cluster)) == RANKS["FULL"]


def test_a_richer_one_that_ours_has_replaced_is_the_last_word() -> None:
    """Ours was richer than what lay there, and somebody wrote all of the lead just before it."""
    cluster = Contested()
    for record in (details("REDUCED"), details("EXPORT")):
        cluster.put(record)
    cluster.before = [details("FULL")]
    assert mended(cluster).leads == 1
    assert rank(newest(cluster)) == RANKS["FULL"]


def test_a_lead_that_others_keep_writing_is_left_and_told() -> None:
    cluster = Contested()
    for record in (details("FULL"), details("REDUCED")):
        cluster.put(record)

    class Restless(Index):
        def refresh(self) -> None:
            super().refresh()
            cluster.put(details("REDUCED"))

    told = asyncio.run(mend(Restless(cluster), cluster, cluster, cluster.topics))
    assert told == Mended(leads=0, gone=(), left=(LEAD,))


def test_a_richer_one_that_was_compacted_away_is_told() -> None:
    cluster = Cluster()
    place = cluster.put(details("FULL", "55459717045641547"))
    for record in (details("FULL", OTHER), details("EXPORT", OTHER)):
        cluster.put(record)
    poorer = cluster.put(details("EXPORT"))

    class Remembers(Index):
        """Of a record that is no longer there; at its place is another lead's."""

        def outdone(self) -> Iterator[Outdone]:
            yield from super().outdone()
            yield Outdone(
                lead_id=LEAD, partition=place.partition, offset=place.offset, by=(poorer.partition, poorer.offset)
            )

    told = asyncio.run(mend(Remembers(cluster), cluster, cluster, cluster.topics))
    assert told == Mended(leads=1, gone=(LEAD,), left=())
    assert rank(newest(cluster)) == RANKS["EXPORT"]
    assert rank(newest(cluster, OTHER)) == RANKS["FULL"]


def test_thousands_of_leads_far_apart_are_all_mended() -> None:
    cluster = Cluster()
    leads = [str(55459717045641545 + number) for number in range(2300)]
    for lead in leads:
        cluster.put(details("FULL", lead))
    for lead in leads[::2]:
        cluster.put(details("REDUCED", lead))
    assert mended(cluster) == Mended(leads=1150, gone=(), left=())
    assert {rank(newest_of) for newest_of in {record.key: record for record in cluster.on(DETAILS)}.values()} == {3}


def test_what_nobody_else_writes_is_sent() -> None:
    cluster = Cluster()
    told = written(cluster, details("EXPORT"), details("EXPORT", OTHER))
    assert told == Written(sent=2, overtaken=frozenset(), erased=frozenset())


def test_a_lead_that_somebody_wrote_since_the_look_is_not_sent() -> None:
    cluster = Cluster()
    told = written(cluster, details("EXPORT"), details("EXPORT", OTHER), meanwhile=[details("FULL")])
    assert told == Written(sent=1, overtaken=frozenset({LEAD}), erased=frozenset())
    assert rank(newest(cluster)) == RANKS["FULL"]


def test_a_lead_that_was_erased_since_the_look_is_not_sent_and_told() -> None:
    cluster = Cluster()
    told = written(cluster, details("EXPORT"), meanwhile=[tombstone()])
    assert told == Written(sent=0, overtaken=frozenset({LEAD}), erased=frozenset({LEAD}))


@pytest.mark.parametrize("theirs", [details("FULL", text="theirs"), tombstone()])
def test_what_others_wrote_since_the_look_is_spared_by_a_second_writing_too(theirs: Record) -> None:
    """As where a page of leads goes in several batches."""
    cluster = Cluster()
    writing = Writing(cluster, cluster, cluster.topics)
    writing.look()
    cluster.put(theirs)

    async def both() -> list[Written]:
        return [await writing.write([details("EXPORT", lead)]) for lead in (OTHER, LEAD)]

    assert [each.sent for each in asyncio.run(both())] == [1, 0]
    assert newest(cluster).value == theirs.value


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tombstone_is_the_last_word_on_either_side_of_ours(when: str) -> None:
    cluster = Contested()
    getattr(cluster, when).append(tombstone())
    told = written(cluster, details("EXPORT"), details("EXPORT", OTHER))
    assert told == Written(sent=2, overtaken=frozenset(), erased=frozenset({LEAD}))
    assert newest(cluster).value is None
    assert newest(cluster, OTHER).value is not None


def test_others_who_write_other_leads_meanwhile_change_nothing() -> None:
    cluster = Contested()
    cluster.before, cluster.after = [tombstone(OTHER)], [details("FULL", OTHER)]
    assert written(cluster, details("EXPORT")) == Written(sent=1, overtaken=frozenset(), erased=frozenset())
    assert [received.value is None for received in cluster.on(DETAILS)].count(True) == 1


def test_a_look_tells_whether_others_have_written_since_the_one_before() -> None:
    cluster = Contested()
    writing = Writing(cluster, cluster, cluster.topics)
    looks: list[bool] = []

    async def scenario() -> None:
        looks.append(writing.look())  # nothing is known yet
        for lead in ("1", "2"):
            await writing.write([details("EXPORT", lead)])
        looks.append(writing.look())
        cluster.put(details("FULL"))
        looks.append(writing.look())
        looks.append(writing.look())
        cluster.after = [details("FULL")]
        await writing.write([details("EXPORT", "3")])
        looks.append(writing.look())
        cluster.put(details("FULL"))
        await writing.write([details("EXPORT", "4")])
        looks.append(writing.look())

    asyncio.run(scenario())
    assert looks == [True, False, True, False, True, True]


def test_what_the_broker_does_not_take_is_not_counted() -> None:
    cluster = Cluster()
    cluster.refuses = DETAILS
    with pytest.raises(NotAcknowledged):
        written(cluster, details("EXPORT"))
