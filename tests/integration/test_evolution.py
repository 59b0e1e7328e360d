"""Schemas that grow, on a real registry: what it refuses, and readers and writers of different versions.

The other reader and writer is Confluent's own, as a consumer or a producer that is not ours has it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

import schemas
from deploy.sandbox import Sandbox
from ingest.codec import Codec
from ingest.registry import Incompatible, Registry, decode, open_registry, resolve_codec
from processors.mapping.avro import avro_schema
from processors.mapping.reading import read_mapping
from tests.evolution import AGAINST_THE_RULES, LATER, NAMES, Avro, grown, history, seen_by, typed, with_field, without
from tests.programs import eventually
from tests.sinks import CrmTopic, Sink

Result = TypeVar("Result")
THEN = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


class Subject:
    """One subject of the registry, under the rule that `topics apply` gives every subject of ours."""

    def __init__(self, registry_url: str, topic: str, client: SchemaRegistryClient) -> None:
        self.topic = topic
        self.name = f"{topic}-value"
        self.client = client
        self._url = registry_url
        self.ask(lambda registry: registry.set_compatibility(self.name, "BACKWARD_TRANSITIVE"))

    def ask(self, what: Callable[[Registry], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            async with open_registry(self._url) as registry:
                return await what(registry)

        return asyncio.run(run())

    def register(self, schema: schemas.Schema) -> int:
        return self.ask(lambda registry: registry.register(self.name, schema))

    def write(self, schema: schemas.Schema, record: object) -> bytes:
        """The record as our codec writes it."""

        async def run(registry: Registry) -> bytes:
            codec: Codec[Any] = await resolve_codec(registry, schema, subject=self.name)
            return codec.encode(record)

        return self.ask(run)

    def read(self, schema: schemas.Schema, frame: bytes) -> Any:
        """What our codec, made for this version, has of a frame."""

        async def run(registry: Registry) -> Any:
            codec: Codec[Any] = await resolve_codec(registry, schema, subject=self.name)
            return await decode(codec, frame, registry=registry)

        return self.ask(run)

    def theirs_read(self, schema: schemas.Schema, frame: bytes) -> Any:
        """What Confluent's deserializer, pinned to this version, has of a frame."""
        return AvroDeserializer(self.client, json.dumps(schema))(frame, self._context)

    def theirs_write(self, schema: schemas.Schema, record: object) -> bytes:
        """The record as Confluent's serializer writes it, with a schema that is registered already."""
        serializer = AvroSerializer(self.client, json.dumps(schema), conf={"auto.register.schemas": False})
        frame = serializer(record, self._context)
        assert isinstance(frame, bytes)
        return frame

    @property
    def _context(self) -> SerializationContext:
        return SerializationContext(self.topic, MessageField.VALUE)


@pytest.fixture
def subject(registry_url: str, topic_prefix: str) -> Iterator[Subject]:
    with SchemaRegistryClient({"url": registry_url}) as client:
        yield Subject(registry_url, f"{topic_prefix}evolving", client)


def versions(name: str) -> list[Avro]:
    """All there were, and one that might come next."""
    return [*history(name), grown(history(name)[-1])]


def a_record(name: str, schema: Avro) -> Any:
    """One that a writer of this version may write, with what is new in it in use."""
    given: dict[str, object] = {
        "lead_id": "55459717045641545",
        "page_id": "1",
        "answer": "{}",
        "source": "webhook",
        "completeness": LATER if LATER in json.dumps(schema) else "FULL",
        "fetched_at": THEN,
        "later": "said later",
        "laters": 8,
    }
    if name == "Lead":
        answer = {"key": "email", "values": ["a@example.org"], "later": "inside", "laters": 9}
        given |= {"answers": [answer], "problems": [{"field": "phone", "code": "invalid"}]}
    return seen_by(schema, given)


@pytest.mark.parametrize("name", NAMES)
def test_every_version_is_registered_after_the_others_and_read_by_all_with_all_libraries(
    name: str, subject: Subject
) -> None:
    known = [(schema, subject.register(schema)) for schema in versions(name)]
    assert known[-1][1] not in {schema_id for _, schema_id in known[:-1]}  # those of the past differ in docs alone
    for wrote, _ in known:
        record = a_record(name, wrote)
        frames = [subject.write(wrote, record), subject.theirs_write(wrote, record)]
        assert frames[0] == frames[1]
        for reads, _ in known:
            assert subject.read(reads, frames[0]) == seen_by(reads, record)
            assert subject.theirs_read(reads, frames[0]) == seen_by(reads, record)


def test_a_consumer_generated_from_the_first_lead_goes_on_when_the_newest_is_written(subject: Subject) -> None:
    first, newest = versions("Lead")[0], versions("Lead")[-1]
    for schema in versions("Lead"):
        subject.register(schema)
    lead = typed(first, subject.theirs_read(first, subject.write(newest, a_record("Lead", newest))))
    assert (lead.lead_id, lead.page_id, lead.fetched_at) == ("55459717045641545", "1", THEN)
    assert lead.completeness == "REDUCED"  # newest wrote a symbol that the first does not know
    assert [answer["values"] for answer in lead.answers] == [["a@example.org"]]
    assert not hasattr(lead, "later")


@pytest.mark.parametrize(("change", "refused"), [(name, refused) for name, (_, refused) in AGAINST_THE_RULES.items()])
def test_the_registry_refuses_what_readers_of_old_records_could_not_stand(
    change: str, refused: bool, subject: Subject
) -> None:
    """The rules forbid all of these; what the registry lets through is held by the contract tests alone."""
    changed, _ = AGAINST_THE_RULES[change]
    [*_, now] = history("Lead")
    subject.register(now)
    if refused:
        with pytest.raises(Incompatible):
            subject.register(changed(now))
    else:
        subject.register(changed(now))


def test_a_name_that_was_used_once_is_not_used_for_something_else_versions_later(subject: Subject) -> None:
    """Records of the first version are still there: this is what TRANSITIVE adds to BACKWARD."""
    [*_, now] = history("Lead")
    subject.register(now)
    subject.register(without(now, "page_id"))
    with pytest.raises(Incompatible):
        subject.register(with_field(without(now, "page_id"), "page_id", type="long", default=0, doc="Another thing."))


def of_mapping(*fields: str) -> Avro:
    text = "\n  ".join(["target: sales\nowner: crm@example.org\ndoc: Leads for the sales team.\nfields:", *fields])
    return dict(avro_schema(read_mapping(text, file="sales.yaml").mapping))


EMAIL = "email: {doc: E-mail address., from: [{standard: email}]}"
BUDGET = "budget: {type: int, doc: Budget in euros., from: [{field: budget}]}"
BORN = "born: {type: date, doc: Date of birth., from: [{standard: date_of_birth}]}"
FIRST, GROWN, SHRUNK = of_mapping(EMAIL, BUDGET), of_mapping(EMAIL, BUDGET, BORN), of_mapping(EMAIL)

GROWN_FIELDS = [field["name"] for field in GROWN["fields"]]


def test_a_mapping_file_gets_and_loses_a_field_and_readers_of_every_version_go_on(subject: Subject) -> None:
    known = [FIRST, GROWN, SHRUNK]
    for schema in known:
        subject.register(schema)
    values = {"lead_id": "1", "email": "a@example.org", "budget": 900, "born": None, "unmapped": '{"answers": {}}'}
    for wrote in known:
        record = seen_by(wrote, values)
        frame = subject.write(wrote, record)
        assert frame == subject.theirs_write(wrote, record)
        for reads in known:
            assert subject.read(reads, frame) == seen_by(reads, record)
            assert subject.theirs_read(reads, frame) == seen_by(reads, record)


@pytest.mark.parametrize(
    "changed",
    [
        of_mapping(EMAIL, BUDGET.replace("int", "string")),
        of_mapping(EMAIL, BUDGET.replace("int", "strings")),
        of_mapping(EMAIL, BUDGET.replace("int", "boolean")),
        {**FIRST, "name": "partner"},
    ],
    ids=["text", "list", "boolean", "target"],
)
def test_a_mapping_file_that_changes_a_type_is_refused(changed: Avro, subject: Subject) -> None:
    subject.register(FIRST)
    with pytest.raises(Incompatible):
        subject.register(changed)


@pytest.mark.parametrize(("old", "new"), [("int", "long"), ("int", "double"), ("date", "int"), ("timestamp", "long")])
def test_a_type_that_becomes_wider_or_plain_is_let_through_and_has_to_be_seen_in_the_plan(
    old: str, new: str, subject: Subject
) -> None:
    """New readers read old records, which is all that BACKWARD asks; readers of before may not go on."""
    subject.register(of_mapping(EMAIL, BUDGET.replace("int", old)))
    subject.register(of_mapping(EMAIL, BUDGET.replace("int", new)))


def test_a_field_that_comes_back_as_another_type_is_refused_as_records_of_the_first_are_there(
    subject: Subject,
) -> None:
    subject.register(FIRST)
    subject.register(SHRUNK)
    with pytest.raises(Incompatible):
        subject.register(of_mapping(EMAIL, BUDGET.replace("int", "boolean")))


def test_kafka_connect_writes_rows_of_records_of_every_version_in_any_order(
    sandbox: Sandbox, topic_prefix: str
) -> None:
    """Its converter reads each record with the writer's schema; the table has every column there ever was."""
    sandbox.up(["postgres", "connect"])
    topic = CrmTopic(sandbox.env(), f"{topic_prefix}leads.crm.sales.v1")
    sink = Sink(sandbox, topic.name)
    try:
        values = {"email": "a@example.org", "budget": 900, "born": date(1971, 5, 3), "unmapped": None}
        records = {
            str(number): (schema, seen_by(schema, {"lead_id": str(number), **values}))
            for number, schema in enumerate([FIRST, GROWN, SHRUNK, FIRST, GROWN, SHRUNK])
        }
        topic.put({lead: topic.schema(schema).encode(record) for lead, (schema, record) in records.items()})
        sink.start()
        eventually(lambda: len(sink.rows()) == len(records), 60, "a row of each record")
        nothing = dict.fromkeys(GROWN_FIELDS)
        assert sink.rows() == {lead: {**nothing, **record} for lead, (_, record) in records.items()}
    finally:
        sink.delete()
        sandbox.down(["connect", "postgres"])
