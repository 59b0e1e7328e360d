"""The ways a topic can differ from its declaration, told without a cluster."""

from collections.abc import Mapping

import pytest

import schemas
from deploy.topics.differences import (
    Difference,
    FoundTopic,
    IncompatibleSchema,
    MissingTopic,
    WrongPartitions,
    WrongSetting,
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
    refused = IncompatibleSchema(name="t.x-value", schema="Lead", objections=("lead_id is gone",))
    assert "lead_id is gone" in refused.sentence
    assert "begin a new topic" in refused.sentence
    assert not refused.mendable
