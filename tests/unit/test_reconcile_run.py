"""A reconciliation: what Meta lists against what is here, and what is missing announced, a few at a time, and once."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.account import Index
from deploy.account.positions import READS, Positions
from deploy.backfill.choosing import Edge, Unfound
from deploy.reconcile.listed import Place, Tally, open_listed
from deploy.reconcile.run import Asked, Progress, Reconciliation, Report
from deploy.reconcile.words import reasons, verdict
from ingest.bulk import LeadsPage, PageLost, Slice
from ingest.kafka import NotAcknowledged
from ingest.meta.graph import Usage
from ingest.meta.graph.bulk import BulkLead, CountedForm
from ingest.meta.pages import PageAccess
from ingest.reconcile import FormReport, Listed, Standing
from ingest.records import DETAILS, RAW, Received, Record
from tests.past import OTHER_PAGE, PAGE, Past

FORM, OTHER_FORM = "301", "302"
HERE, MISSING = Standing("here"), Standing("missing")


class Meta:
    """Forms with their leads, by id, and when each was given; pages of three leads."""

    def __init__(self) -> None:
        self.forms: dict[str, list[str]] = {PAGE: [FORM]}
        self.leads: dict[str, dict[str, int]] = {FORM: {}, OTHER_FORM: {}}
        self.lost: set[str] = set()  # forms, and pages, that cannot be read
        self.asked: list[Slice] = []
        self.times = 1  # that each list is given
        self.afterwards: Callable[[], object] = lambda: None

    async def forms_of(self, page_id: str) -> AsyncIterator[Edge | Unfound]:
        if page_id in self.lost:
            yield Unfound(kind="page", of=page_id, reason="token-expired")
            return
        for form in self.forms.get(page_id, []):
            yield Edge(kind="form", edge_id=form, page_id=page_id, counted=counted(form, len(self.leads[form]) + 2))

    async def pages(self, wanted: Slice, *, fields: Sequence[str]) -> AsyncGenerator[LeadsPage, None]:
        assert fields == ("id", "created_time")
        self.asked.append(wanted)
        leads = list(self.leads[wanted.edge_id].items()) * self.times
        for first in range(0, max(len(leads), 1), 3):
            if wanted.edge_id in self.lost and first:
                raise PageLost("permission")
            found = tuple(
                BulkLead(lead_id=lead, text="", parsed={}, created_time=at) for lead, at in leads[first : first + 3]
            )
            yield LeadsPage(leads=found, after=None, usage=Usage())
        self.afterwards()

    def get(self, page_id: str) -> PageAccess | None:
        return PageAccess(page_id=page_id, token=SecretStr("secret"))


def counted(form: str, leads: int) -> CountedForm:
    return CountedForm(form_id=form, page_id=PAGE, name="x", status="ACTIVE", leads=leads, organic=None, expired=1)


class World:
    """Meta, our topics, and workers that do a step whenever somebody waits for them."""

    def __init__(self, folder: Path) -> None:
        self.past = Past(folder)
        self.meta = Meta()
        self.works = True
        self.reads_at_once = 1_000
        self.waited = 0.0
        self.most_unread = 0
        self.outcome: Callable[[Received], object] = self.past.arrive  # what fetch and map make of a record
        self._read: dict[int, int] = {}

    def index(self) -> Index:
        def found() -> Positions:
            ends = self.past.ends(*(topic for topics in READS.values() for topic in topics))
            return Positions(
                cluster="c", committed=ends | {RAW: {0: 0, 1: 0} | self._read}, mapped=self.past.ends(*self.past.mapped)
            )

        return Index(
            found=found,
            reader=lambda: nullcontext(self.past.reader),
            file=lambda _: self.past.folder / "books.sqlite",
            topics=self.past.cluster.topics,
            clock=lambda: self.past.now,
        )

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(0.001)  # in which others get on
        self.waited += seconds
        unread = [raw for raw in self.past.cluster.on(RAW) if raw.offset >= self._read.get(raw.partition, 0)]
        self.most_unread = max(self.most_unread, len(unread))
        for raw in unread[: self.reads_at_once] if self.works else ():
            self.outcome(raw)
            self._read[raw.partition] = raw.offset + 1

    def has_read(self) -> None:
        """All that is on raw, and what came of it is the test's affair."""
        self._read = self.past.ends(RAW)[RAW]

    def run(
        self,
        *,
        sending: bool = True,
        asked: Asked = Asked(),  # noqa: B008  it is frozen
        pages: Collection[str] = (PAGE,),
        forms: Collection[Edge | Unfound] = (),
        told: list[Progress] | None = None,
    ) -> Report:
        index = self.index()
        index.refresh()
        try:
            with open_listed() as listed:
                run = Reconciliation(
                    leads=self.meta,
                    forms=self.meta,
                    pages=self.meta,
                    index=index,
                    listed=listed,
                    producer=self.past.cluster if sending else None,
                    asked=asked,
                    run="run-1",
                    clock=lambda: self.past.now,
                    told=(told if told is not None else []).append,
                    seconds=lambda: self.waited,
                    pause=self.pause,
                )
                return asyncio.run(run.reconcile(pages, forms, patience=20.0))
        finally:
            index.close()

    def announced(self) -> list[str]:
        return [self.past.lead_of(raw) for raw in self.past.cluster.on(RAW) if raw.header("source") == "reconcile"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def one(report: Report) -> FormReport:
    [form] = report.forms
    return form


def test_what_is_missing_is_announced_fetched_and_here(world: World) -> None:
    world.past.arrive(world.past.raw(lead="1"))
    world.meta.leads[FORM] = {"1": 1_790_000_001, "2": 1_790_000_002, "3": 1_790_000_003, "4": 1_790_000_004}
    world.has_read()
    report = world.run()
    assert one(report).standings == {HERE: 4}
    assert (one(report).sent, one(report).recovered, report.is_complete) == (3, 3, True)
    assert sorted(world.announced()) == ["2", "3", "4"]
    change = json.loads(world.past.cluster.on(RAW)[-1].value or b"")
    assert change["value"]["created_time"] == world.meta.leads[FORM][change["value"]["leadgen_id"]]


def test_a_second_run_sends_nothing(world: World) -> None:
    world.meta.leads[FORM] = {str(number): 1_790_000_000 for number in range(1, 8)}
    world.run()
    before = len(world.past.cluster.on(RAW))
    report = world.run()
    assert (len(world.past.cluster.on(RAW)), one(report).sent, one(report).recovered) == (before, 0, 0)
    assert report.is_complete


def test_a_second_run_sends_nothing_while_what_the_first_one_sent_is_not_read(world: World) -> None:
    """As after a run that was killed."""
    world.works = False
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    first, second = world.run(), world.run()
    assert [one(each).standings for each in (first, second)] == [{Standing("coming", "fetch"): 1}] * 2
    assert [one(each).sent for each in (first, second)] == [1, 0]
    assert (first.is_complete, world.announced()) == (False, ["1"])


def test_without_a_word_to_send_it_only_looks(world: World) -> None:
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    report = world.run(sending=False)
    assert (one(report).standings, world.past.cluster.on(RAW)) == ({MISSING: 1}, [])


def test_it_waits_no_longer_than_told_for_what_does_not_come(world: World) -> None:
    world.works = False
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    world.run()
    assert 20 <= world.waited <= 60


def test_it_waits_on_as_long_as_something_comes(world: World) -> None:
    world.reads_at_once = 1
    world.meta.leads[FORM] = {str(number): 1_790_000_000 for number in range(1, 61)}
    report = world.run()
    assert (one(report).standings, world.waited > 25) == ({HERE: 60}, True)


def test_only_some_are_under_way_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live lead that comes meanwhile stands behind these and not behind all that is missing."""
    monkeypatch.setattr("deploy.reconcile.run.UNDER_WAY", 10)
    world.reads_at_once = 4
    world.meta.leads[FORM] = {str(number): 1_790_000_000 for number in range(1, 48)}
    report = world.run()
    assert (one(report).standings, world.most_unread) == ({HERE: 47}, 10)


def test_what_dies_or_is_parked_says_why_and_ends_the_waiting(world: World) -> None:
    world.meta.leads[FORM] = dict.fromkeys(("1", "2", "3"), 1_790_000_000)

    def outcome(raw: Received) -> None:
        match world.past.lead_of(raw):
            case "1":
                world.past.bury(raw, "bad-field")
            case "2":
                world.past.park(raw, "token-expired")
            case _:
                world.past.arrive(raw)

    world.outcome = outcome
    report = world.run()
    assert one(report).standings == {HERE: 1, Standing("dead", "bad-field"): 1, Standing("parked", "token-expired"): 1}
    assert (one(report).recovered, one(report).sent, world.waited < 20) == (1, 3, True)
    assert one(world.run()).sent == 0


def test_what_died_of_not_being_there_is_sent_again_once(world: World) -> None:
    world.past.bury(world.past.raw(lead="1"), "not-found")
    world.has_read()
    world.outcome = lambda raw: world.past.bury(raw, "not-found")
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    assert [one(world.run()).sent for _ in range(3)] == [1, 0, 0]
    assert one(world.run()).standings == {Standing("dead", "not-found"): 1}


def test_an_erased_lead_is_had_and_not_fetched_again(world: World) -> None:
    world.past.arrive(world.past.raw(lead="1"))
    world.past.map(world.past.cluster.put(Record(topic=DETAILS, key=b"1", value=None)))
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    report = world.run()
    assert (one(report).standings, report.is_complete, world.announced()) == ({Standing("erased"): 1}, True, [])


def test_a_webhook_that_came_after_the_list_is_not_announced_again(world: World) -> None:
    """The index is asked once more before anything is sent."""
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    world.meta.afterwards = lambda: world.past.arrive(world.past.raw(lead="1"))
    report = world.run()
    assert (one(report).standings, world.announced()) == ({HERE: 1}, [])


def test_what_came_by_itself_meanwhile_is_here_and_not_recovered(world: World) -> None:
    raw = world.past.raw(lead="1")

    def arrives() -> None:
        world.past.arrive(raw)
        world.has_read()

    world.meta.afterwards = arrives
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    report = world.run()
    assert (one(report).standings, one(report).sent, one(report).recovered) == ({HERE: 1}, 0, 0)


def test_a_lead_that_is_listed_again_after_it_was_announced_stays_announced() -> None:
    place, lead = Place(PAGE, FORM), Listed("1", 1_790_000_000)
    with open_listed() as listed:
        listed.add(place, [(lead, MISSING)])
        listed.put({"1": HERE}, sent=True)
        listed.add(place, [(lead, MISSING)])
        assert listed.tallies() == {place: Tally(standings={HERE: 1}, sent=1, recovered=1)}


def test_a_lead_of_this_moment_is_not_missed_yet(world: World) -> None:
    now = world.past.now // 1000
    world.meta.leads[FORM] = {"1": now - 30, "2": now - 700}
    report = world.run(asked=Asked(young=600.0))
    assert one(report).standings == {Standing("coming", "webhook"): 1, HERE: 1}
    assert world.announced() == ["2"]


def test_a_lead_that_is_listed_twice_is_one(world: World) -> None:
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    world.meta.times = 2
    report = world.run()
    assert (one(report).at_meta, world.announced()) == (1, ["1"])


class TestWhatCannotBeRead:
    def test_is_told_and_other_pages_go_on(self, world: World) -> None:
        world.meta.forms = {PAGE: [FORM], OTHER_PAGE: [OTHER_FORM]}
        world.meta.leads[FORM] = {"1": 1_790_000_000}
        world.meta.lost = {OTHER_PAGE}
        report = world.run(pages=(OTHER_PAGE, PAGE))
        assert one(report).standings == {HERE: 1}
        assert [(each.page_id, each.form_id, each.reason) for each in report.troubles] == [
            (OTHER_PAGE, None, "token-expired")
        ]
        assert not report.is_complete

    def test_in_the_middle_of_a_form_leaves_what_was_read(self, world: World) -> None:
        world.meta.lost = {FORM}
        world.meta.leads[FORM] = {str(number): 1_790_000_000 for number in range(1, 8)}
        report = world.run()
        assert (one(report).standings, len(report.troubles), report.is_complete) == ({HERE: 3}, 1, False)
        assert (one(report).completeness, report.total.completeness) == (None, None), "who knows of how many"

    def test_in_the_middle_of_a_form_is_not_taken_for_what_meta_has_no_more(self, world: World) -> None:
        world.meta.forms = {PAGE: [FORM, OTHER_FORM]}
        world.meta.lost = {FORM}
        world.meta.leads[FORM] = {str(number): 1_790_000_000 for number in range(1, 8)}
        report = world.run()
        assert [form.not_listed for form in report.forms] == [0, 2]
        assert report.total.not_listed == 2

    def test_is_a_form_that_nobody_opens(self, world: World) -> None:
        report = world.run(pages=(), forms=[Unfound(kind="form", of="999", reason="not-found")])
        assert [(each.page_id, each.form_id) for each in report.troubles] == [(None, "999")]

    def test_is_everything_where_no_page_is_known(self, world: World) -> None:
        report = world.run(pages=())
        assert ([each.reason for each in report.troubles], report.is_complete) == (["no-pages"], False)
        assert verdict(report, sending=True) == "Not complete: there is no page to look at."
        assert [line for line in reasons(report) if "pages add" in line]

    def test_is_not_a_page_without_forms_or_a_form_without_leads(self, world: World) -> None:
        world.meta.forms = {PAGE: [FORM], OTHER_PAGE: []}
        report = world.run(pages=(PAGE, OTHER_PAGE))
        assert (one(report).at_meta, one(report).completeness, report.is_complete) == (0, None, True)


def test_the_counters_are_told_of_whole_forms_only(world: World) -> None:
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    assert (one(world.run()).not_listed, one(world.run()).expired) == (2, 1)
    asked = Asked(since=1_780_000_000, until=1_795_000_000)
    assert one(world.run(asked=asked)).counters is None
    assert (world.meta.asked[-1].since, world.meta.asked[-1].until) == (1_780_000_000, 1_795_000_000)


def test_a_broker_that_takes_nothing_ends_the_run_by_its_own_error(world: World) -> None:
    world.past.cluster.refuses = RAW
    world.meta.leads[FORM] = {"1": 1_790_000_000}
    with pytest.raises(NotAcknowledged):
        world.run()


def test_progress_adds_up(world: World) -> None:
    told: list[Progress] = []
    world.past.arrive(world.past.raw(lead="1"))
    world.has_read()
    world.meta.leads[FORM] = {str(number): 1_790_000_000 for number in range(1, 6)}
    world.run(told=told)
    assert told[-1] == Progress(listed=5, missing=4, under_way=0)
    assert max(each.under_way for each in told) == 4
