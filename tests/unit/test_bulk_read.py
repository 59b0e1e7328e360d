"""All leads of a form are read once, however much of them Meta gives at a time, and behind live leads."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest.bulk import MOST_AT_ONCE, UNANSWERED_TRIES, BulkRead, LeadsPage, PageLost, PageSize, Slice, Unreadable
from ingest.meta.client import AskName
from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import LEAD_FIELDS, REDUCED_LEAD_FIELDS, Answer, Ask, Key, Usage
from ingest.meta.pages import PageAccess

PAGE = PageAccess(page_id="104880339887499", token=SecretStr("token-of-the-page"))
FORM = "616180339887499"
TOO_MUCH = Unavailable("unknown-error", code=1, subcode=99, http_status=500)


@dataclass
class Meta:
    """A form with a lead for each of so many seconds, newest first; `refuses` sees each ask before it is answered."""

    leads: int
    refuses: Callable[[dict[str, str]], GraphError | None] = lambda _: None
    filters: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)

    def key(self, page: PageAccess) -> Key:
        return Key(token=page.token)

    async def ask(self, name: AskName, ask: Ask, key: Key, most: int = 0) -> Answer:
        asked = dict(ask.params)
        self.asked.append(asked)
        if (error := self.refuses(asked)) is not None:
            raise error
        first = int(asked.get("after", self.leads))
        numbers = list(range(first - 1, -1, -1))
        for each in json.loads(asked.get("filtering", "[]")) if self.filters else ():
            above, value = each["operator"] == "GREATER_THAN", each["value"]
            numbers = [number for number in numbers if (number > value if above else number < value)]
        given = numbers[: int(asked["limit"])]
        paging = {"cursors": {"after": str(given[-1]) if given else "0"}}
        if len(given) < len(numbers):
            paging["next"] = f"https://graph.example?access_token={key.token.get_secret_value()}"  # type: ignore[assignment]  # of another shape, as Meta's is
        nodes = [{"id": str(1000 + number), "created_time": number} for number in given]
        body = json.dumps({"data": nodes, "paging": paging})
        return Answer(body=body, parsed=json.loads(body), version="v25.0", usage=Usage())

    @property
    def limits(self) -> list[int]:
        return [int(asked["limit"]) for asked in self.asked]


class Turns:
    """Always someone's turn, until the page is lost."""

    def __init__(self, lost_after: int = 10**9) -> None:
        self.refusals: list[str] = []
        self.answered = 0
        self.open = 0
        self._lost_after = lost_after

    @asynccontextmanager
    async def turn(self, page: PageAccess) -> AsyncIterator[None]:
        if self.answered >= self._lost_after:
            raise PageLost("token-expired")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def gave(self, page: PageAccess, usage: Usage) -> None:
        self.answered += 1

    async def refused(self, page: PageAccess, error: OverBudget | Blocked | AccessLost) -> None:
        self.refusals.append(error.reason)


@dataclass
class Reading:
    """A reading of the form to its end, or as far as it goes."""

    meta: Meta
    turns: Turns = field(default_factory=Turns)
    pages: list[LeadsPage] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)

    def read(
        self,
        *,
        since: int | None = None,
        until: int | None = None,
        after: str | None = None,
        fields: Sequence[str] = LEAD_FIELDS,
        most: int = MOST_AT_ONCE,
    ) -> list[str]:
        """The ids, in their order."""

        async def pause(seconds: float) -> None:
            self.paused.append(seconds)

        async def scenario() -> None:
            bulk = BulkRead(self.meta, self.turns, told=self.said.append, pause=pause, most=most)
            wanted = Slice(edge_id=FORM, page=PAGE, since=since, until=until)
            async for page in bulk.pages(wanted, after=after, fields=fields):
                assert self.turns.open == 1, "the turn lasts until the page is done with"
                self.pages.append(page)

        asyncio.run(scenario())
        assert self.turns.open == 0
        return [lead.lead_id for page in self.pages for lead in page.leads]


def ids(first: int, end: int) -> list[str]:
    """Newest first."""
    return [str(1000 + number) for number in range(end - 1, first - 1, -1)]


def once(
    error: GraphError, *, when: Callable[[dict[str, str]], bool] = lambda _: True
) -> Callable[..., GraphError | None]:
    left = [error]
    return lambda asked: left.pop() if left and when(asked) else None


def test_every_lead_is_read_once_in_as_few_calls_as_there_are_pages() -> None:
    reading = Reading(Meta(1700))
    assert reading.read() == ids(0, 1700)
    assert len(reading.meta.asked) == 4
    assert reading.pages[-1].after is None


def test_a_form_without_leads_is_one_empty_page() -> None:
    reading = Reading(Meta(0))
    assert (reading.read(), len(reading.pages)) == ([], 1)


def test_neither_a_page_nor_a_cursor_holds_the_token_of_next() -> None:
    reading = Reading(Meta(1700))
    reading.read()
    assert "token-of-the-page" not in repr(reading.pages) + repr(reading.meta.asked)


def test_what_is_outside_the_times_is_dropped_here_where_meta_ignores_the_filter() -> None:
    for filters in (True, False):
        reading = Reading(Meta(1700, filters=filters))
        assert reading.read(since=100, until=1200) == ids(100, 1200)
        assert sum(page.outside for page in reading.pages) == (0 if filters else 600)


def test_a_page_that_is_too_much_is_halved_down_to_single_leads() -> None:
    reading = Reading(Meta(5, lambda asked: TOO_MUCH if int(asked["limit"]) > 1 else None))
    assert reading.read() == ids(0, 5)
    assert reading.meta.limits == [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1, 1, 1]
    assert reading.paused == [], "Meta said what is wrong: there is nothing to wait for"


@pytest.mark.parametrize(
    "error", [Unavailable("timeout"), Unavailable("truncated"), Unavailable("server-error", http_status=500)]
)
def test_a_slow_or_broken_answer_is_asked_for_again_smaller_and_a_moment_later(error: Unavailable) -> None:
    reading = Reading(Meta(600, once(error)))
    assert reading.read() == ids(0, 600)
    assert (reading.meta.limits[:2], reading.paused) == ([500, 250], [1.0])


def test_an_answer_with_too_many_bytes_is_asked_for_smaller() -> None:
    reading = Reading(Meta(600, lambda asked: BadAsk("too-large") if int(asked["limit"]) > 300 else None))
    assert reading.read() == ids(0, 600)


def test_pages_grow_again_and_what_is_refused_again_is_tried_less_often() -> None:
    reading = Reading(Meta(40_000, lambda asked: TOO_MUCH if int(asked["limit"]) > 250 else None))
    assert reading.read() == ids(0, 40_000)
    assert [number for number, limit in enumerate(reading.meta.limits) if limit > 250] == [0, 11, 32, 73, 154]


def test_pages_grow_to_the_most_there_may_be() -> None:
    reading = Reading(Meta(20_000, once(TOO_MUCH)))
    assert reading.read() == ids(0, 20_000)
    assert (reading.meta.limits[1], reading.meta.limits[-1]) == (250, 500)


@given(leads=st.integers(0, 200), allowed=st.lists(st.integers(1, 40), min_size=1), most=st.integers(1, 64))
def test_whatever_meta_gives_at_a_time_every_lead_is_read_once(leads: int, allowed: list[int], most: int) -> None:
    """`allowed` are the page sizes that Meta takes, call after call, and then all over again."""
    calls = iter(range(10**6))

    def refuses(asked: dict[str, str]) -> GraphError | None:
        return TOO_MUCH if int(asked["limit"]) > allowed[next(calls) % len(allowed)] else None

    reading = Reading(Meta(leads, refuses))
    assert reading.read(most=most) == ids(0, leads)
    assert all(1 <= limit <= most for limit in reading.meta.limits)


def test_a_page_size_that_has_proved_itself_forgets_that_it_was_refused_before() -> None:
    size = PageSize(250, most=500)
    for _ in range(10):
        size.went_well()
    assert size.limit == 500
    for _ in range(5):
        size.went_well()
    size.was_too_much()
    for _ in range(10):
        size.went_well()
    assert size.limit == 500


def test_a_reading_goes_on_from_a_cursor() -> None:
    reading = Reading(Meta(1700))
    assert reading.read(after="700") == ids(0, 700)


def test_a_cursor_that_meta_takes_no_more_begins_the_slice_anew() -> None:
    reading = Reading(Meta(1700, lambda asked: BadAsk("bad-field") if asked.get("after") == "stale" else None))
    assert reading.read(after="stale") == ids(0, 1700)
    assert [page.anew for page in reading.pages] == [True, False, False, False]
    assert len(reading.said) == 1


def test_a_form_whose_cursors_are_never_taken_is_given_up() -> None:
    reading = Reading(Meta(1700, lambda asked: BadAsk("bad-ask") if "after" in asked else None))
    with pytest.raises(Unreadable):
        reading.read()
    assert len(reading.meta.asked) < 10


@pytest.mark.parametrize(
    "error",
    [BadAsk("bad-field"), AccessLost("capability", scope="app"), AccessLost("permission", scope="page")],
)
def test_what_only_some_fields_are_refused_for_is_read_without_them(error: GraphError) -> None:
    reading = Reading(Meta(1700, lambda asked: error if "vehicle" in asked["fields"] else None))
    assert reading.read() == ids(0, 1700)
    assert {tuple(page.fields) for page in reading.pages} == {REDUCED_LEAD_FIELDS}
    assert (len(reading.meta.asked), reading.turns.refusals) == (5, [])


def test_a_page_that_may_not_be_read_at_all_is_lost_and_that_is_told() -> None:
    reading = Reading(Meta(1700, lambda _: AccessLost("token-expired", scope="token")))
    with pytest.raises(PageLost, match="token-expired"):
        reading.read()
    assert (len(reading.meta.asked), reading.turns.refusals) == (1, ["token-expired"])


def test_a_page_that_others_find_lost_is_asked_no_more() -> None:
    reading = Reading(Meta(1700), Turns(lost_after=2))
    with pytest.raises(PageLost):
        reading.read()
    assert len(reading.meta.asked) == 2


@pytest.mark.parametrize("error", [OverBudget("business-limit", scope="page"), Blocked("blocked")])
def test_what_is_over_a_budget_waits_for_its_turn_and_then_goes_on(error: GraphError) -> None:
    reading = Reading(Meta(1700, once(error, when=lambda asked: "after" in asked)))
    assert reading.read() == ids(0, 1700)
    assert (reading.turns.refusals, reading.meta.limits) == ([error.reason], [500] * 5)


def test_a_form_that_is_not_there_is_told_so() -> None:
    with pytest.raises(Unreadable, match="not-found"):
        Reading(Meta(1, lambda _: Missing("not-found"))).read()


def test_what_goes_unanswered_for_minutes_is_left_for_another_time() -> None:
    reading = Reading(Meta(1700, lambda _: Unavailable("no-connection")))
    with pytest.raises(Unreadable, match="no-connection"):
        reading.read()
    assert len(reading.meta.asked) == UNANSWERED_TRIES
    assert 120 < sum(reading.paused) < 600
    assert reading.meta.limits == [500] * UNANSWERED_TRIES, "nothing says that it was too much"


def test_a_list_that_leads_to_itself_is_not_read_for_ever() -> None:
    class Circle(Meta):
        async def ask(self, name: AskName, ask: Ask, key: Key, most: int = 0) -> Answer:
            self.asked.append(dict(ask.params))
            body = '{"data": [], "paging": {"cursors": {"after": "x"}, "next": "https://graph.example"}}'
            return Answer(body=body, parsed=json.loads(body), version="v25.0", usage=Usage())

    reading = Reading(Circle(1))
    with pytest.raises(Unreadable):
        reading.read()
    assert len(reading.meta.asked) == 2


def test_other_fields_are_asked_for_as_they_are_named() -> None:
    reading = Reading(Meta(10))
    assert reading.read(fields=("id", "created_time")) == ids(0, 10)
    assert reading.meta.asked[0]["fields"] == "id,created_time"
