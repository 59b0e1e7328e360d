"""Where the groups stand and which targets there are, asked with plain consumers that join no group.

Not with the admin client: asked for a group's offsets as a broker came back, it has crashed the process.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest.kafka import client_options
from ingest.reading import Offsets
from ingest.records import AGAIN, CRM, DETAILS, LEADS, RAW, RETRY, UPDATES, Topics
from ingest.settings import KafkaSettings

Group = Literal["fetch", "retry", "map", "updates"]
READS: Mapping[Group, tuple[str, ...]] = {
    "fetch": (RAW, AGAIN),
    "retry": RETRY,
    "map": (DETAILS,),
    "updates": (UPDATES,),
}
PROGRAMS: Mapping[str, str] = {
    "fetch": "work fetch",
    "retry": "work retry",
    "map": "work map",
    "updates": "work map",
}  # by group: whose workers read for it

_TARGET = re.compile(rf"{re.escape(CRM)}[a-z][a-z0-9_]*\.v[1-9][0-9]*")
_PATIENCE = 15.0  # seconds for a broker to answer


class NoAnswer(Exception):
    """The cluster cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Of which cluster, and by topic (without its prefix) what was committed; a partition never read is left out.

    `mapped` is where leads.v1 and the topic of each target that there was ended before any of it was asked.
    """

    cluster: str
    committed: Mapping[str, Offsets]
    mapped: Mapping[str, Offsets]

    @property
    def crm(self) -> tuple[str, ...]:
        """The topics of the targets."""
        return tuple(sorted(self.mapped.keys() - {LEADS}))


def is_of_target(topic: str) -> bool:
    """Whether map writes the topic; others stand beside it, such as a sink's own dead letters."""
    return _TARGET.fullmatch(topic) is not None


def positions(settings: KafkaSettings) -> Positions:
    """As they are now. NoAnswer."""
    topics = Topics(prefix=settings.topic_prefix)
    with asking(settings, topics.group("map")) as client:
        metadata = client.list_topics(timeout=_PATIENCE)
        places = {
            name.removeprefix(topics.prefix): [(name, partition) for partition in found.partitions]
            for name, found in metadata.topics.items()
            if name.startswith(topics.prefix)
        }
        mapped = {
            name: {
                place[1]: client.get_watermark_offsets(TopicPartition(*place), timeout=_PATIENCE)[1]
                for place in places[name]
            }
            for name in places
            if name == LEADS or is_of_target(name)
        }
    stands: dict[str, Offsets] = {}
    for group, names in READS.items():
        with asking(settings, topics.group(group)) as client:
            for name in names:
                held = committed(client, places.get(name, ()))
                stands[name] = {partition: offset for (_, partition), offset in held.items()}
    return Positions(cluster=metadata.cluster_id or "", committed=stands, mapped=mapped)


@contextmanager
def asking(settings: KafkaSettings, group: str) -> Iterator[Consumer]:
    """A client that can be asked for a group's offsets. NoAnswer when one within has none."""
    client = Consumer(
        {**client_options(settings), "group.id": group, "enable.auto.commit": False, "log_level": 0},
        logger=logging.getLogger("librdkafka"),  # its errors reach us as exceptions
    )
    try:
        yield client
    except KafkaException as error:
        raise NoAnswer(
            f"Kafka does not say how far {group} has read ({error.args[0].str().rstrip('.')}): is"
            " KAFKA_BOOTSTRAP_SERVERS right, is the cluster up, and may we ask?"
        ) from None
    finally:
        client.close()


def committed(client: Consumer, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
    """Where the client's group stands in each partition of a topic; one that was never read is left out."""
    if not places:
        return {}
    held = client.committed([TopicPartition(*place) for place in places], timeout=_PATIENCE)
    for place in held:
        if place.error is not None:
            raise KafkaException(place.error)
    return {(place.topic, place.partition): place.offset for place in held if place.offset >= 0}
