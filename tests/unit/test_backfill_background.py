"""Live leads go first: what reads in bulk waits for its turn, says why, and tells what Meta has said."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import stamina
from pydantic import SecretStr

from deploy.backfill.background import Background
from ingest.bulk import PageLost
from ingest.meta.client import AskName
from ingest.meta.errors import AccessLost, Blocked, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import Answer, Ask, BusinessUse, Key, Load, Usage
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS
from processors.access import AccessStates, Standing
from processors.asking import Asking
from processors.governor import BLOCKED_MS, LOAD_MS, UNESTIMATED_MS, Governor
from tests.doubles import Broker
from tests.fetching import Meta as NoMeta

NOW = 1_795_000_000_000
ONE = PageAccess(page_id="1", token=SecretStr("token of 1"))
TWO = PageAccess(page_id="2", token=SecretStr("token of 2"))


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


def used(percent: float) -> Usage:
    load = Load(calls=percent, cpu_time=0, total_time=0)
    return Usage(business=(BusinessUse(object_id="1", kind="leadgen", load=load, regain_after=0),))


@dataclass
class World:
    """A background over a governor, with a clock that its pauses move."""

    answers: list[GraphError | Usage] = field(default_factory=list)
    now: int = NOW
    said: list[str] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self.broker = Broker()
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)
        telling = Asking(graph=NoMeta(), governor=self.governor, producer=self.broker, concurrency=1)
        self.background = Background(
            self,
            self.governor,
            tell=telling.tell,
            told=self.said.append,
            clock=lambda: self.now,
            pause=self.pause,
            at_once=1,
        )

    async def pause(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        await asyncio.sleep(0)

    def key(self, page: PageAccess) -> Key:
        return Key(token=page.token)

    async def ask(self, name: AskName, ask: Ask, key: Key, most: int = 0) -> Answer:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else Usage()
        if isinstance(answer, GraphError):
            raise answer
        return Answer(body="{}", parsed={}, version="v25.0", usage=answer)

    def turn(self, page: PageAccess = ONE) -> float:
        """The seconds until it was the page's turn."""

        async def scenario() -> None:
            async with self.background.turn(page):
                pass

        before = self.now
        asyncio.run(scenario())
        return (self.now - before) / 1000

    def refuse(self, error: OverBudget | Blocked | AccessLost) -> None:
        asyncio.run(self.background.refused(ONE, error))

    def told(self) -> list[dict[str, object]]:
        return [json.loads(record.value or b"") for record in self.broker.on(ACCESS)]


def test_a_page_that_may_be_asked_has_its_turn_at_once_and_says_nothing() -> None:
    world = World()
    assert (world.turn(), world.said) == (0, [])


def test_a_pause_is_waited_out_and_said_once_with_its_end() -> None:
    world = World()
    world.refuse(OverBudget("business-limit", scope="page", regain_after=120))
    assert world.turn() == 120
    assert len(world.said) == 1
    assert "page 1 waits, until 11:08:40 UTC" in world.said[0]
    assert "business-limit" in world.said[0]
    assert [each["state"] for each in world.told()] == ["paused"], "every worker hears of it"


def test_what_others_have_told_is_obeyed() -> None:
    world = World()
    paused = Standing(state="paused", key="page:1", reason="page-limit", until=NOW + 60_000, at=NOW, page_id="1")
    world.states.put(paused)
    assert world.turn() == 60


def test_a_pause_that_is_lifted_early_ends_early() -> None:
    world = World()
    world.refuse(OverBudget("business-limit", scope="page", regain_after=3600))
    slept = 0

    async def pause(seconds: float) -> None:
        nonlocal slept
        slept += 1
        world.now += round(seconds * 1000)
        if slept == 3:
            world.states.put(Standing(state="open", key="page:1", reason="repaired", at=world.now))

    world.background._pause = pause  # noqa: SLF001  the clock's own hand
    assert world.turn() == 15


def test_what_is_left_of_a_budget_belongs_to_live_leads() -> None:
    world = World()
    asyncio.run(world.background.gave(ONE, used(80)))
    assert world.background.used["1"] == 80
    assert world.turn() == LOAD_MS / 1000
    assert len(world.said) == 1
    assert "live leads" in world.said[0]
    assert world.turn(TWO) == 0


def test_a_blocked_token_is_left_alone_for_long() -> None:
    world = World()
    world.refuse(Blocked("blocked"))
    assert world.turn() == BLOCKED_MS / 1000


def test_a_dead_token_is_told_to_everyone_and_costs_no_second_call() -> None:
    world = World()
    world.refuse(AccessLost("token-expired", scope="token"))
    assert [(each["state"], each["reason"]) for each in world.told()] == [("broken", "token-expired")]
    with pytest.raises(PageLost, match="token-expired"):
        world.turn()
    assert world.turn(TWO) == 0


def test_what_an_ad_alone_is_refused_for_parks_no_live_lead() -> None:
    world = World()
    world.refuse(AccessLost("permission", scope="page"))
    assert (world.told(), world.turn()) == ([], 0)


def test_a_page_that_pauses_holds_up_no_other_though_there_is_one_turn_at_a_time() -> None:
    world = World()
    world.refuse(OverBudget("business-limit", scope="page", regain_after=600))
    order: list[str] = []

    async def take(page: PageAccess) -> None:
        async with world.background.turn(page):
            order.append(page.page_id)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(take(ONE))
            group.create_task(take(TWO))

    asyncio.run(scenario())
    assert order == ["2", "1"]


def test_a_page_that_is_paused_while_it_waits_for_its_turn_goes_on_waiting() -> None:
    world = World()

    async def scenario() -> float:
        async with asyncio.TaskGroup() as group, world.background.turn(TWO):
            taken = group.create_task(take())
            await asyncio.sleep(0)
            await world.background.refused(ONE, OverBudget("business-limit", scope="page", regain_after=60))
        return taken.result()

    async def take() -> float:
        async with world.background.turn(ONE):
            return (world.now - NOW) / 1000

    assert asyncio.run(scenario()) == 60


def test_there_are_no_more_turns_at_a_time_than_there_may_be() -> None:
    world = World()
    open_, most = 0, 0

    async def take() -> None:
        nonlocal open_, most
        async with world.background.turn(ONE):
            open_ += 1
            most = max(most, open_)
            await asyncio.sleep(0)
            open_ -= 1

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(take())

    asyncio.run(scenario())
    assert most == 1


def test_a_single_ask_waits_out_pauses_and_silence() -> None:
    world = World([Unavailable("timeout"), OverBudget("business-limit", scope="page"), used(3)])
    answer = asyncio.run(world.background.form("616180339887499", ONE))
    assert answer.parsed == {}
    assert (world.asked, (world.now - NOW)) == (3, UNESTIMATED_MS)
    assert world.background.used["1"] == 3


def test_a_form_is_asked_for_with_the_page_of_its_leads_whose_turn_would_hold_up_others_else() -> None:
    world = World()

    async def scenario() -> tuple[int, float]:
        async with world.background.turn(ONE):
            await world.background.gave(ONE, used(80))
            await world.background.form("616180339887499", ONE)
        async with world.background.turn(TWO):
            return world.asked, world.now - NOW

    assert asyncio.run(scenario()) == (1, 0)
    assert world.turn() > 0, "its next leads go behind live ones"


def test_a_single_ask_tells_what_no_waiting_ends() -> None:
    with pytest.raises(Missing):
        asyncio.run(World([Missing("not-found")]).background.form("616180339887499", ONE))
