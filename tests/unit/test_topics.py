"""The ways a topic can differ from its declaration, told without a cluster."""

from collections.abc import Mapping

import pytest

import schemas
from deploy.topics.differences import (
    Difference,
    FoundTopic,
    IncompatibleSchema,
    MissingTopic,
    UnregisteredSchema,
    WrongPartitions,
    WrongSetting,
    schema_changes,
    topic_differences,
)

RAW = schemas.topics()["meta.leadgen.raw"]
FATES = schemas.topics()["meta.leadgen.fates"]


def differences(topic: schemas.Topic, *, partitions: int = 12, config: Mapping[str, str]) -> list[Difference]:
    found = FoundTopic(partitions=partitions, config=config)
    return list(topic_differences(topic, name="t.x", found=found, replication=3))


def test_a_topic_as_declared_differs_in_nothing_whatever_else_the_broker_tells() -> None:
    assert differences(RAW, config={**RAW.config, "min.insync.replicas": "2"}) == []


def test_a_topic_that_is_not_there_is_to_be_created_as_declared() -> None:
    assert list(topic_differences(RAW, name="t.x", found=None, replication=3)) == [
        MissingTopic(name="t.x", partitions=12, replication=3, config=dict(RAW.config))
    ]


@pytest.mark.parametrize("partitions", [1, 24])
def test_partitions_are_never_changed_as_keys_would_move(partitions: int) -> None:
    [difference] = differences(RAW, partitions=partitions, config=RAW.config)
    assert difference == WrongPartitions(name="t.x", declared=12, found=partitions)
    assert not difference.mendable


def test_each_setting_that_differs_is_named() -> None:
    found = {**RAW.config, "retention.ms": "1", "cleanup.policy": "compact"}
    assert differences(RAW, config=found) == [
        WrongSetting(name="t.x", setting="cleanup.policy", declared="delete", found="compact"),
        WrongSetting(name="t.x", setting="retention.ms", declared="7776000000", found="1"),
    ]


def test_the_order_in_which_a_broker_tells_the_cleanup_is_no_difference() -> None:
    assert differences(FATES, config={**FATES.config, "cleanup.policy": "delete,compact"}) == []


def test_a_setting_that_the_broker_does_not_know_is_a_difference() -> None:
    found = {name: value for name, value in FATES.config.items() if name != "max.compaction.lag.ms"}
    [difference] = differences(FATES, config=found)
    assert "not known" in difference.sentence


def test_a_refused_schema_says_what_the_registry_said_and_what_to_do() -> None:
    refused = IncompatibleSchema(name="t.x-value", schema=schemas.avro("Lead"), objections=("lead_id is gone",))
    assert "lead_id is gone" in refused.sentence
    assert "begin a new topic" in refused.sentence
    assert not refused.mendable


def schema(doc: str = "A target.", **fields: object) -> schemas.Schema:
    return {
        "type": "record",
        "name": "sales",
        "doc": doc,
        "fields": [{"name": name, "type": ["null", kind], "default": None} for name, kind in fields.items()],
    }


def test_a_schema_that_is_new_and_one_that_changed_say_so() -> None:
    first = UnregisteredSchema(name="t.x-value", schema=schema(email="string"))
    assert first.sentence == "t.x-value: schema sales is to be registered, the first one"
    grown = UnregisteredSchema(name="t.x-value", schema=schema(), changes=("+ phone (string)", "email: its doc"))
    assert grown.sentence == "t.x-value: schema sales is to be registered anew: + phone (string); email: its doc"


def test_the_changes_of_a_schema_are_told_field_by_field() -> None:
    before = schema(email="string", budget="int", city="string")
    strings = {"type": "array", "items": "string"}
    assert schema_changes(before, schema(email=strings, budget="int", phone="string")) == (
        "+ phone (string)",
        "- city (string)",
        "email: string becomes array of string",
    )
    assert schema_changes(before, schema(city="string", email="string", budget="int")) == ("the order of its fields",)
    assert schema_changes(before, schema("Another doc.", email="string", budget="int", city="string")) == ("its doc",)


def test_a_refused_change_of_a_mapping_file_says_how_to_make_a_version_beside_it() -> None:
    refused = IncompatibleSchema(
        name="t.x-value", schema=schema(), objections=("no",), changes=("- a (int)",), target=("sales", 1)
    )
    assert "(- a (int)): no." in refused.sentence
    assert "`version: 2`" in refused.sentence
    assert "sales.v1" in refused.sentence


def test_a_change_within_a_named_type_is_a_change_of_its_field() -> None:
    def colours(*symbols: str) -> dict[str, object]:
        return {"type": "enum", "name": "Colour", "symbols": list(symbols), "doc": f"{len(symbols)} of them."}

    before, after = schema(colour=colours("RED")), schema(colour=colours("RED", "BLUE"))
    assert schema_changes(before, after) == ("colour: what a Colour holds",)
