"""The Faust loops, and nothing more: what is read goes to the window, which runs the step."""

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Protocol, cast

import faust
from aiokafka import ConsumerRecord
from faust.types import StreamT

from ingest.records import Received
from processors.batches import AsTheyAre, Batch
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

    async def read(stream: StreamT[Batch]) -> None:
        async for event in cast("faust.Stream[Batch]", stream).noack().events():
            await take(event.value, event.message.generation_id or 0, step, window, app.flow_control.is_active)

    # `acks` would keep Faust's own account, which nobody reads and which slows with every gap of a compacted topic.
    app.agent(app.topic(topic, schema=AsTheyAre(), acks=False), name=topic)(read)


async def take(batch: Batch, generation: int, step: Step, window: Window, flows: Callable[[], bool]) -> None:
    """Has the window run the step on each record; what is left when a rebalance has begun is read again after it."""
    for record in batch:
        if not flows():
            return
        try:
            received = _received(record)
            key = step.key(received)
        except Exception as error:  # noqa: BLE001  whatever it is, this record must not be passed over
            window.fail(error)
            # Faust would start the agent again at the next batch, and the mark would pass this record.
            await asyncio.Event().wait()
        await window.admit(
            Partition(record.topic, record.partition),
            record.offset,
            generation,
            key=key,
            work=partial(step.run, received),
        )


def _received(record: ConsumerRecord) -> Received:
    return Received(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp=record.timestamp,
    )
