"""A topic is known to its end, and goes on being known, whatever becomes of a reader."""

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import pytest
from confluent_kafka import KafkaException

from ingest.reading import Offsets
from ingest.records import Received
from ingest.settings import KafkaSettings
from processors import following

SETTINGS = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")


def record(offset: int) -> Received:
    return Received(topic="t", partition=0, offset=offset, key=b"k", value=b"", headers=(), timestamp=0)


class Reader:
    """The first one fails with an error that is none of its own, as often as it is told."""

    failures = 1

    def __init__(self, _settings: KafkaSettings) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        return {0: (0, 2)}

    def read(self, topic: str, since: Offsets | None = None) -> Iterator[Received]:
        for offset in range((since or {}).get(0, 0), 2):
            yield record(offset)
            if Reader.failures:
                Reader.failures -= 1
                raise KafkaException

    def follow(self, topic: str, since: Offsets, until: Callable[[], bool]) -> Iterator[Received]:
        yield record(since[0])


def test_a_reader_that_breaks_is_replaced_and_no_record_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "Reader", Reader)
    monkeypatch.setattr(following, "_AGAIN_AFTER", 0.0)
    taken: list[int] = []

    async def scenario() -> None:
        async with asyncio.timeout(5):
            async with following.following(SETTINGS, "t", lambda received: taken.append(received.offset)):
                assert taken[:2] == [0, 1]

    asyncio.run(scenario())
    assert taken == sorted(set(taken))
