"""Where a consumer group begins: at the first record, by a commit, and not by a client's default.

A client that finds no offset, or one that is gone, would have to choose one by itself, and whatever it chose would be
wrong on the day records were lost. So ours choose nothing (`auto.offset.reset` none), and a group gets its first
offsets here.
"""

import logging
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from ingest.kafka import client_options
from ingest.settings import KafkaSettings

_PATIENCE = 10.0  # seconds


class NoTopics(Exception):
    """Topics that a worker reads do not exist yet."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"{', '.join(missing)} not there: run `leadstream topics apply --yes`")


def begin(settings: KafkaSettings, group: str, topics: Sequence[str]) -> None:
    """Commits the first record's offset for every partition of which the group has none. Blocks.

    What a live group has is left alone: the member that was there first has done it. NoTopics, or KafkaException when
    no broker answers.
    """
    # Not the admin client: asked for a group's offsets as a broker came back, it has crashed the process.
    client = Consumer(
        {**client_options(settings), "group.id": group, "enable.auto.commit": False, "log_level": 0},
        logger=logging.getLogger("librdkafka"),  # its errors reach us as exceptions
    )
    try:
        firsts = [
            TopicPartition(held.topic, held.partition, client.get_watermark_offsets(held, timeout=_PATIENCE)[0])
            for held in client.committed(_partitions(client, topics), timeout=_PATIENCE)
            if _has_none(held)
        ]
        if firsts:
            client.commit(offsets=firsts, asynchronous=False)
    except KafkaException as error:
        # A live group answers so to whoever is no member of it: its members have their offsets.
        if error.args[0].code() not in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION):
            raise
    finally:
        client.close()


def _partitions(client: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    known = client.list_topics(timeout=_PATIENCE).topics
    missing = [name for name in topics if name not in known]
    if missing:
        raise NoTopics(missing)
    return [TopicPartition(name, number) for name in topics for number in known[name].partitions]


def _has_none(held: TopicPartition) -> bool:
    if held.error is not None:
        raise KafkaException(held.error)
    return held.offset < 0
