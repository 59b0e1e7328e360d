"""The Faust loops, and nothing more: what is read goes to the window, which runs the step."""

from collections.abc import Hashable, Iterable
from functools import partial
from typing import Protocol, cast

import faust
from faust.types import StreamT

from ingest.records import Received
from processors.window import Partition, Window


class Step(Protocol):
    """What a worker does with one record."""

    def key(self, received: Received) -> Hashable:
        """Records of the same key are worked on one after another."""
        ...

    async def run(self, received: Received) -> None:
        """Returns when everything that came of the record is acknowledged; raises only for a defect of ours."""
        ...


def attach(app: faust.App, topic: str, step: Step, window: Window) -> None:
    """Reads a topic as raw bytes: what cannot be decoded is the step's to decide, not Faust's to skip."""

    async def read(stream: StreamT[bytes]) -> None:
        async for event in cast("faust.Stream[bytes]", stream).noack().events():
            message = event.message
            received = Received(
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                key=message.key,
                value=message.value,
                headers=tuple(cast("Iterable[tuple[str, bytes]]", message.headers or ())),
                timestamp=int(message.timestamp * 1000),
            )
            await window.admit(
                Partition(message.topic, message.partition),
                message.offset,
                message.generation_id or 0,
                key=step.key(received),
                work=partial(step.run, received),
            )

    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(channel, name=topic)(read)
