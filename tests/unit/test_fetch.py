"""A notification becomes whole details, or its one other fate, and nothing is done before it is acknowledged."""

import asyncio
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import stamina
from pydantic import SecretStr

from ingest.codec import Codec
from ingest.kafka import NotAcknowledged
from ingest.meta.errors import AccessLost, BadAsk, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import LEAD_FIELDS, Answer, Snapshot, Usage
from ingest.meta.pages import PageAccess
from ingest.records import ACCESS, AGAIN, DEAD, DETAILS, FATES, PARKED, RAW, RETRY, Received, Record, header
from processors.access import AccessStates, Standing
from processors.asking import Asking, Turned
from processors.failures import Ladder
from processors.fetch import Fetch
from processors.governor import Governor
from processors.limit import Limit
from processors.recent import RecentLeads
from schemas.shapes import LeadDetails
from tests.doubles import Broker

PAGE = PageAccess(page_id="153125381133", token=SecretStr("token-of-the-page"))
LEAD = "55459717045641545"
FORM = "12312312312"
NOW = 1_795_000_000_000


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end, and fewer stay as they are."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


class Meta:
    """Meta, with the errors it gives before it answers."""

    def __init__(self, *errors: GraphError) -> None:
        self.errors = list(errors)
        self.asked: list[Sequence[str]] = []
        self.gate: asyncio.Event | None = None

    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
        self.asked.append(fields)
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        body = f'{{"id": "{lead_id}",  "form_id":"{FORM}"}}'
        return Answer(body=body, parsed=json.loads(body), version="v25.0", usage=Usage())

    async def leads_batch(
        self, wanted: Sequence[tuple[str, PageAccess]], *, fields: Sequence[str]
    ) -> tuple[Answer | GraphError, ...]:
        return tuple([await self.lead(lead_id, page, fields=fields) for lead_id, page in wanted])

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        raise AssertionError("forms have a double of their own")


class NoForms:
    async def get(self, form_id: str, page: PageAccess) -> Snapshot | None:
        return None


class OneForm:
    async def get(self, form_id: str, page: PageAccess) -> Snapshot | None:
        return Snapshot(text='{"id":"1"}', version="v" * 64)


class Tokens:
    def __init__(self, page: PageAccess | None = PAGE, others: Sequence[PageAccess] = ()) -> None:
        self.page = page
        self.others = others

    def get(self, page_id: str) -> PageAccess | None:
        return self.page

    def all(self) -> Sequence[PageAccess]:
        return [PAGE, *self.others]


class ManyTokens(Tokens):
    def __init__(self, pages: Sequence[PageAccess]) -> None:
        self.pages = {page.page_id: page for page in pages}

    def get(self, page_id: str) -> PageAccess | None:
        return self.pages.get(page_id)

    def all(self) -> Sequence[PageAccess]:
        return list(self.pages.values())


CODEC: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)


class Worker:
    """A step with all that decides, over a Meta and a broker that are doubles, and a clock that the test moves."""

    def __init__(
        self,
        *errors: GraphError,
        tokens: Tokens | None = None,
        forms: NoForms | OneForm | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.now = NOW
        self.fetched = 0
        self.paused: list[float] = []
        self.over = asyncio.Event()  # a pause
        self.broker = broker or Broker()
        self.meta = Meta(*errors)
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)
        self.step = Fetch(
            asking=Asking(graph=self.meta, governor=self.governor, producer=self.broker, concurrency=4),
            governor=self.governor,
            pages=tokens or Tokens(),
            forms=forms or NoForms(),
            producer=self.broker,
            codec=CODEC,
            recent=RecentLeads(size=10, seconds=60, clock=lambda: 0.0),
            ladder=Ladder(delays=(60.0, 600.0, 3600.0)),
            limit=Limit(worker="fetch", per_minute=100, clock=lambda: 0.0),
            window=8,
            clock=lambda: self.now,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        if self.over.is_set():
            self.now += round(seconds * 1000)
        await self.over.wait()

    def run(self, *records: Received) -> Broker:
        async def scenario() -> None:
            for record in records:
                await self.step.run(record)

        asyncio.run(scenario())
        return self.broker

    def fates(self) -> list[tuple[str, str]]:
        told = [json.loads(record.value) for record in self.broker.on(FATES) if record.value is not None]
        return [(fate["fate"], fate["reason"]) for fate in told]


def notified(
    offset: int = 7, *, topic: str = RAW, lead_id: object = LEAD, created_time: int = NOW // 1000, **more: object
) -> Received:
    value = {"leadgen_id": lead_id, "page_id": 153125381133, "form_id": FORM, "created_time": created_time} | more
    return Received(
        topic=topic,
        partition=2,
        offset=offset,
        key=b"153125381133",
        value=json.dumps({"field": "leadgen", "value": value}).encode(),
        headers=(("source", b"webhook"), ("delivery", b"d-1"), ("received-at", str(NOW).encode()), ("entry-id", b"1")),
        timestamp=NOW,
    )


def came_back(record: Record) -> Received:
    """A record that waited, as `work fetch` reads it again."""
    return Received(
        topic=AGAIN, partition=0, offset=3, key=record.key, value=record.value, headers=record.headers, timestamp=NOW
    )


def test_a_lead_becomes_details_with_metas_answer_untouched() -> None:
    broker = Worker(forms=OneForm()).run(notified())

    [record] = broker.records
    assert (record.topic, record.key) == (DETAILS, LEAD.encode())
    assert record.value is not None
    details = CODEC.decode(record.value)
    assert details["answer"] == f'{{"id": "{LEAD}",  "form_id":"{FORM}"}}'
    assert details["form_version"] == "v" * 64
    assert details["completeness"] == "FULL"
    assert details["form_id"] == FORM
    assert json.loads(details["change"] or "")["leadgen_id"] == LEAD
    assert dict(record.headers) == {
        "origin": b"2@7",
        "source": b"webhook",
        "delivery": b"d-1",
        "received-at": str(NOW).encode(),
    }


@pytest.mark.parametrize("said", [b"9" * 20, b"9" * 5000, "²".encode(), b"-1", b"soon"])
def test_a_time_that_somebody_else_wrote_costs_no_lead(said: bytes) -> None:
    record = notified()
    strange = replace(record, headers=(*record.headers, ("received-at", said)))  # the last one counts
    [details] = Worker().run(strange).on(DETAILS)
    assert CODEC.decode(details.value or b"")["received_at"] is None


def test_an_id_beyond_2_to_the_53_arrives_whole() -> None:
    broker = Worker().run(notified(lead_id=55459717045641545))
    assert [record.key for record in broker.records] == [b"55459717045641545"]


@pytest.mark.parametrize(
    "error",
    [BadAsk("bad-field", code=100), AccessLost("capability", scope="app", code=3)],
    ids=["#100", "#3, seen for post_submission_check_result"],
)
def test_a_field_that_may_not_be_read_costs_that_field_and_not_the_lead(error: GraphError) -> None:
    worker = Worker(error)
    [record] = worker.run(notified()).on(DETAILS)
    assert record.value is not None
    details = CODEC.decode(record.value)
    assert details["completeness"] == "REDUCED"
    assert "ad_name" in details["missing_fields"]
    assert set(details["missing_fields"]) | set(worker.meta.asked[1]) == set(LEAD_FIELDS)


def test_an_ask_that_is_wrong_in_itself_is_dead_lettered_with_its_bytes_untouched() -> None:
    received = notified()
    broker = Worker(BadAsk("bad-ask", code=2500), BadAsk("bad-ask", code=2500)).run(received)

    [dead] = broker.on(DEAD)
    [fate] = broker.on(FATES)
    assert (dead.key, dead.value) == (received.key, received.value)
    told = {name: header(dead.headers, name) for name in ("stage", "fate-reason", "origin", "__connect.errors.offset")}
    assert told == {"stage": "fetch", "fate-reason": "bad-ask", "origin": "2@7", "__connect.errors.offset": "7"}
    assert fate.key == b"fetch/2@7"
    assert fate.value is not None
    assert json.loads(fate.value)["fate"] == "dead"
    assert not broker.on(DETAILS)


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
    turns = 0
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
        worker.fetched += len(worker.broker.on(DETAILS))
        worker.broker.records.clear()
    assert worker.fetched == 100
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
        async def get(self, form_id: str, page: PageAccess) -> Snapshot | None:
            raise Turned(Standing(state="paused", until=NOW + 700_000, reason="business-limit"))

    worker = Worker(forms=Refused())
    worker.run(notified())
    assert [record.topic for record in worker.broker.records] == [RETRY[1], FATES]


def test_what_came_back_and_is_fetched_says_so() -> None:
    worker = Worker()
    worker.run(notified(7, topic=AGAIN))
    assert worker.fates() == [("fetched", "answered")]


def test_the_dashboards_sample_is_skipped_without_a_call() -> None:
    worker = Worker()
    [fate] = worker.run(notified(lead_id="444444444444", page_id="444444444444")).records
    assert fate.value is not None
    assert {name: json.loads(fate.value)[name] for name in ("fate", "reason")} == {
        "fate": "skipped",
        "reason": "sample",
    }
    assert worker.meta.asked == []


def test_metas_repeat_of_a_lead_is_told_as_a_duplicate_and_costs_no_call() -> None:
    worker = Worker()
    broker = worker.run(notified(7), notified(8))
    assert len(broker.on(DETAILS)) == 1
    assert [record.key for record in broker.on(FATES)] == [b"fetch/2@8"]
    assert len(worker.meta.asked) == 1


def test_the_same_record_read_again_is_fetched_again() -> None:
    """After a rebalance a record may be read twice; told as its own duplicate, it would lose its outcome."""
    broker = Worker().run(notified(7), notified(7))
    assert len(broker.on(DETAILS)) == 2
    assert broker.on(FATES) == []


def test_a_record_that_comes_back_is_never_suppressed() -> None:
    broker = Worker().run(notified(7), notified(0, topic=AGAIN))
    assert len(broker.on(DETAILS)) == 2


def test_a_lead_is_remembered_only_once_the_broker_has_its_details() -> None:
    worker = Worker()
    broker, step = worker.broker, worker.step
    broker.refusals = 100

    async def scenario() -> None:
        with pytest.raises(NotAcknowledged):
            await step.run(notified(7))
        broker.refusals = 0
        await step.run(notified(8))

    asyncio.run(scenario())
    assert len(broker.on(DETAILS)) == 1


def test_a_broker_that_is_away_is_waited_for() -> None:
    broker = Worker(broker=Broker(refusals=5)).run(notified())
    assert len(broker.on(DETAILS)) == 1


def test_details_that_kafka_never_takes_are_a_dead_letter() -> None:
    broker = Worker(broker=Broker(too_large=DETAILS)).run(notified())
    [dead] = broker.on(DEAD)
    assert header(dead.headers, "fate-reason") == "unacceptable"
    assert broker.tries == 2  # the details, which were not tried again, and the dead letter


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe not JSON", "not-json"),
        (b'{"field":"leadgen","value":{}}', "lead-id-missing"),
        (b'{"field":"leadgen","value":{"leadgen_id":1.5}}', "lead-id-not-an-id"),
        (None, "not-json"),
    ],
)
def test_an_unreadable_record_is_dead_with_its_bytes_untouched(value: bytes | None, reason: str) -> None:
    received = Received(topic=RAW, partition=0, offset=1, key=b"153125381133", value=value, headers=(), timestamp=NOW)
    [dead] = Worker().run(received).on(DEAD)
    assert dead.value == value
    assert header(dead.headers, "fate-reason") == reason


def test_records_of_one_lead_have_one_key_and_unreadable_ones_their_own() -> None:
    step = Worker().step
    unreadable = Received(topic=RAW, partition=0, offset=1, key=None, value=b"", headers=(), timestamp=NOW)
    assert step.key(notified(1)) == step.key(notified(2, topic=AGAIN)) == LEAD
    assert step.key(unreadable) == (0, 1)
