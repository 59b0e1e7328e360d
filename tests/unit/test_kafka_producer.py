"""What librdkafka tells when it can promise nothing any more, seen with librdkafka itself and no broker."""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import confluent_kafka
import pytest
from structlog.testing import capture_logs

from ingest import kafka
from ingest.kafka import MAX_RECORD_BYTES, ConfluentProducer, NotAcknowledged, ProducerFailed
from ingest.records import RAW, Record, Topics
from ingest.settings import KafkaSettings

NOWHERE = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
RECORD = Record(topic=RAW, key=b"1", value=b"{}")
OUT_OF_ORDER_SEQUENCE = 45


@asynccontextmanager
async def producing(queue_bytes: int = 2**26) -> AsyncIterator[ConfluentProducer]:
    producer = ConfluentProducer(NOWHERE, Topics(), timeout=60, queue_bytes=queue_bytes)
    try:
        yield producer
    finally:
        await producer.close(0)


def fail(producer: ConfluentProducer) -> None:
    """As if a broker had said that records were lost on the way (`rd_kafka_test_fatal_error`, made for such tests)."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = next(folder.glob("librdkafka*.so*"), None)
    if library is None:
        pytest.skip("this build of confluent-kafka holds librdkafka elsewhere")
    client = producer._producer  # noqa: SLF001  the C object: behind Python's own head comes librdkafka's handle
    handle = ctypes.c_void_p.from_address(id(client) + object.__basicsize__)
    ctypes.CDLL(str(library)).rd_kafka_test_fatal_error(handle, OUT_OF_ORDER_SEQUENCE, b"a test")


async def outcome(producer: ConfluentProducer, *records: Record) -> str:
    try:
        await producer.deliver(records)
    except NotAcknowledged as error:
        return str(error)
    except ProducerFailed:
        return "failed"
    return "acknowledged"


def test_a_fatal_error_fails_what_is_on_its_way_and_whatever_comes() -> None:
    """Otherwise the door would answer 503 for ever, and nobody would end it."""

    async def scenario() -> None:
        async with producing() as producer:
            on_its_way = asyncio.create_task(outcome(producer, RECORD, RECORD))
            await asyncio.sleep(0)
            fail(producer)
            assert await on_its_way == "failed"
            assert await outcome(producer, RECORD) == "failed"

    with capture_logs() as lines:
        asyncio.run(scenario())
    assert lines == [{"event": "producer.fatal", "log_level": "error", "reason": "OUT_OF_ORDER_SEQUENCE_NUMBER"}]


def test_nothing_to_deliver_is_delivered() -> None:
    async def scenario() -> None:
        async with producing() as producer:
            assert await outcome(producer) == "acknowledged"

    asyncio.run(scenario())


def test_what_does_not_fit_the_queue_is_refused_at_once() -> None:
    async def scenario() -> None:
        large = Record(topic=RAW, key=b"1", value=bytes(2048))
        async with producing(queue_bytes=1024) as producer:
            waiting = asyncio.create_task(outcome(producer, large))
            await asyncio.sleep(0)
            assert await outcome(producer, large) == "queue-full"
            waiting.cancel()

    asyncio.run(scenario())


def test_a_record_larger_than_any_topic_takes_is_refused_by_name() -> None:
    async def scenario() -> None:
        async with producing() as producer:
            large = Record(topic=RAW, key=b"1", value=bytes(MAX_RECORD_BYTES + 1))
            assert await outcome(producer, large) == "MSG_SIZE_TOO_LARGE"

    asyncio.run(scenario())


def test_a_broker_that_is_away_does_not_answer() -> None:
    async def scenario() -> None:
        async with producing() as producer:
            assert not await producer.reachable(0.01)

    asyncio.run(scenario())


def test_what_librdkafka_says_of_a_broker_that_is_away_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so several times a second, and a worker without a broker has nothing on its way for hours."""
    monkeypatch.setattr(kafka, "IDLE_SECONDS", 0.01)

    async def scenario() -> None:
        async with producing() as producer:
            said = 0
            while said < 3:
                assert not await producer.reachable(0.05)
                kept = len(producer._producer)  # noqa: SLF001  with what nobody has asked for
                said += kept == 0
                assert kept < 30

    asyncio.run(asyncio.wait_for(scenario(), 10))
