"""What topics hold, read without joining a group or committing anything: to their end as it is when asked.

One record at a time, so that a topic of any size fits; `follow` alone goes on for ever.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingest.kafka import client_options
from ingest.records import Received
from ingest.settings import KafkaSettings

Offsets = Mapping[int, int]  # by partition: the offset of the next record

PATIENCE = 15.0  # seconds for a broker to answer
_AT_ONCE = 500


class ReadingError(Exception):
    """A topic cannot be read; the text says which, and what to look at."""


class NoSuchTopic(ReadingError):
    """It does not exist, which for a topic that is made later is as good as empty."""


class Reader:
    """Reads any topic, as often as asked; topic names carry their prefix. Close it, or use it as a context."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._consumer = Consumer(
            client_options(settings)
            | {
                "client.id": "leadstream-reading",
                "group.id": "leadstream-reading",  # librdkafka wants a name; the group is never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,  # the end may be no record: one that was compacted away, or a marker
                "auto.offset.reset": "earliest",  # what expires while it is read is skipped
                "queued.max.messages.kbytes": 16384,
                "log_level": 0,  # its errors reach us as exceptions
            },
            logger=logging.getLogger("librdkafka"),  # else it writes to stderr by itself
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition: the offset of the first record there is, and that of the next one to come."""
        try:
            found = self._consumer.list_topics(topic, timeout=PATIENCE).topics[topic]
            bounds = {
                partition: self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE)
                for partition in sorted(found.partitions)
            }
        except KafkaException as error:
            raise _translated(topic, error.args[0]) from None
        if found.error is not None:
            raise _translated(topic, found.error)
        return bounds

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]:
        """The records from `since` on, else from the first, to `until`, else to the end as it is now.

        In order within a partition. One reading at a time: another one ends it.
        """
        ends: dict[int, int] = {}
        starts: dict[int, int] = {}
        for partition, (first, last) in self.bounds(topic).items():
            start = max(first, (since or {}).get(partition, first))
            end = min(last, (until or {}).get(partition, last))
            if start < end:
                starts[partition], ends[partition] = start, end
        if not ends:
            return
        with closing(self._arrivals(topic, starts)) as arrivals:
            for partition, received in arrivals:
                end = ends.get(partition, 0)
                if received is not None and received.offset < end:
                    yield received
                if received is None or received.offset + 1 >= end:
                    ends.pop(partition, None)
                    if not ends:
                        return

    def follow(self, topic: str, since: Offsets, until: Callable[[], bool] = lambda: False) -> Iterator[Received]:
        """The records from `since` on, and those to come, until told to end: `until` is asked several times a second.

        ReadingError when nobody answers.
        """
        return (received for _, received in self._arrivals(topic, since, until) if received is not None)

    def _arrivals(
        self, topic: str, since: Offsets, until: Callable[[], bool] = lambda: False
    ) -> Generator[tuple[int, Received | None], None, None]:
        """The partition and the record, or None where there is none after it yet. ReadingError when nobody answers."""
        self._consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in since.items()])
        heard = time.monotonic()
        try:
            while not until():
                messages = self._consumer.consume(_AT_ONCE, timeout=0.2)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > PATIENCE:
                    self.bounds(topic)  # nothing new, or nobody there
                    heard = time.monotonic()
                for message in messages:
                    yield _arrival(topic, message)
        finally:
            self._consumer.unassign()


def _arrival(topic: str, message: Message) -> tuple[int, Received | None]:
    partition, offset = message.partition(), message.offset()
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  its public name
        raise _translated(topic, error)
    if partition is None or offset is None:
        raise ReadingError(f"{topic} cannot be read: a record came without its place")
    if error is not None:
        return partition, None
    return partition, Received(
        topic=topic,
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        headers=tuple(_headers(message)),
        timestamp=message.timestamp()[1],
    )


def _headers(message: Message) -> Iterator[tuple[str, bytes]]:
    found = message.headers() or []
    for name, value in found.items() if isinstance(found, dict) else found:  # it reads a list and takes either
        yield name, value.encode() if isinstance(value, str) else value or b""


def _translated(topic: str, error: KafkaError) -> ReadingError:
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return NoSuchTopic(f"{topic} does not exist: run `leadstream topics apply`, or is TOPIC_PREFIX another?")
    return ReadingError(
        f"{topic} cannot be read ({error.str().rstrip('.')}): is KAFKA_BOOTSTRAP_SERVERS right, is the cluster up, and"
        " may we read it?"
    )
