"""A notification becomes whole details, or its one other fate, and nothing is done before it is acknowledged."""

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest
import stamina
from pydantic import SecretStr

from ingest.codec import Codec
from ingest.kafka import NotAcknowledged
from ingest.meta.errors import AccessLost, BadAsk, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import LEAD_FIELDS, Answer, Snapshot, Usage
from ingest.meta.pages import PageAccess
from ingest.records import AGAIN, DEAD, DETAILS, FATES, RAW, Received, header
from processors.fetch import Fetch
from processors.recent import RecentLeads
from schemas.shapes import LeadDetails
from tests.doubles import Broker

PAGE = PageAccess(page_id="153125381133", token=SecretStr("token-of-the-page"))
LEAD = "55459717045641545"
FORM = "12312312312"
NOW = 1_795_000_000_000


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end."""
    with stamina.set_testing(True, attempts=10):
        yield


class Meta:
    """Meta, with the errors it gives before it answers."""

    def __init__(self, *errors: GraphError) -> None:
        self.errors = list(errors)
        self.asked: list[Sequence[str]] = []

    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer:
        self.asked.append(fields)
        if self.errors:
            raise self.errors.pop(0)
        body = f'{{"id": "{lead_id}",  "form_id":"{FORM}"}}'
        return Answer(body=body, parsed=json.loads(body), version="v25.0", usage=Usage())


class NoForms:
    async def get(self, form_id: str, page: PageAccess) -> Snapshot | None:
        return None


class OneForm:
    async def get(self, form_id: str, page: PageAccess) -> Snapshot | None:
        return Snapshot(text='{"id":"1"}', version="v" * 64)


class Tokens:
    def __init__(self, page: PageAccess | None = PAGE) -> None:
        self.page = page

    def get(self, page_id: str) -> PageAccess | None:
        return self.page


CODEC: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)


def fetch(broker: Broker, meta: Meta, *, tokens: Tokens | None = None, forms: NoForms | OneForm | None = None) -> Fetch:
    return Fetch(
        graph=meta,
        pages=tokens or Tokens(),
        forms=forms or NoForms(),
        producer=broker,
        codec=CODEC,
        recent=RecentLeads(size=10, seconds=60, clock=lambda: 0.0),
        concurrency=4,
        clock=lambda: NOW,
    )


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


def run(step: Fetch, *records: Received) -> None:
    async def scenario() -> None:
        for record in records:
            await step.run(record)

    asyncio.run(scenario())


def test_a_lead_becomes_details_with_metas_answer_untouched() -> None:
    broker = Broker()
    run(fetch(broker, Meta(), forms=OneForm()), notified())

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


def test_an_id_beyond_2_to_the_53_arrives_whole() -> None:
    broker = Broker()
    run(fetch(broker, Meta()), notified(lead_id=55459717045641545))
    assert [record.key for record in broker.records] == [b"55459717045641545"]


@pytest.mark.parametrize(
    "error",
    [BadAsk("bad-field", code=100), AccessLost("capability", scope="app", code=3)],
    ids=["#100", "#3, seen for post_submission_check_result"],
)
def test_a_field_that_may_not_be_read_costs_that_field_and_not_the_lead(error: GraphError) -> None:
    broker, meta = Broker(), Meta(error)
    run(fetch(broker, meta), notified())

    [record] = broker.on(DETAILS)
    assert record.value is not None
    details = CODEC.decode(record.value)
    assert details["completeness"] == "REDUCED"
    assert "ad_name" in details["missing_fields"]
    assert set(details["missing_fields"]) | set(meta.asked[1]) == set(LEAD_FIELDS)


def test_an_ask_that_is_wrong_in_itself_is_dead_lettered_with_its_bytes_untouched() -> None:
    broker = Broker()
    received = notified()
    run(fetch(broker, Meta(BadAsk("bad-ask", code=2500), BadAsk("bad-ask", code=2500))), received)

    [dead] = broker.on(DEAD)
    [fate] = broker.on(FATES)
    assert (dead.key, dead.value) == (received.key, received.value)
    told = {name: header(dead.headers, name) for name in ("stage", "fate-reason", "origin", "__connect.errors.offset")}
    assert told == {"stage": "fetch", "fate-reason": "bad-ask", "origin": "2@7", "__connect.errors.offset": "7"}
    assert fate.key == b"fetch/2@7"
    assert fate.value is not None
    assert json.loads(fate.value)["fate"] == "dead"
    assert not broker.on(DETAILS)


@pytest.mark.parametrize(
    ("submitted_days_ago", "reason"), [(1, "not-found"), (91, "expired")], ids=["of yesterday", "of last quarter"]
)
def test_a_lead_that_is_never_there_is_dead_and_says_why(submitted_days_ago: int, reason: str) -> None:
    broker = Broker()
    missing = [Missing("not-found", code=100, subcode=33) for _ in range(50)]
    run(fetch(broker, Meta(*missing)), notified(created_time=NOW // 1000 - submitted_days_ago * 86400))
    [dead] = broker.on(DEAD)
    assert header(dead.headers, "fate-reason") == reason


def test_a_lead_that_is_there_a_moment_later_is_fetched() -> None:
    broker = Broker()
    run(fetch(broker, Meta(Missing("not-found", code=100, subcode=33))), notified())
    assert [record.topic for record in broker.records] == [DETAILS]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("timeout"),
        OverBudget("business-limit", scope="page", regain_after=60.0),
        AccessLost("token-expired", scope="token", code=190),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_that_is_not_the_records_is_waited_out(error: GraphError) -> None:
    broker, meta = Broker(), Meta(error, error, error)
    run(fetch(broker, meta), notified())
    assert [record.topic for record in broker.records] == [DETAILS]
    assert len(meta.asked) == 4


def test_a_capability_that_is_missing_for_every_field_is_waited_out() -> None:
    broker, meta = Broker(), Meta(*(AccessLost("capability", scope="app", code=3) for _ in range(4)))
    run(fetch(broker, meta), notified())
    assert [record.topic for record in broker.records] == [DETAILS]


def test_a_page_without_a_token_waits_for_one_and_asks_nothing() -> None:
    broker, meta, tokens = Broker(), Meta(), Tokens(None)
    step = fetch(broker, meta, tokens=tokens)

    async def scenario() -> None:
        work = asyncio.create_task(step.run(notified()))
        await asyncio.sleep(0)
        assert not work.done()
        tokens.page = PAGE
        await work

    asyncio.run(scenario())
    assert len(broker.on(DETAILS)) == 1
    assert len(meta.asked) == 1


def test_the_dashboards_sample_is_skipped_without_a_call() -> None:
    broker, meta = Broker(), Meta()
    run(fetch(broker, meta), notified(lead_id="444444444444", page_id="444444444444"))
    [fate] = broker.records
    assert fate.value is not None
    assert {name: json.loads(fate.value)[name] for name in ("fate", "reason")} == {
        "fate": "skipped",
        "reason": "sample",
    }
    assert meta.asked == []


def test_metas_repeat_of_a_lead_is_told_as_a_duplicate_and_costs_no_call() -> None:
    broker, meta = Broker(), Meta()
    run(fetch(broker, meta), notified(7), notified(8))
    assert len(broker.on(DETAILS)) == 1
    assert [record.key for record in broker.on(FATES)] == [b"fetch/2@8"]
    assert len(meta.asked) == 1


def test_the_same_record_read_again_is_fetched_again() -> None:
    """After a rebalance a record may be read twice; told as its own duplicate, it would lose its outcome."""
    broker = Broker()
    run(fetch(broker, Meta()), notified(7), notified(7))
    assert len(broker.on(DETAILS)) == 2
    assert broker.on(FATES) == []


def test_a_record_that_comes_back_is_never_suppressed() -> None:
    broker = Broker()
    run(fetch(broker, Meta()), notified(7), notified(0, topic=AGAIN))
    assert len(broker.on(DETAILS)) == 2


def test_a_lead_is_remembered_only_once_the_broker_has_its_details() -> None:
    broker, meta = Broker(), Meta()
    step = fetch(broker, meta)
    broker.refusals = 100

    async def scenario() -> None:
        with pytest.raises(NotAcknowledged):
            await step.run(notified(7))
        broker.refusals = 0
        await step.run(notified(8))

    asyncio.run(scenario())
    assert len(broker.on(DETAILS)) == 1


def test_a_broker_that_is_away_is_waited_for() -> None:
    broker = Broker()
    broker.refusals = 5
    run(fetch(broker, Meta()), notified())
    assert len(broker.on(DETAILS)) == 1


def test_details_that_kafka_never_takes_are_a_dead_letter() -> None:
    broker = Broker(too_large=DETAILS)
    run(fetch(broker, Meta()), notified())
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
    broker = Broker()
    received = Received(topic=RAW, partition=0, offset=1, key=b"153125381133", value=value, headers=(), timestamp=NOW)
    run(fetch(broker, Meta()), received)
    [dead] = broker.on(DEAD)
    assert dead.value == value
    assert header(dead.headers, "fate-reason") == reason


def test_records_of_one_lead_have_one_key_and_unreadable_ones_their_own() -> None:
    step = fetch(Broker(), Meta())
    unreadable = Received(topic=RAW, partition=0, offset=1, key=None, value=b"", headers=(), timestamp=NOW)
    assert step.key(notified(1)) == step.key(notified(2, topic=AGAIN)) == LEAD
    assert step.key(unreadable) == (0, 1)
