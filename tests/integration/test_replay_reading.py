"""Reading topics on a real broker: all there is, in bounds, and never beyond the end as it was."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer, TopicPartition

# Public, but brought into the module without saying so.
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

import schemas
from deploy.reading import Decoder
from ingest.codec import Codec
from ingest.reading import Reader, ReadingError
from ingest.records import Received
from ingest.registry import open_registry
from ingest.settings import KafkaSettings, RegistrySettings
from processors.lead import map_lead
from schemas.shapes import Lead
from tests.programs import eventually


class Topic:
    """A topic of three partitions, and a reader."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.name = name
        # They outlive the sandbox, and would say so.
        options: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self.cluster = AdminClient(options)
        [made] = self.cluster.create_topics([NewTopic(name, 3)]).values()
        made.result(15)
        self.producer = Producer(options)
        self.reader = Reader(KafkaSettings(kafka_bootstrap_servers=bootstrap))

    def put(self, count: int, partition: int = 0) -> None:
        for number in range(count):
            self.producer.produce(self.name, str(number), partition=partition)
        assert self.producer.flush(15) == 0


@pytest.fixture
def topic(bootstrap: str, topic_prefix: str) -> Iterator[Topic]:
    topic = Topic(bootstrap, f"{topic_prefix}read")
    yield topic
    topic.reader.close()


def places(records: Iterator[Received]) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in records]


def test_all_partitions_are_read_each_in_its_order(topic: Topic) -> None:
    topic.put(700)
    topic.put(2, partition=2)
    found = places(topic.reader.read(topic.name))
    assert sorted(found) == [(0, offset) for offset in range(700)] + [(2, 0), (2, 1)]
    assert [offset for partition, offset in found if partition == 0] == list(range(700))


def test_what_is_produced_while_it_reads_is_for_the_next_reading(topic: Topic) -> None:
    topic.put(100)
    reading = topic.reader.read(topic.name)
    next(reading)
    topic.put(10)
    topic.put(10, partition=1)
    assert len(list(reading)) == 99
    assert len(places(topic.reader.read(topic.name, {0: 100}))) == 20


def test_it_reads_from_and_to_where_it_is_told(topic: Topic) -> None:
    topic.put(10)
    topic.put(600, partition=1)
    found = places(topic.reader.read(topic.name, {0: 4}, {0: 7, 2: 5}))
    assert sorted(found) == [(0, 4), (0, 5), (0, 6)] + [(1, offset) for offset in range(600)]
    assert places(topic.reader.read(topic.name, {0: 10, 1: 600})) == []
    assert places(topic.reader.read(topic.name, {0: 99, 1: 700})) == []


def test_an_empty_topic_ends_at_once(topic: Topic) -> None:
    assert list(topic.reader.read(topic.name)) == []


def test_records_that_expired_are_passed_over(topic: Topic) -> None:
    topic.put(10)
    [deleted] = topic.cluster.delete_records([TopicPartition(topic.name, 0, 8)]).values()
    deleted.result(15)
    assert places(topic.reader.read(topic.name, {0: 0})) == [(0, 8), (0, 9)]


def test_a_topic_whose_last_offset_is_no_record_ends_too(topic: Topic, bootstrap: str) -> None:
    """A transaction leaves a marker there, which no reader is ever given."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic.name, "log_level": 0})
    producer.init_transactions(15)
    producer.begin_transaction()
    producer.produce(topic.name, "one", partition=0)
    producer.commit_transaction(15)
    # The marker is written a moment after the commit is answered.
    eventually(lambda: topic.reader.bounds(topic.name)[0] == (0, 2), 60, "the record and its marker")
    assert places(topic.reader.read(topic.name)) == [(0, 0)]


def test_a_reading_that_is_left_does_not_disturb_the_next(topic: Topic) -> None:
    topic.put(50)
    assert next(topic.reader.read(topic.name)).offset == 0
    assert len(list(topic.reader.read(topic.name))) == 50


def test_following_goes_on_with_what_comes(topic: Topic) -> None:
    topic.put(3)
    following = topic.reader.follow(topic.name, {0: 2, 1: 0, 2: 0})
    assert (first := next(following)).offset == 2
    topic.put(1, partition=1)
    assert [(record.partition, record.offset) for record in (first, next(following))] == [(0, 2), (1, 0)]


def test_a_record_is_given_as_it_lies(topic: Topic) -> None:
    topic.producer.produce(
        topic.name, None, key=b"\xff", partition=1, timestamp=1_795_500_000_123, headers=[("origin", b"1@2")]
    )
    topic.put(0)
    [record] = topic.reader.read(topic.name)
    assert record == Received(
        topic=topic.name,
        partition=1,
        offset=0,
        key=b"\xff",
        value=None,
        headers=(("origin", b"1@2"),),
        timestamp=1_795_500_000_123,
    )


def test_a_topic_that_is_not_there_is_a_sentence(topic: Topic) -> None:
    with pytest.raises(ReadingError, match="of-nobody does not exist: run `leadstream topics apply`"):
        list(topic.reader.read(f"{topic.name}.of-nobody"))


def test_a_schema_that_grew_elsewhere_is_looked_up_when_it_is_met(registry_url: str, topic_prefix: str) -> None:
    subject = f"{topic_prefix}leads.v1-value"
    ours = schemas.avro("Lead")
    fields = ours["fields"]
    assert isinstance(fields, list)
    grown = {**ours, "fields": [*fields, {"name": "score", "type": ["null", "int"], "default": None}]}

    async def register(schema: schemas.Schema) -> int:
        async with open_registry(registry_url) as registry:
            return await registry.register(subject, schema)

    codec: Codec[Lead] = Codec("Lead", schema_id=asyncio.run(register(ours)))
    decode: Decoder[Lead] = Decoder(RegistrySettings(registry_url=registry_url), "Lead", subject=subject)
    theirs = asyncio.run(register(grown))
    frame = codec.encode(LEAD)
    assert decode(frame) == LEAD
    assert decode(frame[:1] + theirs.to_bytes(4, "big") + frame[5:] + b"\x02\x54") == LEAD  # and a score of 42


LEAD = map_lead(
    {
        "lead_id": "55459717045641545",
        "page_id": None,
        "form_id": None,
        "answer": '{"id": "55459717045641545"}',
        "completeness": "FULL",
        "missing_fields": [],
        "source": "webhook",
        "api_version": None,
        "change": None,
        "form": None,
        "form_version": None,
        "received_at": None,
        "fetched_at": datetime(2026, 11, 24, tzinfo=UTC),
    }
)
