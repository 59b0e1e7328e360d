"""`leadstream topics` on a real broker and a real registry."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

# The name is public, but brought into the module without saying so.
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

import schemas
from deploy.topics import apply, plan
from deploy.topics.cluster import configure
from deploy.topics.differences import (
    Difference,
    IncompatibleSchema,
    MissingTopic,
    UnregisteredSchema,
    WrongCompatibility,
    WrongPartitions,
    WrongSetting,
)
from ingest.codec import Codec
from ingest.registry import NotRegistered, Registry, decode, open_registry, resolve_codec
from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping
from schemas.shapes import Lead

LEADSTREAM = Path(sys.executable).with_name("leadstream")
Result = TypeVar("Result")


def fields(schema: schemas.Schema) -> list[dict[str, Any]]:
    """An Avro schema's fields; what they hold is Avro's affair."""
    found: Any = schema["fields"]
    return list(found)


EMPTY_LEAD: Any = {field["name"]: field.get("default", "55459717045641545") for field in fields(schemas.avro("Lead"))}


@pytest.fixture
def cluster(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap})


class World:
    """A cluster and a registry under one prefix, planned and mended as the command does it."""

    def __init__(self, cluster: AdminClient, registry_url: str, prefix: str) -> None:
        self.cluster = cluster
        self.prefix = prefix
        self._registry_url = registry_url

    def ask(self, what: Callable[[Registry], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            async with open_registry(self._registry_url) as registry:
                return await what(registry)

        return asyncio.run(run())

    def plan(self, *mappings: Mapping) -> list[Difference]:
        return self.ask(lambda registry: plan(self.cluster, registry, mappings=mappings, prefix=self.prefix))

    def apply(self, *mappings: Mapping) -> list[Difference]:
        differences = self.plan(*mappings)
        return self.ask(lambda registry: apply(differences, self.cluster, registry))

    def subject(self, topic: str) -> str:
        return f"{self.prefix}{topic}-value"

    def create(self, topic: str, partitions: int) -> None:
        [answer] = self.cluster.create_topics([NewTopic(self.prefix + topic, partitions)]).values()
        answer.result(15)


async def codec(registry: Registry, subject: str) -> Codec[Lead]:
    return await resolve_codec(registry, "Lead", subject=subject)


@pytest.fixture
def world(cluster: AdminClient, registry_url: str, topic_prefix: str) -> World:
    return World(cluster, registry_url, topic_prefix)


def test_an_empty_cluster_is_made_as_declared_and_stays_so(world: World) -> None:
    missing = {difference.name for difference in world.plan() if isinstance(difference, MissingTopic)}
    assert missing == {world.prefix + name for name in schemas.topics()}
    assert world.apply() == []
    assert world.plan() == []
    assert world.apply() == []


def test_what_was_changed_by_hand_is_seen_and_mended(world: World) -> None:
    world.apply()
    name = world.prefix + "leads.v1"
    configure(
        world.cluster, [WrongSetting(name=name, setting="retention.ms", declared="1000", found="whatever it was")]
    )
    world.ask(lambda registry: registry.set_compatibility(world.subject("leads.v1"), "NONE"))
    assert world.plan() == [
        WrongSetting(name=name, setting="retention.ms", declared="7776000000", found="1000"),
        WrongCompatibility(name=world.subject("leads.v1"), found="NONE"),
    ]
    assert world.apply() == []
    assert world.plan() == []


def test_a_topic_with_other_partitions_is_told_and_left_alone(world: World) -> None:
    world.create("meta.leadgen.raw", 2)
    expected = WrongPartitions(name=world.prefix + "meta.leadgen.raw", declared=12, found=2)
    assert [each for each in world.apply() if isinstance(each, WrongPartitions)] == [expected]
    assert world.plan() == [expected]


def test_a_schema_that_cannot_read_what_was_written_is_refused_with_the_registrys_verdict(world: World) -> None:
    """Under no rule yet the registry objects to nothing, so the refusal comes when the rule is set."""
    subject = world.subject("leads.v1")
    stranger = {**schemas.avro("Lead"), "fields": [{"name": "lead_id", "type": "long"}]}
    world.ask(lambda registry: registry.register(subject, stranger))
    [left] = world.apply()
    assert isinstance(left, IncompatibleSchema)
    assert left.name == subject
    [later] = world.plan()
    assert isinstance(later, IncompatibleSchema)
    with pytest.raises(NotRegistered, match="topics apply"):
        world.ask(lambda registry: codec(registry, subject))


def test_a_grown_schema_is_registered_beside_the_one_before(world: World) -> None:
    subject = world.subject("leads.v1")
    newest = schemas.avro("Lead")
    before = {**newest, "fields": [field for field in fields(newest) if field["name"] != "phone_verified"]}
    first = world.ask(lambda registry: registry.register(subject, before))
    changes = ("+ phone_verified (boolean)",)
    [grown] = [
        difference
        for difference in world.plan()
        if isinstance(difference, UnregisteredSchema) and difference.name == subject
    ]
    assert (grown.schema, grown.changes) == (newest, changes)
    assert world.apply() == []
    assert world.ask(lambda registry: registry.id_of(subject, schemas.avro("Lead"))) != first


def test_a_record_of_a_schema_never_seen_is_read_through_the_registry(world: World) -> None:
    world.apply()
    subject = world.subject("leads.v1")
    score = {"name": "score", "type": ["null", "int"], "default": None}
    grown = {**schemas.avro("Lead"), "fields": [*fields(schemas.avro("Lead")), score]}

    async def read(registry: Registry) -> Lead:
        schema_id = await registry.register(subject, grown)
        ours = await codec(registry, subject)
        frame = ours.encode(EMPTY_LEAD)
        theirs = frame[:1] + schema_id.to_bytes(4, "big") + frame[5:] + b"\x02\x54"  # and a score of 42
        return await decode(ours, theirs, registry=registry)

    assert world.ask(read) == EMPTY_LEAD


def sales(version: int = 1, **types: str) -> Mapping:
    """A mapping file with these fields."""
    fields = {name: {"doc": name, "type": kind, "from": [{"field": name}]} for name, kind in types.items()}
    said = {"target": "sales", "version": version, "owner": "the tests", "doc": "Sales.", "fields": fields}
    return Mapping.model_validate(said)


def test_a_mapping_file_is_a_topic_and_the_schema_of_its_records(world: World) -> None:
    world.apply()
    mapping = sales(email="string", budget="long")
    assert [type(difference) for difference in world.plan(mapping)] == [
        MissingTopic,
        WrongCompatibility,
        UnregisteredSchema,
    ]
    assert world.apply(mapping) == []
    assert world.plan(mapping) == []
    subject = world.subject("leads.crm.sales.v1")
    assert world.ask(lambda registry: registry.latest(subject)) == avro_schema(mapping)


def test_a_mapping_file_that_grew_or_lost_a_field_is_registered_anew_and_says_what_changed(world: World) -> None:
    world.apply(sales(email="string", budget="long"))
    changed = sales(email="string", phones="strings")
    [difference] = world.plan(changed)
    assert isinstance(difference, UnregisteredSchema)
    assert difference.changes == ("+ phones (array of string)", "- budget (long)")
    assert world.apply(changed) == []
    assert world.plan(changed) == []


def test_a_change_that_readers_cannot_follow_is_refused_and_a_second_version_stands_beside_the_first(
    world: World,
) -> None:
    world.apply(sales(budget="string"))
    [refused] = world.plan(sales(budget="long"))
    assert isinstance(refused, IncompatibleSchema)
    assert refused.objections == ("budget: string becomes long, and a field's type never changes",)
    assert "`version: 2`" in refused.sentence
    assert world.apply(sales(budget="long")) == [refused]
    both = (sales(budget="string"), sales(2, budget="long"))
    assert world.apply(*both) == []
    assert world.plan(*both) == []


def test_a_type_that_the_registry_lets_become_another_is_refused_all_the_same(world: World) -> None:
    world.apply(sales(born="int"))
    [refused] = world.plan(sales(born="date"))
    assert isinstance(refused, IncompatibleSchema)
    assert refused.objections == ("born: int becomes date, and a field's type never changes",)


def test_a_field_that_was_taken_out_comes_back_as_what_it_was_or_not_at_all(world: World) -> None:
    """The column of a table is still there; the newest schema no longer tells of it."""
    world.apply(sales(email="string", budget="int"))
    world.apply(sales(email="string"))
    [refused] = world.plan(sales(email="string", budget="long"))
    assert isinstance(refused, IncompatibleSchema)
    assert refused.objections == ("budget: int becomes long, and a field's type never changes",)
    assert world.apply(sales(email="string", budget="int")) == []


def test_the_command_says_what_it_would_do_and_does_it_only_when_told(
    bootstrap: str, registry_url: str, topic_prefix: str
) -> None:
    def leadstream(*arguments: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "REGISTRY_URL": registry_url,
            "TOPIC_PREFIX": topic_prefix,
        }
        return subprocess.run(
            [LEADSTREAM, "topics", *arguments],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    planned = leadstream("plan", "--json")
    assert planned.returncode == 1
    assert {difference["kind"] for difference in json.loads(planned.stdout)} == {
        "MissingTopic",
        "WrongCompatibility",
        "UnregisteredSchema",
    }
    assert not any("leads.crm." in difference["name"] for difference in json.loads(planned.stdout))
    shown = leadstream("apply")
    assert (shown.returncode, "--yes" in shown.stderr) == (1, True)
    assert leadstream("plan").returncode == 1
    assert leadstream("apply", "--yes").returncode == 0
    again = leadstream("plan")
    assert (again.returncode, again.stdout) == (0, "Topics and schemas are as declared.\n")
