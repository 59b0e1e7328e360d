"""A topic that a worker keeps knowing: read to its end before the first use, then for as long as the worker lives.

No group, nothing committed. When the broker is away, what was read last stays in force.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from confluent_kafka import KafkaException

from ingest import telemetry
from ingest.reading import Reader, ReadingError
from ingest.records import Received
from ingest.settings import KafkaSettings

_AGAIN_AFTER = 1.0  # seconds


@asynccontextmanager
async def following(settings: KafkaSettings, topic: str, take: Callable[[Received], None]) -> AsyncIterator[None]:
    """Within it, `take` is called in the event loop with every record of `topic`, which carries its prefix.

    It is entered when everything that lay there was taken.
    """
    loop = asyncio.get_running_loop()
    whole, closing = asyncio.Event(), threading.Event()
    read: dict[int, int] = {}

    def hand_over(received: Received) -> None:
        loop.call_soon_threadsafe(take, received)
        read[received.partition] = received.offset + 1

    def follow(reader: Reader) -> None:
        for received in reader.read(topic, since=read):
            hand_over(received)
        loop.call_soon_threadsafe(whole.set)
        since = {number: read.get(number, first) for number, (first, _) in reader.bounds(topic).items()}
        for received in reader.follow(topic, since, until=closing.is_set):
            hand_over(received)

    def keep_following() -> None:
        while not closing.is_set():
            try:
                with Reader(settings) as reader:
                    follow(reader)
            except (ReadingError, KafkaException):  # a thread that ended would leave the worker with what it knows now
                telemetry.log("warning", "access.unread", topic=topic)
                closing.wait(_AGAIN_AFTER)

    thread = threading.Thread(target=keep_following, name=f"following {topic}", daemon=True)
    thread.start()
    try:
        await whole.wait()
        yield
    finally:
        closing.set()
        await asyncio.to_thread(thread.join)
