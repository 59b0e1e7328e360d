"""What cannot be read now waits where it holds up nobody, and comes to an end of its own."""

import asyncio
import heapq
import json
from collections.abc import Iterator, Sequence

import pytest
import stamina
from pydantic import SecretStr

from ingest.meta.errors import AccessLost, Missing, OverBudget, Unavailable
from ingest.meta.graph import Snapshot, Usage
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, DEAD, DETAILS, FATES, PARKED, RETRY, header
from processors.access import Standing
from processors.asking import Turned
from processors.form_history import Given
from tests.fetching import (
    NOW,
    PAGE,
    ManyTokens,
    NoForms,
    Tokens,
    Worker,
    came_back,
    notified,
)


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end, and fewer stay as they are."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


MISSING = [Missing("not-found", code=100, subcode=33) for _ in range(50)]


def test_a_lead_that_is_there_a_moment_later_is_fetched() -> None:
    broker = Worker(MISSING[0]).run(notified())
    assert [record.topic for record in broker.records] == [DETAILS]


def test_a_lead_that_is_not_there_is_parked_alone_and_its_page_is_in_doubt() -> None:
    worker = Worker(*MISSING[:6])
    [parked] = worker.run(notified()).on(PARKED)
    assert header(parked.headers, "fate-reason") == "not-found"
    assert worker.fates() == [("parked", "not-found")]
    [doubt] = worker.broker.on(ACCESS)
    assert doubt.key == b"page:153125381133"
    assert json.loads(doubt.value or b"")["state"] == "doubtful"


def test_a_lead_that_comes_back_and_is_still_not_there_is_dead_when_another_of_its_page_was_read_since() -> None:
    worker = Worker(*MISSING[:6])
    [parked] = worker.run(notified(7)).on(PARKED)
    worker.now += 1000
    worker.run(notified(8, lead_id="123"))
    assert json.loads(worker.broker.on(ACCESS)[-1].value or b"")["state"] == "open"
    worker.meta.errors = [MISSING[0]]
    worker.run(came_back(parked))
    [dead] = worker.broker.on(DEAD)
    assert header(dead.headers, "fate-reason") == "not-found"
    assert dead.value == notified(7).value


def test_a_lead_that_is_not_there_while_another_of_its_page_is_read_brings_no_doubt_on_the_page() -> None:
    worker = Worker(*MISSING[:6])

    async def scenario() -> None:
        missing = asyncio.create_task(worker.step.run(notified(7)))
        await asyncio.sleep(0)
        worker.now += 1
        worker.governor.answered(PAGE, Usage())
        await missing

    asyncio.run(scenario())
    [parked] = worker.broker.on(PARKED)
    assert worker.broker.on(ACCESS) == []
    worker.meta.errors = [MISSING[0]]
    worker.run(came_back(parked))
    assert len(worker.broker.on(DEAD)) == 1


def test_a_lead_that_comes_back_and_is_still_not_there_is_parked_again_while_nothing_of_its_page_was_read() -> None:
    worker = Worker(*MISSING[:7])
    [parked] = worker.run(notified(7)).on(PARKED)
    worker.run(came_back(parked))
    assert len(worker.broker.on(PARKED)) == 2
    assert not worker.broker.on(DEAD)


def test_a_lead_that_failed_of_something_else_before_is_dead_only_by_what_was_read_since_it_was_missing() -> None:
    worker = Worker(*(Unavailable("timeout") for _ in range(5)))
    worker.run(notified(7))
    [waiting] = worker.broker.on(RETRY[0])
    worker.now += 1000
    worker.run(notified(8, lead_id="123"))
    worker.now += 60_000
    worker.meta.errors = [*MISSING[:7]]
    worker.run(came_back(waiting))
    assert worker.states.standing(PAGE).state == "doubtful"
    [parked] = worker.broker.on(PARKED)
    worker.run(came_back(parked))
    assert not worker.broker.on(DEAD)
    worker.now += 1000
    worker.run(notified(9, lead_id="124"))
    worker.meta.errors = [MISSING[0]]
    worker.run(came_back(worker.broker.on(PARKED)[-1]))
    assert len(worker.broker.on(DEAD)) == 1


def test_a_lead_past_metas_ninety_days_is_dead_at_once() -> None:
    broker = Worker(*MISSING).run(notified(created_time=NOW // 1000 - 91 * 86400))
    [dead] = broker.on(DEAD)
    assert header(dead.headers, "fate-reason") == "expired"


def test_five_leads_in_a_row_that_are_not_there_are_a_page_that_may_not_be_read() -> None:
    worker = Worker(*MISSING)
    worker.run(*(notified(number, lead_id=str(1000 + number)) for number in range(7)))
    assert worker.states.standing(PAGE).state == "broken"
    assert len(worker.meta.asked) == 5 * 6  # the last two leads were parked without a call
    assert len(worker.broker.on(PARKED)) == 7


def test_what_goes_unanswered_climbs_the_ladder_and_is_parked_at_its_end() -> None:
    worker = Worker(*(Unavailable("timeout") for _ in range(100)))
    record = notified()
    for topic, attempt in zip(RETRY, ("2", "3", "4"), strict=True):
        worker.run(record)
        waiting = worker.broker.records[-2]
        assert (waiting.topic, header(waiting.headers, "attempt")) == (topic, attempt)
        assert (waiting.key, waiting.value) == (record.key, record.value)
        record = came_back(waiting)
        worker.now += 3_600_000  # the page was left alone meanwhile
    worker.run(record)
    [parked] = worker.broker.on(PARKED)
    assert header(parked.headers, "fate-reason") == "exhausted"
    assert header(parked.headers, "origin") == "2@7"
    assert worker.fates() == [("waiting", "timeout")] * 3 + [("parked", "exhausted")]


def test_a_used_up_budget_puts_leads_on_the_rung_that_is_not_longer_and_asks_nothing_more() -> None:
    worker = Worker(OverBudget("business-limit", scope="page", regain_after=900.0))
    worker.run(notified(7), notified(8, lead_id="124"))
    assert [record.topic for record in worker.broker.on(RETRY[1])] == [RETRY[1]] * 2
    assert {header(record.headers, "attempt") for record in worker.broker.on(RETRY[1])} == {"1"}
    assert len(worker.meta.asked) == 1
    [paused] = worker.broker.on(ACCESS)
    assert json.loads(paused.value or b"")["until"] == NOW + 900_000


def test_a_pause_shorter_than_the_first_rung_is_sat_out_by_a_quarter_of_the_window_and_no_more() -> None:
    worker = Worker(OverBudget("business-limit", scope="page", regain_after=40.0))

    async def scenario() -> None:
        leads = [asyncio.create_task(worker.step.run(notified(number, lead_id=str(number)))) for number in range(1, 7)]
        await asyncio.wait(leads[2:])  # a quarter of a window of eight is two
        assert not any(lead.done() for lead in leads[:2])
        worker.now += 40_000
        worker.over.set()
        await asyncio.gather(*leads)

    asyncio.run(scenario())
    assert worker.paused == [40.0, 40.0]
    assert {record.key for record in worker.broker.on(DETAILS)} == {b"1", b"2"}
    assert len(worker.broker.on(RETRY[0])) == 4


def test_pages_that_sit_out_their_pauses_leave_half_of_the_window_to_the_others() -> None:
    pages = [PageAccess(page_id=str(number), token=SecretStr(f"token of {number}")) for number in range(8)]
    worker = Worker(tokens=ManyTokens(pages))
    for page in pages:
        worker.governor.refused(page, OverBudget("business-limit", scope="page", regain_after=40.0), "55")

    async def scenario() -> None:
        leads = [
            asyncio.create_task(worker.step.run(notified(number, lead_id=str(1 + number), page_id=number)))
            for number in range(1, 8)
        ]
        await asyncio.wait(leads[4:])
        assert not any(lead.done() for lead in leads[:4])
        worker.now += 40_000
        worker.over.set()
        await asyncio.gather(*leads)

    asyncio.run(scenario())
    assert len(worker.broker.on(RETRY[0])) == 3


def test_an_hours_pause_is_one_call_and_every_lead_comes_back_after_it() -> None:
    """A hundred leads go round the ladder, each record forwarded when it is due and not asked for before its time."""
    worker = Worker(OverBudget("business-limit", scope="page", regain_after=3600.0))
    worker.over.set()  # a pause in place passes at once, and moves the clock
    delays = dict(zip(RETRY, (60, 600, 3600), strict=True))
    due = [(NOW + number * 10, number, notified(number, lead_id=str(number))) for number in range(1, 101)]
    turns = fetched = 0
    while due:
        at, number, received = heapq.heappop(due)
        worker.now = max(worker.now, at)
        worker.run(received)
        turns += 1
        for record in worker.broker.records:
            if record.topic in delays:
                heapq.heappush(due, (worker.now + delays[record.topic] * 1000, number, came_back(record)))
        if worker.now < NOW + 3_600_000:
            assert len(worker.meta.asked) == 1
        fetched += len(worker.broker.on(DETAILS))
        worker.broker.records.clear()
    assert fetched == 100
    assert len(worker.meta.asked) == 101
    assert NOW + 3_600_000 <= worker.now < NOW + 3_600_000 + 60_000
    assert turns < 100 * 18  # ten minutes at a time, then one


OTHER = PageAccess(page_id="9", token=SecretStr("token of another page"))


@pytest.mark.parametrize(("others", "beside"), [((OTHER,), 3), ((), 0)], ids=["of two pages", "the only page"])
def test_a_slow_page_keeps_to_a_quarter_of_the_window_where_there_are_others(
    others: Sequence[PageAccess], beside: int
) -> None:
    worker = Worker(tokens=Tokens(others=others))
    worker.meta.gate = gate = asyncio.Event()

    async def scenario() -> None:
        first = [asyncio.create_task(worker.step.run(notified(number, lead_id=str(number)))) for number in range(1, 4)]
        await asyncio.sleep(0)
        worker.now += 9_999  # not slow yet
        first.append(asyncio.create_task(worker.step.run(notified(4, lead_id="4"))))
        await asyncio.sleep(0)
        worker.now += 1
        rest = [asyncio.create_task(worker.step.run(notified(number, lead_id=str(number)))) for number in range(5, 8)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert sum(task.done() for task in rest) == beside
        assert not any(task.done() for task in first)
        gate.set()
        await asyncio.gather(*first, *rest)

    asyncio.run(scenario())
    assert len(worker.broker.on(DETAILS)) == 7 - beside
    assert [header(record.headers, "fate-reason") for record in worker.broker.on(RETRY[0])] == ["crowded"] * beside


def test_a_dead_token_parks_its_pages_leads_with_one_call() -> None:
    worker = Worker(AccessLost("token-expired", scope="token", code=190))
    worker.run(notified(7), notified(8, lead_id="124"))
    assert worker.fates() == [("parked", "token-expired")] * 2
    assert len(worker.meta.asked) == 1
    [broken] = worker.broker.on(ACCESS)
    assert broken.key is not None
    assert broken.key.startswith(b"token:")
    assert PAGE.token.get_secret_value().encode() not in broken.key


def test_a_capability_that_is_missing_for_every_field_parks() -> None:
    worker = Worker(*(AccessLost("capability", scope="app", code=3) for _ in range(2)))
    worker.run(notified())
    assert worker.fates() == [("parked", "capability")]
    assert len(worker.meta.asked) == 2


def test_a_page_without_a_token_is_parked_and_nothing_is_asked() -> None:
    worker = Worker(tokens=Tokens(None))
    worker.run(notified())
    assert worker.fates() == [("parked", "no-token")]
    assert worker.meta.asked == []


def test_a_form_that_meets_the_end_of_a_budget_sends_the_lead_round_again() -> None:
    """Its labels are worth a pause, and the answer would be asked for again anyway."""

    class Refused(NoForms):
        async def get(self, form_id: str, page: PageAccess, given: Given) -> Snapshot | None:
            raise Turned(Standing(state="paused", until=NOW + 700_000, reason="business-limit"))

    worker = Worker(forms=Refused())
    worker.run(notified())
    assert [record.topic for record in worker.broker.records] == [RETRY[1], FATES]
