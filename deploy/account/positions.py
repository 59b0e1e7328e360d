"""Where the groups stand, asked with plain consumers that join no group.

Not with the admin client: asked for a group's offsets as a broker came back, it has crashed the process.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest.kafka import client_options
from ingest.reading import Offsets
from ingest.records import AGAIN, DETAILS, RAW, RETRY, Topics
from ingest.settings import KafkaSettings

Group = Literal["fetch", "retry", "map"]
READS: Mapping[Group, tuple[str, ...]] = {"fetch": (RAW, AGAIN), "retry": RETRY, "map": (DETAILS,)}

_PATIENCE = 15.0  # seconds for a broker to answer


class NoAnswer(Exception):
    """The cluster cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Of which cluster, and by topic (without its prefix) what was committed; a partition never read is left out."""

    cluster: str
    committed: Mapping[str, Offsets]


def positions(settings: KafkaSettings) -> Positions:
    """As they are now. NoAnswer."""
    topics = Topics(prefix=settings.topic_prefix)
    cluster, committed = "", {}
    for group, names in READS.items():
        client = Consumer(
            {**client_options(settings), "group.id": topics.group(group), "enable.auto.commit": False, "log_level": 0},
            logger=logging.getLogger("librdkafka"),  # its errors reach us as exceptions
        )
        try:
            metadata = client.list_topics(timeout=_PATIENCE)
            cluster = metadata.cluster_id or ""
            for name in names:
                found = metadata.topics.get(topics(name))
                places = [TopicPartition(topics(name), partition) for partition in found.partitions] if found else []
                committed[name] = {} if not places else _committed(client, places)
        except KafkaException as error:
            raise NoAnswer(
                f"Kafka does not say how far {topics.group(group)} has read ({error.args[0].str().rstrip('.')}): is"
                " KAFKA_BOOTSTRAP_SERVERS right, is the cluster up, and may we ask?"
            ) from None
        finally:
            client.close()
    return Positions(cluster=cluster, committed=committed)


def _committed(client: Consumer, places: list[TopicPartition]) -> Offsets:
    held = client.committed(places, timeout=_PATIENCE)
    for place in held:
        if place.error is not None:
            raise KafkaException(place.error)
    return {place.partition: place.offset for place in held if place.offset >= 0}
