"""When each lead came out at the end: a bare consumer of a topic that notes the time when it has read a record."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition


class Arrivals:
    """Reads a topic that is new, in a thread, while the context is open; `read` is done before the time is noted."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, read: Callable[[bytes], object]) -> None:
        self.at: dict[str, int] = {}  # unix nanoseconds, by the record's key
        self._read = read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._consumer.close()

    def _follow(self) -> None:
        while not self._ended.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            key, value = message.key(), message.value()
            if isinstance(key, bytes) and isinstance(value, bytes):
                self._read(value)
                self.at.setdefault(key.decode(), time.time_ns())
