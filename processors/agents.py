"""The Faust loops, and nothing more: what is read goes to the window, which runs the step."""

import asyncio
from collections.abc import Hashable, Iterable
from functools import partial
from typing import Protocol, cast

import faust
from faust.types import Message, StreamT

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
            try:
                received = _received(message)
                key = step.key(received)
            except Exception as error:  # noqa: BLE001  whatever it is, this record must not be passed over
                window.fail(error)
                # Faust would start the agent again at the next record, and the mark would pass this one.
                await asyncio.Event().wait()
            await window.admit(
                Partition(message.topic, message.partition),
                message.offset,
                message.generation_id or 0,
                key=key,
                work=partial(step.run, received),
            )

    # `acks` would keep Faust's own account, which nobody reads and which slows with every gap of a compacted topic.
    channel = app.topic(
        topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", acks=False
    )
    app.agent(channel, name=topic)(read)


def _received(message: Message) -> Received:
    return Received(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(cast("Iterable[tuple[str, bytes]]", message.headers or ())),
        timestamp=int(message.timestamp * 1000),
    )
