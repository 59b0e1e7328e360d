"""A notification becomes whole details, or its one other fate, and nothing is done before it is acknowledged."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import stamina

from ingest.kafka import NotAcknowledged
from ingest.meta.errors import AccessLost, BadAsk, GraphError
from ingest.meta.graph import LEAD_FIELDS
from ingest.records import AGAIN, DEAD, DETAILS, FATES, RAW, Received, header
from tests.doubles import Broker
from tests.fetching import (
    CODEC,
    FORM,
    LEAD,
    NOW,
    OneForm,
    Worker,
    notified,
)


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end, and fewer stay as they are."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


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
        "completeness": b"FULL",
    }


@pytest.mark.parametrize("said", [b"9" * 20, b"9" * 5000, "²".encode(), b"-1", b"soon"])
def test_a_time_that_somebody_else_wrote_costs_no_lead(said: bytes) -> None:
    record = notified()
    strange = replace(record, headers=(*record.headers, ("received-at", said)))  # the last one counts
    [details] = Worker().run(strange).on(DETAILS)
    assert CODEC.decode(details.value or b"")["received_at"] is None


def test_a_header_of_null_that_somebody_else_wrote_costs_no_lead() -> None:
    record = notified()
    nulls = tuple((name, None) for name in ("source", "delivery", "received-at", "origin"))
    [details] = Worker().run(replace(record, headers=(*record.headers, *nulls))).on(DETAILS)  # type: ignore[arg-type]  # Kafka has null headers, our own type none
    assert dict(details.headers) == {"origin": b"2@7", "completeness": b"FULL"}
    assert CODEC.decode(details.value or b"")["source"] == "webhook"


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
