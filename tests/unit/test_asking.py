"""One call when it is quiet, batches under load, and none where none may be made."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import SecretStr

from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, OverBudget, Unavailable
from ingest.meta.graph import LEAD_FIELDS, REDUCED_LEAD_FIELDS, Answer, Usage
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, Record
from processors.access import AccessStates, Standing
from processors.asking import CALLS_PER_PAGE, Asking, Turned
from processors.governor import Governor
from tests.doubles import Broker

ONE = PageAccess(page_id="1", token=SecretStr("token of 1"))
TWO = PageAccess(page_id="2", token=SecretStr("token of 2"))
NOW = 1_795_000_000_000


class Meta:
    """Meta, slower than the loop; calls wait at a gate that a test may close, and some leads meet an error."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []  # the leads of each call
        self.errors: dict[str, GraphError] = {}  # by lead
        self.refusal: GraphError | None = None  # of whole calls
        self.slow: set[str] = set()  # pages whose calls wait at the gate
        self.gate = asyncio.Event()
        self.under_way = self.most_under_way = 0

    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
        [outcome] = await self._answer([(lead_id, page)])
        if isinstance(outcome, GraphError):
            raise outcome
        return outcome

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
    ) -> tuple[Answer | GraphError, ...]:
        return tuple(await self._answer(wanted))

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        return await self.lead(form_id, page, fields=())

    async def _answer(self, wanted: Sequence[tuple[str, PageAccess]]) -> list[Answer | GraphError]:
        self.calls.append([lead_id for lead_id, _ in wanted])
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if any(page.page_id in self.slow for _, page in wanted):
            await self.gate.wait()
        for _ in range(3):
            await asyncio.sleep(0)
        self.under_way -= 1
        if self.refusal is not None:
            raise self.refusal
        return [self.errors.get(lead_id) or answer(lead_id) for lead_id, _ in wanted]


def answer(lead_id: str) -> Answer:
    return Answer(body="{}", parsed={"id": lead_id}, version=None, usage=Usage())


class Desk:
    def __init__(self, concurrency: int = 8, meta: Meta | None = None) -> None:
        self.now = NOW
        self.meta = meta or Meta()
        self.broker = Broker()
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)
        self.pauses: list[float] = []
        self.asking = Asking(
            graph=self.meta,
            governor=self.governor,
            producer=self.broker,
            concurrency=concurrency,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def ask(self, lead_id: str, page: PageAccess = ONE, *, live: bool = True) -> "asyncio.Task[Answer]":
        return asyncio.create_task(self.asking.lead(lead_id, page, fields=LEAD_FIELDS, live=live))

    async def ask_all(self, leads: Sequence[str], page: PageAccess = ONE) -> list[Answer | BaseException]:
        return await asyncio.gather(*(self.ask(lead_id, page) for lead_id in leads), return_exceptions=True)


def many(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_one_lead_after_another_is_asked_for_alone() -> None:
    async def scenario() -> None:
        desk = Desk()
        for lead_id in many(5):
            assert (await desk.ask(lead_id)).parsed["id"] == lead_id
        assert desk.meta.calls == [["0"], ["1"], ["2"], ["3"], ["4"]]

    asyncio.run(scenario())


def test_under_load_leads_go_in_batches_each_with_its_own_answer() -> None:
    async def scenario() -> None:
        desk = Desk()
        answers = await desk.ask_all(many(501))
        assert [each.parsed["id"] for each in answers if isinstance(each, Answer)] == many(501)
        assert [len(call) for call in desk.meta.calls] == [1] + [50] * 10
        assert desk.meta.most_under_way <= CALLS_PER_PAGE

    asyncio.run(scenario())


def test_a_slow_page_makes_only_its_own_leads_wait() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.slow = {"1"}
        slow = [desk.ask(lead_id) for lead_id in many(300)]
        await settle()
        answers = await desk.ask_all(many(100), TWO)
        assert len(answers) == 100
        assert not any(task.done() for task in slow)
        desk.meta.gate.set()
        await asyncio.gather(*slow)

    asyncio.run(scenario())


def test_a_batch_that_is_too_much_as_a_whole_is_asked_for_one_by_one() -> None:
    class TooLarge(Meta):
        async def leads_batch(
            self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
        ) -> tuple[Answer | GraphError, ...]:
            raise BadAsk("too-large")

    async def scenario() -> None:
        desk = Desk(meta=TooLarge())
        answers = await desk.ask_all(many(20))
        assert all(isinstance(each, Answer) for each in answers)

    asyncio.run(scenario())


def test_an_item_that_was_left_out_costs_no_other_lead_its_answer() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.ask("first")
        desk.meta.errors["7"] = Unavailable("not-answered")
        answers = await desk.ask_all(many(20))
        assert [number for number, each in enumerate(answers) if isinstance(each, Unavailable)] == [7]

    asyncio.run(scenario())


def test_a_budget_that_runs_out_ends_all_further_calls_and_is_told_before_anybody_learns_it() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.ask("first")
        desk.meta.refusal = OverBudget("business-limit", scope="page", regain_after=120.0)
        answers = await desk.ask_all(many(1000))
        assert all(isinstance(each, Turned) and each.standing.until == NOW + 120_000 for each in answers)
        assert len(desk.meta.calls) <= 1 + CALLS_PER_PAGE
        assert len(desk.broker.on(ACCESS)) == 1
        calls = len(desk.meta.calls)
        desk.now += 119_000
        assert all(isinstance(each, Turned) for each in await desk.ask_all(many(10)))
        assert len(desk.meta.calls) == calls
        desk.now += 1_000
        desk.meta.refusal = None
        assert all(isinstance(each, Answer) for each in await desk.ask_all(many(10)))
        assert [len(call) for call in desk.meta.calls[calls:]] == [1, 9]  # the first one after a pause goes alone

    asyncio.run(scenario())


def test_the_first_call_with_a_dead_token_is_the_only_one() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.refusal = AccessLost("token-expired", scope="token")
        answers = await desk.ask_all(many(1000))
        assert all(isinstance(each, Turned) for each in answers)
        assert desk.meta.calls == [["0"]]

    asyncio.run(scenario())


def test_a_capability_that_one_field_may_lack_says_nothing_about_the_app() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.refusal = AccessLost("capability", scope="app")
        with pytest.raises(AccessLost):
            await desk.asking.lead("1", ONE, fields=LEAD_FIELDS)
        assert desk.states.standing(ONE).state == "open"
        with pytest.raises(Turned):
            await desk.asking.lead("1", ONE, fields=REDUCED_LEAD_FIELDS)
        assert desk.states.standing(ONE).state == "broken"

    asyncio.run(scenario())


def test_a_token_that_was_replaced_is_not_taken_for_dead_with_the_one_before() -> None:
    class OldIsDead(Meta):
        async def leads_batch(
            self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
        ) -> tuple[Answer | GraphError, ...]:
            answers = await super().leads_batch(wanted, fields=fields)
            if wanted[0][1] == ONE:  # the first one's token opens the batch
                raise AccessLost("token-expired", scope="token")
            return answers

    async def scenario() -> None:
        desk = Desk(meta=OldIsDead())
        await desk.ask("first")
        desk.meta.slow = {"1"}
        under_way = desk.ask("55")
        await settle()
        new = replace(ONE, token=SecretStr("new token"))
        old_ones = [desk.ask(lead_id, ONE) for lead_id in many(2)]
        new_ones = [desk.ask(lead_id, new) for lead_id in many(3)]
        await settle()
        desk.meta.gate.set()
        await under_way
        assert all(isinstance(each, Turned) for each in await asyncio.gather(*old_ones, return_exceptions=True))
        assert all(isinstance(each, Answer) for each in await asyncio.gather(*new_ones))
        assert desk.states.standing(new).state == "open"

    asyncio.run(scenario())


def test_live_leads_go_before_those_of_other_doors() -> None:
    async def scenario() -> None:
        desk = Desk(concurrency=1)
        desk.meta.slow = {"1"}
        first = desk.ask("first")
        await settle()
        background = [desk.ask(f"b{number}", live=False) for number in range(60)]
        live = [desk.ask(f"l{number}") for number in range(60)]
        await settle()
        desk.meta.gate.set()
        await asyncio.gather(first, *background, *live)
        _, one, two, three = desk.meta.calls
        assert one == [f"l{number}" for number in range(50)]
        assert two[:10] == [f"l{number}" for number in range(50, 60)]
        assert len(two) == 50
        assert len(three) == 20

    asyncio.run(scenario())


def test_a_record_that_was_given_to_another_worker_is_not_asked_for() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.slow = {"1"}
        first = desk.ask("first")
        await settle()
        given_away = desk.ask("given away")
        kept = desk.ask("kept")
        await settle()
        given_away.cancel()
        desk.meta.gate.set()
        await asyncio.gather(first, kept)
        assert desk.meta.calls == [["first"], ["kept"]]

    asyncio.run(scenario())


def test_news_are_told_though_the_record_that_brought_them_was_given_to_another_worker() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.governor.missed(ONE, "1")
        telling = asyncio.create_task(desk.asking.tell())
        await asyncio.sleep(0)
        telling.cancel()
        await settle()
        assert len(desk.broker.on(ACCESS)) == 1

    asyncio.run(scenario())


def test_a_form_is_not_asked_for_while_its_page_is_paused() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.refusal = OverBudget("business-limit", scope="page", regain_after=60.0)
        for _ in range(2):
            with pytest.raises(Turned):
                await desk.asking.form("9", ONE)
        assert desk.meta.calls == [["9"]]

    asyncio.run(scenario())


@pytest.mark.parametrize(("concurrency", "calls"), [(8, CALLS_PER_PAGE), (64, CALLS_PER_PAGE), (256, 8)])
def test_a_page_has_a_few_calls_under_way_and_more_where_many_may_be(concurrency: int, calls: int) -> None:
    async def scenario() -> None:
        desk = Desk(concurrency)
        await desk.ask("1")
        desk.meta.slow = {"1"}
        leads = [desk.ask(lead_id) for lead_id in many(1000)]
        await settle()
        assert desk.meta.under_way == calls
        desk.meta.gate.set()
        await asyncio.gather(*leads)

    asyncio.run(scenario())


def test_a_page_with_many_slow_forms_leaves_slots_for_the_others() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.slow = {"1"}
        forms = [asyncio.create_task(desk.asking.form(form_id, ONE)) for form_id in many(20)]
        await settle()
        assert desk.meta.under_way == CALLS_PER_PAGE
        async with asyncio.timeout(1):
            await desk.ask("55", TWO)
        desk.meta.gate.set()
        await asyncio.gather(*forms)

    asyncio.run(scenario())


def test_while_nobody_is_answered_a_page_is_asked_once_a_second_however_many_leads_wait() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.refusal = Unavailable("server-error")
        await desk.ask_all(many(3))  # three leads in vain: nobody is answered
        assert (desk.governor.silent, desk.pauses) == (True, [])
        await desk.ask_all(many(20))
        assert desk.pauses == [1.0] * 20
        assert desk.meta.most_under_way == 1

    asyncio.run(scenario())


def test_in_a_storm_there_is_one_call_at_a_time_for_one_lead_further_and_further_apart() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.refusal = Unavailable("timeout")
        for _ in range(32):
            await desk.ask_all(many(3), ONE)
            await desk.ask_all(many(3), TWO)
            desk.now += 1000
        assert desk.governor.storm
        desk.meta.calls.clear()
        desk.meta.most_under_way = 0
        await asyncio.gather(desk.ask_all(many(3), ONE), desk.ask_all(many(3), TWO))
        assert [len(call) for call in desk.meta.calls] == [1] * 6
        assert desk.meta.most_under_way == 1
        assert desk.pauses == sorted(desk.pauses)
        assert max(desk.pauses) == 30.0

        desk.meta.refusal = None
        await asyncio.gather(desk.ask_all(many(30), ONE), desk.ask_all(many(30), TWO))
        assert not desk.governor.storm

    asyncio.run(scenario())


def test_a_storm_is_over_when_meta_refuses_and_what_may_not_be_asked_waits_for_no_probe() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.governor.storm = True
        desk.meta.refusal = AccessLost("token-expired", scope="token")
        assert all(isinstance(each, Turned) for each in await desk.ask_all(many(30)))
        assert not desk.governor.storm
        assert desk.meta.calls == [["0"]]
        assert desk.pauses == [1.0]
        desk.governor.storm = True
        assert all(isinstance(each, Turned) for each in await desk.ask_all(many(30)))
        assert desk.pauses == [1.0]

    asyncio.run(scenario())


def test_after_a_storm_a_slow_page_makes_only_its_own_leads_wait() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.governor.storm = True
        pages = [PageAccess(page_id=str(number), token=SecretStr(f"token of {number}")) for number in range(10)]
        desk.meta.slow = {"3"}
        asked = [desk.ask("55", page) for page in pages]
        await settle()
        assert not desk.governor.storm
        assert [number for number, task in enumerate(asked) if not task.done()] == [3]
        desk.meta.gate.set()
        await asyncio.gather(*asked)

    asyncio.run(scenario())


def test_a_defect_reaches_the_records_that_met_it() -> None:
    class Broken(Meta):
        async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
            raise ZeroDivisionError

    async def scenario() -> None:
        desk = Desk()
        asking = Asking(graph=Broken(), governor=desk.governor, producer=desk.broker, concurrency=1)
        with pytest.raises(ZeroDivisionError):
            await asking.lead("1", ONE, fields=LEAD_FIELDS)

    asyncio.run(scenario())


def test_a_defect_while_it_is_decided_who_may_be_asked_reaches_the_records_too() -> None:
    class Broken(Governor):
        def standing(self, page: PageAccess, *, live: bool = True) -> Standing:
            raise ZeroDivisionError

    async def scenario() -> None:
        desk = Desk()
        governor = Broken(desk.states, clock=lambda: desk.now, quiet_ms=60_000)
        asking = Asking(graph=desk.meta, governor=governor, producer=desk.broker, concurrency=1)
        async with asyncio.timeout(1):
            with pytest.raises(ZeroDivisionError):
                await asking.lead("1", ONE, fields=LEAD_FIELDS)

    asyncio.run(scenario())


def test_news_reach_the_topic_in_the_order_in_which_they_were_decided() -> None:
    class Slower(Broker):
        """The first record takes longer than the second."""

        async def deliver(self, records: Sequence[Record]) -> None:
            for _ in range(10 if records[0].key == b"page:1" else 0):
                await asyncio.sleep(0)
            await super().deliver(records)

    async def scenario() -> None:
        desk, broker = Desk(), Slower()
        asking = Asking(graph=desk.meta, governor=desk.governor, producer=broker, concurrency=1)
        tellings = []
        for page in (ONE, TWO):
            desk.governor.missed(page, "55")
            tellings.append(asyncio.create_task(asking.tell()))
            await asyncio.sleep(0)
        await asyncio.gather(*tellings)
        assert [record.key for record in broker.on(ACCESS)] == [b"page:1", b"page:2"]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [OverBudget("page-limit", scope="page", regain_after=60.0), Blocked("blocked")])
def test_what_a_form_met_is_told_before_its_lead_learns_it(error: GraphError) -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.meta.refusal = error
        with pytest.raises(Turned):
            await desk.asking.form("9", ONE)
        assert len(desk.broker.on(ACCESS)) == 1

    asyncio.run(scenario())


def test_a_form_that_is_given_does_not_end_the_doubt_on_its_page() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.governor.missed(ONE, "55")
        await desk.asking.form("9", ONE)
        assert desk.states.standing(ONE).state == "doubtful"

    asyncio.run(scenario())
