"""What was repaired is seen with as few calls as it takes, and never with a token that is known to be dead."""

import asyncio
from collections.abc import Callable, Collection
from itertools import pairwise

import pytest
from pydantic import SecretStr

from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, OverBudget, Scope, Unavailable
from ingest.meta.pages import PageAccess
from processors.access import AccessStates, Standing, State, access_record
from processors.monitor import CALLS_PER_LOOK, LONGEST_MS, Monitor
from tests.doubles import Broker

NOW = 1_795_000_000_000
PAGE = PageAccess(page_id="1", token=SecretStr("token"), app_id="7")


class Meta:
    def __init__(self) -> None:
        self.token: bool | GraphError | None = False
        self.leads: bool | GraphError | None = False
        self.asked: list[str] = []
        self.pages: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def token_is_valid(self, page: PageAccess) -> bool | None:
        self.asked.append("token")
        self.pages.append(page.page_id)
        return said(self.token)

    async def leads_are_readable(self, page: PageAccess) -> bool | None:
        self.asked.append("leads")
        self.meanwhile()
        return said(self.leads)


def said(answer: bool | GraphError | None) -> bool | None:
    if isinstance(answer, GraphError):
        raise answer
    return answer


class Pages:
    def __init__(self) -> None:
        self.pages: list[PageAccess] = [PAGE]

    def all(self) -> Collection[PageAccess]:
        return self.pages


class Desk:
    """A monitor whose clock the test moves; what it tells is read back at once, as by every worker."""

    def __init__(self) -> None:
        self.now = NOW
        self.meta, self.pages, self.broker = Meta(), Pages(), Broker()
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.monitor = Monitor(
            states=self.states,
            pages=self.pages,
            graph=self.meta,
            producer=self.broker,
            every=60.0,
            clock=lambda: self.now,
        )

    def happen(self, scope: Scope, state: State, page: PageAccess = PAGE) -> None:
        key = self.states.key(page, scope)
        record = access_record(
            Standing(state=state, key=key, reason="r", at=self.now, page_id="1", until=self.now + 10**9)
        )
        self.states.take(key, record.value)

    def look(self, after: float = 60.0) -> bool:
        """Whether anything was opened."""
        self.now += round(after * 1000)
        before = len(self.broker.records)
        asyncio.run(self.monitor.look())
        for record in self.broker.records[before:]:
            self.states.take((record.key or b"").decode(), record.value)
        return len(self.broker.records) > before


def test_a_dead_token_is_asked_about_and_opened_when_it_lives_again() -> None:
    desk = Desk()
    desk.happen("token", "broken")
    assert not desk.look()
    desk.meta.token = True
    assert desk.look()
    assert desk.states.standing(PAGE).state == "open"
    assert desk.meta.asked == ["token", "token"]
    assert not desk.look()
    assert len(desk.meta.asked) == 2  # nothing is unsettled any more


def test_a_token_that_was_replaced_in_the_file_is_nobodys_trouble() -> None:
    desk = Desk()
    desk.happen("token", "broken")
    desk.pages.pages = [PageAccess(page_id="1", token=SecretStr("a new token"), app_id="7")]
    assert desk.look()
    assert desk.meta.asked == []


@pytest.mark.parametrize(("scope", "state"), [("token", "broken"), ("app", "paused")])
def test_a_page_is_not_asked_about_with_a_dead_token_nor_in_a_pause(scope: Scope, state: State) -> None:
    desk = Desk()
    desk.meta.leads = desk.meta.token = True
    desk.happen("page", "broken")
    desk.happen(scope, state)
    desk.look()
    assert "leads" not in desk.meta.asked


@pytest.mark.parametrize("state", ["broken", "doubtful"])
def test_a_page_is_opened_when_its_leads_may_be_read(state: State) -> None:
    desk = Desk()
    desk.happen("page", state)
    assert not desk.look()
    desk.meta.leads = True
    assert desk.look()


@pytest.mark.parametrize("answer", [AccessLost("permission", scope="page"), Unavailable("timeout")])
def test_a_refusal_is_no_repair(answer: GraphError) -> None:
    desk = Desk()
    desk.meta.leads = answer
    desk.happen("page", "broken")
    assert not desk.look()


@pytest.mark.parametrize("answer", [None, BadAsk("bad-field", code=100)])
def test_where_meta_does_not_say_it_is_opened_on_trial_further_and_further_apart(answer: GraphError | None) -> None:
    desk = Desk()
    desk.meta.leads = answer
    opened = []
    for minute in range(60 * 6):
        if desk.states.standing(PAGE).state == "open":
            desk.happen("page", "broken")  # the trial failed
        if desk.look():
            opened.append(minute)
    apart = [after - before for before, after in pairwise(opened)]
    assert apart[:5] == [1, 2, 4, 8, 16]
    assert max(apart) == LONGEST_MS / 60_000


def test_an_app_is_opened_on_trial_as_nothing_can_be_asked() -> None:
    desk = Desk()
    desk.happen("app", "broken")
    assert desk.look()
    assert desk.meta.asked == []


def test_a_page_without_a_token_waits_for_one() -> None:
    desk = Desk()
    desk.happen("page", "broken")
    desk.pages.pages = []
    assert not desk.look()
    assert desk.meta.asked == []


def test_what_has_just_broken_is_not_looked_at_at_once() -> None:
    desk = Desk()
    desk.meta.token = True
    desk.happen("token", "broken")
    assert not desk.look(after=1.0)
    assert desk.meta.asked == []
    assert desk.look()


def test_a_token_and_its_page_that_are_broken_both_do_not_wait_for_each_other() -> None:
    desk = Desk()
    desk.meta.token = desk.meta.leads = True
    desk.happen("token", "broken")
    desk.happen("page", "broken")
    desk.look()
    desk.look()
    assert desk.states.standing(PAGE).state == "open"
    assert desk.meta.asked == ["token", "leads"]


def test_a_token_is_not_asked_about_while_its_app_is_paused() -> None:
    desk = Desk()
    desk.happen("token", "broken")
    desk.happen("app", "paused")
    assert not desk.look()
    assert desk.meta.asked == []


@pytest.mark.parametrize(
    ("answer", "minutes"),
    [
        (OverBudget("page-limit", scope="page", regain_after=600.0), 10),
        (OverBudget("app-limit", scope="app"), 60),
        (Blocked("blocked"), 60),
    ],
)
def test_who_is_asked_too_often_is_left_alone(answer: GraphError, minutes: int) -> None:
    desk = Desk()
    desk.meta.leads = answer
    desk.happen("page", "broken")
    looks = [len(desk.meta.asked) for _ in range(minutes + 1) if not desk.look()]
    assert looks == [*([1] * minutes), 2]


def test_one_look_makes_so_many_calls_and_no_more_and_every_token_has_its_turn() -> None:
    desk = Desk()
    desk.pages.pages = [
        PageAccess(page_id=str(number), token=SecretStr(f"token {number}"), app_id="7")
        for number in range(2 * CALLS_PER_LOOK)
    ]
    for page in desk.pages.pages:
        desk.happen("token", "broken", page)
    desk.look()
    assert len(desk.meta.asked) == CALLS_PER_LOOK
    desk.look()
    assert len(desk.meta.asked) == len(set(desk.meta.pages)) == 2 * CALLS_PER_LOOK


def test_what_is_told_while_meta_is_asked_is_not_overwritten() -> None:
    desk = Desk()
    desk.meta.leads = True
    desk.meta.meanwhile = lambda: desk.happen("page", "paused")
    desk.happen("page", "doubtful")
    assert not desk.look()
    assert desk.states.standing(PAGE).state == "paused"
