"""What a bulk read gives is written once, complete in itself, and its cursor is told when the broker has it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest.backfill import Backfill, Stand
from ingest.bulk import LeadsPage, PageLost, Slice, Unreadable
from ingest.kafka import NotAcknowledged, Unacceptable
from ingest.mending import Writing
from ingest.meta.graph import LEAD_FIELDS, REDUCED_LEAD_FIELDS, Json, Snapshot, Usage
from ingest.meta.graph.bulk import BulkLead
from ingest.meta.pages import PageAccess
from ingest.records import DETAILS, Record
from ingest.whereabouts import Whereabouts
from tests.cluster import Cluster
from tests.fetching import CODEC

PAGE = PageAccess(page_id="104880339887499", token=SecretStr("token-of-the-page"))
FORM = "616180339887499"
NOW = 1_795_000_000_000
WANTED = Slice(edge_id=FORM, page=PAGE, until=NOW // 1000)


class Died(Exception):
    """The process was killed here."""


def lead(lead_id: str, **more: Json) -> BulkLead:
    parsed: dict[str, Json] = {"id": lead_id, "form_id": FORM, "created_time": NOW // 1000 - 60, **more}
    return BulkLead(lead_id=lead_id, text=json.dumps(parsed, indent=1), parsed=parsed, created_time=NOW // 1000 - 60)


def pages(*of: Sequence[str], fields: Sequence[str] = LEAD_FIELDS) -> list[LeadsPage]:
    """A page for each list of ids, the cursors being their numbers."""
    return [
        LeadsPage(
            leads=tuple(lead(each) for each in ids),
            after=str(number) if number < len(of) else None,
            usage=Usage(),
            fields=fields,
            version="v25.0",
        )
        for number, ids in enumerate(of, start=1)
    ]


@dataclass
class Meta:
    """A form in pages, and how many of them were asked for; `dies_after` so many."""

    of: Sequence[LeadsPage]
    calls: int = 0
    fails_at: int | None = None
    open: int = 0  # pages that are not done with

    async def pages(
        self, wanted: Slice, *, after: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[LeadsPage, None]:
        for number in range(int(after or 0), len(self.of)):
            self.calls += 1
            if number == self.fails_at:
                raise Unreadable("token-expired")
            self.open += 1
            try:
                yield self.of[number]
            finally:
                self.open -= 1


@dataclass
class Index:
    """What lay on details when it was last refreshed, and what else is said to be here."""

    cluster: Cluster
    said: dict[str, Whereabouts] = field(default_factory=dict)
    refreshes: int = 0
    asked: Callable[[], None] = lambda: None  # told when somebody has looked leads up

    def of(self, lead_ids: Collection[str]) -> Mapping[str, Whereabouts]:
        found = {each: where for each, where in self.said.items() if each in lead_ids}
        self.asked()
        return found

    def refresh(self) -> None:
        self.refreshes += 1
        for received in self.cluster.on(DETAILS):
            erased = received.value is None
            self.said[(received.key or b"").decode()] = Whereabouts(details=None if erased else "FULL", erased=erased)


class Forms:
    async def of(self, lead: BulkLead, form_id: str, page: PageAccess) -> Snapshot | None:
        return Snapshot(text='{"id":"' + form_id + '"}', version="v" * 64)


@dataclass
class Filling:
    """A backfill over doubles, and a topic in memory."""

    meta: Meta
    cluster: Cluster = field(default_factory=lambda: Cluster(partitions=1))
    said: dict[str, Whereabouts] = field(default_factory=dict)
    forms: Forms = field(default_factory=Forms)

    def __post_init__(self) -> None:
        self.index = Index(self.cluster, self.said)
        self.index.refresh()
        self.backfill = Backfill(
            bulk=self.meta,
            forms=self.forms,
            known=self.index,
            writing=Writing(self.cluster, self.cluster, self.cluster.topics),
            codec=CODEC,
            clock=lambda: NOW,
        )

    def fill(self, stand: Stand | None = None) -> list[Stand]:
        async def scenario() -> list[Stand]:
            return [each async for each in self.backfill.fill(WANTED, stand or Stand())]

        return asyncio.run(scenario())

    def elsewhere(self, lead_id: str, value: bytes | None = b"live") -> None:
        """Somebody else writes a lead."""
        self.cluster.put(Record(topic=DETAILS, key=lead_id.encode(), value=value))

    @property
    def written(self) -> list[str]:
        return [(record.key or b"").decode() for record in self.cluster.on(DETAILS)]


def test_a_lead_is_written_as_meta_sent_it_with_its_form_and_where_it_came_from() -> None:
    filling = Filling(Meta(pages(["7"])))
    assert filling.fill() == [Stand(limit=500, read=1, written=1, done=True)]
    [record] = filling.cluster.on(DETAILS)
    details = CODEC.decode(record.value or b"")
    assert (record.key, details["answer"]) == (b"7", lead("7").text)
    assert (details["form_id"], details["form_version"], details["form"]) == (FORM, "v" * 64, '{"id":"' + FORM + '"}')
    assert (details["page_id"], details["source"], details["completeness"]) == (PAGE.page_id, "backfill", "FULL")
    assert details["received_at"] is None  # there was no notification
    assert (details["api_version"], details["missing_fields"], details["change"]) == ("v25.0", [], None)
    assert dict(record.headers) == {
        "source": b"backfill",
        "received-at": str(NOW).encode(),
        "completeness": b"FULL",
    }


def test_fields_that_may_not_be_read_are_named() -> None:
    filling = Filling(Meta(pages(["7"], fields=REDUCED_LEAD_FIELDS)))
    [stand] = filling.fill()
    [record] = filling.cluster.on(DETAILS)
    assert CODEC.decode(record.value or b"")["completeness"] == "REDUCED"
    assert "ad_name" in stand.missing_fields
    assert stand.missing_fields == tuple(CODEC.decode(record.value or b"")["missing_fields"])


def test_what_is_here_as_completely_is_not_written_again() -> None:
    here = {
        "1": Whereabouts(details="FULL", mapped=True),
        "2": Whereabouts(details="REDUCED"),
        "3": Whereabouts(details="EXPORT"),
        "4": Whereabouts(erased=True),
        "5": Whereabouts(fate="parked"),
    }
    ids = ["1", "2", "3", "4", "5", "6"]
    filling = Filling(Meta(pages(ids)), said=here)
    [stand] = filling.fill()
    assert filling.written == ["2", "3", "5", "6"]
    assert (stand.read, stand.written, stand.here) == (6, 4, 2)
    reduced = Filling(Meta(pages(ids, fields=REDUCED_LEAD_FIELDS)), said=here)
    reduced.fill()
    assert reduced.written == ["3", "5", "6"]


def test_a_second_run_writes_nothing() -> None:
    filling = Filling(Meta(pages(["1", "2"], ["3"])))
    filling.fill()
    again = Filling(Meta(pages(["1", "2"], ["3"])), cluster=filling.cluster)
    assert (again.fill()[-1].here, again.written) == (3, ["1", "2", "3"])


def test_a_lead_that_stands_in_several_pages_is_written_once_though_nothing_is_read_back() -> None:
    filling = Filling(Meta(pages(["1", "1", "2"], ["2", "3"], ["1", "4"], ["3"])))
    before = filling.index.refreshes
    filling.fill()
    assert filling.written == ["1", "2", "3", "4"]
    assert filling.index.refreshes == before + 1, "whoever writes alone need not read"


def test_a_lead_that_was_written_with_fewer_fields_is_written_whole_by_the_slice_that_has_all_of_it() -> None:
    """As where an ad is read with the token of a page that may not name some field, and its form with another."""
    filling = Filling(Meta([*pages(["1"], ["2"], fields=REDUCED_LEAD_FIELDS)[:1], *pages(["3"], ["1"])[1:]]))
    filling.fill()
    told = [(record.key, CODEC.decode(record.value or b"")["completeness"]) for record in filling.cluster.on(DETAILS)]
    assert told == [(b"1", "REDUCED"), (b"1", "FULL")]


def test_what_was_written_here_is_read_back_before_it_fills_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.backfill._UNREAD", 2)
    filling = Filling(Meta(pages(["1", "2", "3"], ["3", "4"], ["1", "5"])))
    before = filling.index.refreshes
    filling.fill()
    assert filling.written == ["1", "2", "3", "4", "5"]
    assert filling.index.refreshes == before + 2


def test_a_lead_that_came_live_meanwhile_is_not_written_over() -> None:
    filling = Filling(Meta(pages(["1"], ["2", "3"])))
    filling.elsewhere("2")
    filling.fill()
    assert filling.written == ["2", "1", "3"]


@pytest.mark.parametrize("value", [b"live", None])
def test_whoever_writes_or_erases_a_lead_in_the_last_moment_has_the_last_word(value: bytes | None) -> None:
    """After the index was asked, and before our record is sent."""
    filling = Filling(Meta(pages(["1", "2"])))
    looked_up = iter(range(10))

    def come_between() -> None:
        if next(looked_up) == 1:  # the second time it is asked is right before the writing
            filling.elsewhere("1", value)

    filling.index.asked = come_between
    [stand] = filling.fill()
    assert (stand.written, filling.written) == (1, ["1", "2"])
    assert filling.cluster.on(DETAILS)[0].value == value


def test_a_lead_of_two_slices_is_written_by_the_first_though_both_are_read_at_once() -> None:
    class Slow(Cluster):
        async def deliver(self, records: Sequence[Record]) -> None:
            await asyncio.sleep(0.01)
            await super().deliver(records)

    filling = Filling(Meta(pages(["1", "2"])), cluster=Slow(partitions=1))

    async def to_the_end() -> Stand:
        stands = [stand async for stand in filling.backfill.fill(WANTED, Stand())]
        return stands[-1]

    async def both() -> tuple[Stand, Stand]:
        async with asyncio.TaskGroup() as group:
            one, two = group.create_task(to_the_end()), group.create_task(to_the_end())
        return one.result(), two.result()

    one, two = asyncio.run(both())
    assert (one.written, two.written, two.here, filling.written) == (2, 0, 2, ["1", "2"])


def test_no_cursor_is_told_before_the_broker_has_what_is_before_it() -> None:
    filling = Filling(Meta(pages(["1"], ["2"])))
    filling.cluster.refuses = DETAILS
    with pytest.raises(NotAcknowledged):
        filling.fill()
    assert filling.meta.calls == 1
    filling.cluster.refuses = None
    assert filling.fill()[-1].done
    assert filling.written == ["1", "2"], "what failed is not taken for written"


def test_a_lead_that_does_not_fit_costs_no_other_and_is_told() -> None:
    [page] = pages(["1"])
    broken = LeadsPage(
        leads=(BulkLead(lead_id="2", text="\ud83d", parsed={}, created_time=1), *page.leads), after=None, usage=Usage()
    )
    filling = Filling(Meta([broken]))
    [stand] = filling.fill()
    assert (stand.refused, stand.written, stand.here, filling.written) == ((("2", "does-not-fit"),), 1, 0, ["1"])


def test_a_lead_that_is_too_large_for_the_broker_costs_no_other_and_is_told() -> None:
    class Small(Cluster):
        async def deliver(self, records: Sequence[Record]) -> None:
            await super().deliver([record for record in records if record.key != b"2"])
            if any(record.key == b"2" for record in records):
                raise Unacceptable("MSG_SIZE_TOO_LARGE")

    filling = Filling(Meta(pages(["1", "2", "3"])), cluster=Small(partitions=1))
    [stand] = filling.fill()
    assert (stand.refused, stand.written, filling.written) == ((("2", "unacceptable"),), 2, ["1", "3"])


def test_what_was_written_before_a_slice_began_anew_is_not_taken_for_what_was_here() -> None:
    [first, *_] = pages(["1", "2"], ["3"])
    anew = LeadsPage(leads=first.leads, after=None, usage=Usage(), anew=True)
    filling = Filling(Meta([first, anew]))
    stand = filling.fill()[-1]
    assert (stand.read, stand.written, stand.here) == (2, 2, 0)


def test_what_was_read_before_a_page_was_lost_is_kept() -> None:
    filling = Filling(Meta(pages(["1"], ["2"]), fails_at=1))
    with pytest.raises(Unreadable):
        filling.fill()
    assert filling.written == ["1"]


def test_a_page_that_is_lost_while_its_form_is_asked_for_gives_its_turn_back() -> None:
    class Lost(Forms):
        async def of(self, lead: BulkLead, form_id: str, page: PageAccess) -> Snapshot | None:
            raise PageLost("token-expired")

    filling = Filling(Meta(pages(["1"], ["2"])), forms=Lost())

    async def scenario() -> int:
        fill = filling.backfill.fill(WANTED, Stand())
        try:
            await anext(fill)
        except PageLost:
            return filling.meta.open
        return -1

    assert asyncio.run(scenario()) == 0
    assert filling.written == []


class Mortal(Cluster):
    """A process that writes to it dies at one of its deliveries, before or after the broker has it."""

    def __init__(self) -> None:
        super().__init__(partitions=1)
        self.dies_at: int | None = None
        self.too_late = False

    async def deliver(self, records: Sequence[Record]) -> None:
        dies = self.dies_at == 0
        self.dies_at = None if self.dies_at is None else self.dies_at - 1
        if self.too_late or not dies:
            await super().deliver(records)
        if dies:
            raise Died


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=8),
    kills=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=4),
)
def test_however_often_it_is_killed_every_lead_is_there_once_for_a_page_per_kill(
    sizes: list[int], kills: list[tuple[int, bool]]
) -> None:
    numbers = iter(range(1, 100))
    ids = [[str(next(numbers)) for _ in range(size)] for size in sizes]
    meta, cluster, kept, died = Meta(pages(*ids)), Mortal(), Stand(), 0

    async def run() -> None:
        nonlocal kept
        async with aclosing(Filling(meta, cluster=cluster).backfill.fill(WANTED, kept)) as stands:
            async for stand in stands:
                kept = stand

    for cluster.dies_at, cluster.too_late in kills:
        if not kept.done:
            try:
                asyncio.run(run())
            except Died:
                died += 1
    cluster.dies_at = None
    if not kept.done:
        asyncio.run(run())
    written = [(record.key or b"").decode() for record in cluster.on(DETAILS)]
    assert sorted(written, key=int) == [each for page in ids for each in page]
    assert kept.read == len(written)
    assert meta.calls <= len(sizes) + died
