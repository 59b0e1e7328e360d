"""Where a consumer group begins: at the first record, by a commit, and not by a client's default.

A client that finds no offset, or one that is gone, would have to choose one by itself, and whatever it chose would be
wrong on the day records were lost. So ours choose nothing (`auto.offset.reset` none), and a group gets its first
offsets here.
"""

from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, but not re-exported

from ingest.kafka import client_options
from ingest.settings import KafkaSettings

_NONE = confluent_kafka.OFFSET_INVALID
_PATIENCE = 30.0  # seconds


class NoTopics(Exception):
    """Topics that a worker reads do not exist yet."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"{', '.join(missing)} not there: run `leadstream topics apply --yes`")


def begin(settings: KafkaSettings, group: str, topics: Sequence[str]) -> None:
    """Commits the first record's offset for every partition of which the group has none. Blocks.

    What a live group has is left alone: the member that was there first has done it. NoTopics, or KafkaException when
    no broker answers.
    """
    admin = AdminClient({**client_options(settings), "log_level": 0})  # its errors reach us as exceptions
    partitions = _partitions(admin, topics)
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
    held = asked[group].result(_PATIENCE).topic_partitions
    new = [TopicPartition(each.topic, each.partition) for each in held if each.offset == _NONE]
    if not new:
        return
    earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # it has no type here
    firsts = admin.list_offsets(dict.fromkeys(new, earliest))
    starts = [
        TopicPartition(each.topic, each.partition, first.result(_PATIENCE).offset) for each, first in firsts.items()
    ]
    altered = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, starts)])
    try:
        done = altered[group].result(_PATIENCE).topic_partitions
    except KafkaException as error:
        done = []
        _tolerate(error.args[0])
    for each in done:
        if each.error is not None:
            _tolerate(each.error)


def _partitions(admin: AdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    known = admin.list_topics(timeout=_PATIENCE).topics
    missing = [name for name in topics if name not in known]
    if missing:
        raise NoTopics(missing)
    return [TopicPartition(name, number) for name in topics for number in known[name].partitions]


def _tolerate(error: KafkaError) -> None:
    """A live group answers so: its members have their offsets."""
    if error.code() not in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP):
        raise KafkaException(error)
