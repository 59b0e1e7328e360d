"""Records that can never work, at every stage: each ends dead with its reason, and the workers go on."""

import asyncio
import json
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import pytest
from confluent_kafka import KafkaError, Message, Producer

from deploy.sandbox.graph.shapes import PageInfo
from ingest.codec import Codec
from ingest.kafka import MAX_RECORD_BYTES
from ingest.records import AGAIN, DEAD, DETAILS, LEAD_UPDATES, LEADS, RAW, UPDATES
from ingest.registry import open_registry, resolve_codec
from schemas.shapes import LeadDetails
from tests.chaos.crew import Crew
from tests.chaos.experiment import Experiment
from tests.programs import System, eventually

HUGE = 7 * 2**20  # bytes; the largest that a door takes is a little more
STRANGER = '{"type":"record","name":"Stranger","fields":[{"name":"name","type":"string"}]}'
PROTOBUF = 'syntax = "proto3"; message Stranger { string name = 1; }'


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """A record that somebody put on a topic, and the reason it has to be dead with."""

    topic: str
    key: bytes | None
    value: bytes | None
    reason: str


def change(**value: object) -> bytes:
    return json.dumps({"field": "leadgen", "value": value}).encode()


def for_fetch(topic: str, page: PageInfo) -> list[Poison]:
    def poison(value: bytes | None, reason: str, key: bytes | None = page.page_id.encode()) -> Poison:
        return Poison(topic=topic, key=key, value=value, reason=reason)

    return [
        poison(None, "not-json"),
        poison(b"", "not-json"),
        poison(b"{", "not-json"),
        poison(b"\xff\xfe\x00", "not-json"),
        poison(b"[" * 100_000, "not-json"),
        poison(b"[]", "change-not-an-object"),
        poison(b'{"field":"leadgen"}', "value-not-an-object"),
        poison(b'{"x":"' + b"x" * HUGE + b'"}', "value-not-an-object"),
        poison(change(page_id=page.page_id), "lead-id-missing"),
        poison(change(page_id=page.page_id, leadgen_id="../me"), "lead-id-not-an-id"),
        poison(change(page_id=1.5, leadgen_id="1"), "page-id-not-an-id"),
        poison(change(leadgen_id="1"), "page-id-missing", key=None),
    ]


def for_updates() -> list[Poison]:
    leads = count(10**15)

    def poison(value: bytes | None, reason: str) -> Poison:
        return Poison(topic=UPDATES, key=str(next(leads)).encode(), value=value, reason=reason)

    def update(value: bytes) -> bytes:
        return b'{"field":"leadgen_update","value":%s}' % value

    return [
        poison(None, "not-json"),
        poison(b"{", "not-json"),
        poison(b"[" * 100_000, "not-json"),
        poison(update(b"[]"), "value-not-an-object"),
        poison(change(leadgen_id="1"), "not-an-update"),
        poison(update(b'{"area":"ai_agent_updates"}'), "lead-id-missing"),
        poison(update(b'{"leadgen_id":1.5}'), "lead-id-not-an-id"),
        poison(update(b'{"leadgen_id":"1","later":"\xed\xa0\xbd"}'), "does-not-fit"),
        poison(update(b'{"leadgen_id":"1","area":"%s"}' % (b"x" * HUGE)), "unacceptable"),  # it would be there twice
    ]


def for_map(codec: Codec[LeadDetails], details: LeadDetails, *, strangers: int) -> list[Poison]:
    frame = codec.encode(details)
    leads = count(10**15)  # each its own: those of one lead would wait for each other

    def poison(value: bytes, reason: str) -> Poison:
        return Poison(topic=DETAILS, key=str(next(leads)).encode(), value=value, reason=reason)

    def answered(answer: str) -> bytes:
        return codec.encode({**details, "answer": answer})

    def written_with(schema_id: int) -> bytes:
        return frame[:1] + schema_id.to_bytes(4, "big") + frame[5:]

    return [
        poison(b"", "not-framed"),
        poison(b'{"lead_id":"1"}', "not-framed"),
        poison(frame[:20], "damaged"),
        poison(frame[:5] + b"\xff" * 100, "damaged"),
        poison(written_with(2**31 - 1), "unknown-schema"),
        poison(written_with(2**32 - 1), "unknown-schema"),
        poison(written_with(strangers), "damaged"),
        poison(answered("{"), "not-json"),
        poison(answered("[]"), "not-an-object"),
        poison(answered("{}"), "no-id"),
        poison(answered('{"id":"2"}'), "other-lead"),
    ]


def put(system: System, poisons: Sequence[Poison]) -> list[KafkaError]:
    """Puts them on their topics; what the broker refused."""
    refused: list[KafkaError] = []

    def told(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(error)

    producer = Producer(
        {"bootstrap.servers": system.env["KAFKA_BOOTSTRAP_SERVERS"], "message.max.bytes": MAX_RECORD_BYTES}
    )
    for poison in poisons:
        producer.produce(system.topics(poison.topic), key=poison.key, value=poison.value, on_delivery=told)
    assert producer.flush(30) == 0
    return refused


def details_codec(system: System) -> Codec[LeadDetails]:
    async def resolve() -> Codec[LeadDetails]:
        async with open_registry(system.env["REGISTRY_URL"]) as registry:
            return await resolve_codec(registry, "LeadDetails", subject=system.topics.subject(DETAILS))

    return asyncio.run(resolve())


def registered(system: System, name: str, text: str, kind: str) -> int:
    """The id of somebody's schema in the registry we share."""
    request = urllib.request.Request(  # noqa: S310  the sandbox's registry
        f"{system.env['REGISTRY_URL']}/subjects/{system.topics(name)}/versions",
        data=json.dumps({"schemaType": kind, "schema": text}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  as above
        return int(json.load(answer)["id"])


def test_poison_at_every_stage(experiment: Experiment, system: System) -> None:
    crew = Crew(system).wait_ready()
    pids = crew.children()
    experiment.deliver(50, changes_per_post=5)
    experiment.wait_until_acknowledged()
    eventually(lambda: len(system.keys(LEADS)) == 50, 60, "the leads before")

    [page, *_] = system.graph.pages()
    codec = details_codec(system)
    details = codec.decode(next(record.value for record in system.records(DETAILS) if record.value is not None))
    poisons = [
        *for_fetch(RAW, page),
        *for_fetch(AGAIN, page),
        *for_updates(),
        *for_map(codec, details, strangers=registered(system, "stranger", STRANGER, "AVRO")),
    ]
    assert put(system, poisons) == []
    [refused] = put(system, [Poison(topic=DETAILS, key=None, value=b"x", reason="no-key")])
    assert refused.code() == KafkaError.INVALID_RECORD  # a compacted topic takes none
    erased = Poison(topic=DETAILS, key=min(system.keys(LEADS)).encode(), value=None, reason="")
    put(system, [erased])
    experiment.deliver(50, changes_per_post=5)
    experiment.trouble_is_over()

    expected = Counter(poison.reason for poison in poisons)

    def reasons() -> Counter[str | None]:
        return Counter(record.header("fate-reason") for record in system.records(DEAD))

    try:
        eventually(lambda: reasons() == expected, 60, "every poison is dead")
    except AssertionError:
        assert reasons() == expected
    assert sorted(record.value or b"" for record in system.records(DEAD)) == sorted(
        poison.value or b"" for poison in poisons
    )
    eventually(
        lambda: [each.value for each in system.records(LEADS) if each.key == erased.key][-1] is None, 30, "erased"
    )
    assert system.records(LEAD_UPDATES) == []
    experiment.count(remark=f"{len(poisons)} dead, each with its reason")
    assert crew.children() == pids


@pytest.mark.long
def test_details_of_a_schema_that_is_no_avro(experiment: Experiment, system: System) -> None:
    """Protobuf, in the registry that we share with others."""
    Crew(system).wait_ready()
    schema_id = registered(system, "stranger", PROTOBUF, "PROTOBUF")
    put(
        system,
        [Poison(topic=DETAILS, key=b"1", value=b"\0" + schema_id.to_bytes(4, "big") + b"x", reason="unknown-schema")],
    )
    eventually(
        lambda: [each.header("fate-reason") for each in system.records(DEAD)] == ["unknown-schema"], 30, "it is dead"
    )


@pytest.mark.long
def test_what_never_was_on_raw_has_no_raw_records_fate(experiment: Experiment, system: System) -> None:
    Crew(system).wait_ready()
    [page, *_] = system.graph.pages()
    put(
        system, [Poison(topic=topic, key=page.page_id.encode(), value=b"", reason="not-json") for topic in (RAW, AGAIN)]
    )
    eventually(lambda: len(system.records(DEAD)) == 2, 60, "both are dead")
    assert len(experiment.fates()) == 2
