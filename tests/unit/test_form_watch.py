"""Every page's forms are looked at in turn, with few calls, and what is news is told once."""

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence

import pytest
import stamina
from pydantic import SecretStr
from structlog.testing import capture_logs

from ingest.meta.errors import AccessLost, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import FORMS_AT_ONCE, Answer, BusinessUse, JsonObject, Load, Page, Usage
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, FORMS
from processors.access import AccessStates
from processors.asking import Asking
from processors.form_history import FormHistory
from processors.form_watch import FIRST_SECONDS, MOST_CALLS, UNANSWERED_SECONDS, FormWatch
from processors.governor import Governor
from tests.doubles import Broker

EVERY = 3600.0
NOW = 1_795_000_000_000
PARTITIONS = 12


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


def page(page_id: str = "1") -> PageAccess:
    return PageAccess(page_id=page_id, token=SecretStr(f"token of {page_id}"), app_id="7")


def form(form_id: str, *keys: str, status: str = "ACTIVE") -> JsonObject:
    return {"id": form_id, "name": "Spring", "status": status, "questions": [{"key": key} for key in keys]}


class Meta:
    """Lists the forms of pages, and gives each by itself; the two may differ."""

    def __init__(self) -> None:
        self.forms_of: dict[str, list[JsonObject]] = {"1": []}
        self.alone: dict[str, JsonObject | GraphError] = {}
        self.refusals: dict[str, GraphError] = {}  # by page
        self.most = FORMS_AT_ONCE
        self.usage = Usage()
        self.calls: list[tuple[str, str | None]] = []  # page or form, and cursor
        self.back_to: str | None = None  # the cursor behind the last form
        self.is_endless = False

    async def forms(self, page: PageAccess, after: str | None = None, *, limit: int = FORMS_AT_ONCE) -> Page:
        self.calls.append((page.page_id, after))
        if page.page_id in self.refusals:
            raise self.refusals[page.page_id]
        if limit > self.most:
            raise Unavailable("unknown-error", code=1, subcode=99)
        forms, first = self.forms_of[page.page_id], int(after or 0)
        last = first + limit
        cursor = str(last) if last < len(forms) or self.is_endless else self.back_to
        return Page(items=tuple(forms[first:last]), after=cursor, usage=self.usage)

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        self.calls.append((form_id, None))
        listed = next(each for each in self.forms_of[page.page_id] if each["id"] == form_id)
        node = self.alone.get(form_id, listed)
        if isinstance(node, GraphError):
            raise node
        return Answer(body="{}", parsed=node, version=None, usage=self.usage)


class Tokens:
    def __init__(self, *pages: PageAccess) -> None:
        self.pages: Sequence[PageAccess] = pages

    def all(self) -> Sequence[PageAccess]:
        return self.pages


class Desk:
    """A watch whose clock the test moves; a pause lasts no time."""

    def __init__(self, *pages: PageAccess, held: Collection[int] = range(PARTITIONS)) -> None:
        self.now = NOW
        self.held = held
        self.meta, self.broker, self.history = Meta(), Broker(), FormHistory()
        self.tokens = Tokens(*(pages or [page()]))
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.watch = self.another()

    def another(self, history: FormHistory | None = None) -> FormWatch:
        governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)
        asking = Asking(graph=NoLeads(), governor=governor, producer=self.broker, concurrency=1)
        return FormWatch(
            graph=self.meta,
            governor=governor,
            told=asking.tell,
            history=self.history if history is None else history,
            pages=self.tokens,
            holds=lambda: self.held,
            partitions=PARTITIONS,
            producer=self.broker,
            every=EVERY,
            clock=lambda: self.now,
            pause=self._pause,
        )

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def look(self, after: float = 0.0) -> list[tuple[str, str | None]]:
        """The calls of a look at what is due so many seconds later."""
        self.now += round(after * 1000)
        self.meta.calls = []
        asyncio.run(self.watch.look())
        return self.meta.calls

    def first_look(self) -> list[tuple[str, str | None]]:
        return self.look() + self.look(FIRST_SECONDS)

    def next_look(self) -> list[tuple[str, str | None]]:
        return self.look(2 * EVERY)

    @property
    def told(self) -> list[tuple[str, str, list[str]]]:
        """Form, status and questions of each record."""
        values = [json.loads(record.value or b"") for record in self.broker.on(FORMS)]
        return [
            (value["form_id"], value["form"]["status"], [each["key"] for each in value["form"]["questions"]])
            for value in values
        ]


class NoLeads:
    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
        raise AssertionError("a watch asks for no lead")

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        raise AssertionError("nor through the line of leads")

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
    ) -> tuple[Answer | GraphError, ...]:
        raise AssertionError("a watch asks for no lead")


def test_the_forms_of_a_page_are_told_within_seconds() -> None:
    """Whoever is about to map them has no lead yet."""
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a"), form("11", "b", status="ARCHIVED")]
    assert desk.first_look() == [("1", None)]
    assert desk.told == [("10", "ACTIVE", ["a"]), ("11", "ARCHIVED", ["b"])]


def test_what_is_as_it_was_costs_one_call_and_tells_nothing() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.first_look()
    assert desk.look(EVERY / 2) == []
    assert desk.next_look() == [("1", None)]
    assert len(desk.told) == 1


def test_a_new_a_changed_and_an_archived_form_are_told_with_an_event_each() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a"), form("11", "b")]
    desk.first_look()
    desk.meta.forms_of["1"] = [form("10", "a", "c"), form("11", "b", status="ARCHIVED"), form("12", "d")]
    with capture_logs() as logs:
        desk.next_look()

    assert desk.told[2:] == [("10", "ACTIVE", ["a", "c"]), ("11", "ARCHIVED", ["b"]), ("12", "ACTIVE", ["d"])]
    assert [(log["event"], log["form_id"], log["status"]) for log in logs] == [
        ("form.changed", "10", "ACTIVE"),
        ("form.archived", "11", "ARCHIVED"),
        ("form.new", "12", "ACTIVE"),
    ]
    with capture_logs() as logs:
        desk.meta.forms_of["1"][1] = form("11", "b")
        desk.next_look()
    assert [(log["event"], log["form_id"], log["status"]) for log in logs] == [("form.changed", "11", "ACTIVE")]


def test_a_form_that_is_listed_no_more_is_not_taken_for_archived() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a"), form("11", "b")]
    desk.first_look()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.next_look()
    desk.meta.forms_of["1"] = [form("10", "a"), form("11", "b")]
    desk.next_look()
    assert len(desk.told) == 2


def test_a_list_that_differs_from_the_form_itself_is_not_believed_and_asked_about_once() -> None:
    """Else fetch, which reads the form alone, and the watch would take turns in telling."""
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.first_look()
    desk.meta.forms_of["1"] = [form("10", "of the list")]
    desk.meta.alone["10"] = form("10", "a")

    assert desk.next_look() == [("1", None), ("10", None)]
    assert desk.next_look() == [("1", None)]
    assert len(desk.told) == 1
    desk.meta.forms_of["1"] = [form("10", "of the list", "and more")]
    desk.meta.alone["10"] = form("10", "a", "b")
    assert desk.next_look() == [("1", None), ("10", None)]
    assert desk.next_look() == [("1", None)]
    assert desk.told[1:] == [("10", "ACTIVE", ["a", "b"])]


def test_a_form_that_cannot_be_read_alone_keeps_no_other_from_being_told() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.first_look()
    desk.meta.forms_of["1"] = [form("10", "b"), form("11", "c")]
    desk.meta.alone["10"] = Missing("not-found", code=100, subcode=33)
    desk.next_look()
    assert desk.told[1:] == [("11", "ACTIVE", ["c"])]


def test_a_page_with_thousands_of_forms_lets_the_others_have_their_turn() -> None:
    desk = Desk(page("1"), page("2"))
    desk.meta.forms_of = {"1": [form(str(number), "a") for number in range(1000, 3000)], "2": [form("10", "a")]}
    calls = desk.first_look()

    assert len(calls) == 2000 / FORMS_AT_ONCE + 1
    assert calls.index(("2", None)) < 2
    assert len(desk.told) == 2001


def test_a_server_that_fails_over_many_forms_is_asked_for_fewer() -> None:
    desk = Desk()
    desk.meta.most = 10
    desk.meta.forms_of["1"] = [form(str(number), "a") for number in range(100, 125)]
    calls = desk.first_look()
    assert len(desk.told) == 25
    assert len(calls) == 6


def test_a_list_that_leads_back_to_itself_ends() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.meta.back_to = "0"
    assert len(desk.first_look()) == 2


def test_a_list_without_an_end_ends() -> None:
    desk = Desk()
    desk.meta.is_endless = True
    desk.meta.forms_of["1"] = [form("10", "a")]
    assert len(desk.first_look()) == MOST_CALLS


def test_forms_that_may_not_be_listed_are_said_once_and_break_nothing() -> None:
    desk = Desk()
    desk.meta.refusals["1"] = AccessLost("permission", scope="page", code=200)
    with capture_logs() as logs:
        desk.first_look()
        assert desk.next_look() == [("1", None)]
        assert desk.next_look() == [("1", None)]
        desk.meta.refusals["1"] = AccessLost("capability", scope="app", code=3)
        desk.next_look()
        del desk.meta.refusals["1"]
        desk.next_look()
        desk.meta.refusals["1"] = AccessLost("capability", scope="app", code=3)
        desk.next_look()

    assert [(log["event"], log["page_id"], log["reason"]) for log in logs] == [
        ("forms.unread", "1", "permission"),
        ("forms.unread", "1", "capability"),
        ("forms.unread", "1", "capability"),
    ]
    assert desk.broker.on(ACCESS) == []
    assert desk.states.standing(page()).state == "open"


def test_a_page_that_was_not_answered_is_looked_at_again_soon() -> None:
    desk = Desk()
    desk.meta.refusals["1"] = Unavailable("timeout")
    assert desk.first_look() == [("1", None), ("1", None)]
    del desk.meta.refusals["1"]
    assert desk.look(2 * UNANSWERED_SECONDS) == [("1", None)]


def test_the_end_of_a_budget_is_told_to_everyone_and_waited_out() -> None:
    desk = Desk()
    desk.meta.refusals["1"] = OverBudget("business-limit", scope="page", regain_after=600.0, code=80001)
    assert desk.first_look() == [("1", None)]
    assert [json.loads(record.value or b"")["state"] for record in desk.broker.on(ACCESS)] == ["paused"]
    del desk.meta.refusals["1"]
    assert desk.look(300) == []
    assert desk.look(301) == [("1", None)]


def test_a_page_whose_budget_is_nearly_used_up_is_left_to_its_leads() -> None:
    """In the middle of its list, and for as long as the header holds."""
    desk = Desk()
    desk.meta.forms_of["1"] = [form(str(number), "a") for number in range(1000, 1200)]
    load = Load(calls=80, cpu_time=0, total_time=0)
    desk.meta.usage = Usage(business=(BusinessUse(object_id="1", kind="pages", load=load, regain_after=0),))
    assert desk.first_look() == [("1", None)]
    desk.meta.usage = Usage()
    assert desk.look(60) == []
    assert len(desk.look(3600)) == 4
    assert len(desk.told) == 200


def test_a_page_whose_budget_is_nearly_used_up_is_not_asked_about_what_has_changed() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.first_look()
    desk.meta.forms_of["1"] = [form("10", "b")]
    desk.meta.usage = Usage(page=Load(calls=80, cpu_time=0, total_time=0))
    assert desk.next_look() == [("1", None)]
    desk.meta.usage = Usage()
    assert desk.look(3601) == [("1", None), ("10", None)]
    assert desk.told[1:] == [("10", "ACTIVE", ["b"])]


@pytest.mark.parametrize("state", ["paused", "broken"])
def test_a_page_that_may_not_be_asked_is_not(state: str) -> None:
    desk = Desk()
    told = {"state": state, "until": NOW + 10_000, "reason": "r", "at": NOW, "page_id": "1"}
    desk.states.take(desk.states.key(page(), "token"), json.dumps(told).encode())
    assert desk.first_look() == []
    opened = {**told, "state": "open", "until": None}
    desk.states.take(desk.states.key(page(), "token"), json.dumps(opened).encode())
    assert desk.look(1) == [("1", None)]


def test_of_several_workers_one_looks_at_each_page() -> None:
    pages = [page(str(number)) for number in range(100, 140)]
    workers = [Desk(*pages, held=range(first, PARTITIONS, 3)) for first in range(3)]
    looked_at: list[str] = []
    for desk in workers:
        desk.meta.forms_of = {each.page_id: [] for each in pages}
        looked_at += [page_id for page_id, _ in desk.first_look()]

    assert sorted(looked_at) == sorted(each.page_id for each in pages)
    assert all(len(desk.watch._turns._due) < len(pages) for desk in workers)  # noqa: SLF001  each has its share
    assert Desk(*pages, held=()).first_look() == []


def test_a_page_that_comes_to_the_file_is_looked_at_soon() -> None:
    desk = Desk()
    desk.first_look()
    desk.meta.forms_of["2"] = [form("20", "a")]
    desk.tokens.pages = [page("1"), page("2")]
    assert desk.first_look() == [("2", None)]


def test_a_watch_tells_nothing_that_another_worker_has_told() -> None:
    desk = Desk()
    desk.meta.forms_of["1"] = [form("10", "a")]
    desk.first_look()
    desk.watch = desk.another()
    assert desk.first_look() == [("1", None)]
    assert len(desk.told) == 1
