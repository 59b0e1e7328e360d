"""Faust's consumer, committing what the window allows and nothing else.

Faust keeps its own account of acknowledged messages and commits from it; that account loses records (an agent that
raises acknowledges, and so does a cancelled one). Here it is not used at all: every commit, on the timer, on a
rebalance and at the end, takes its offsets from `Window.low_marks`.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol, cast

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.transports import ConsumerT

from ingest import telemetry
from processors.window import Partition, Window

DRAIN_SECONDS = 5.0


class OffsetGone(Exception):
    """The committed offset is older than the topic's first record: records expired unread, and a person must decide.

    `leadstream replay` moves the group to where reading may go on.
    """


class Windowed(Protocol):
    """A Faust app with a window."""

    window: Window


class WindowedConsumer(Consumer):
    """Reads for a group; what it commits and gives up is the window's decision."""

    @property
    def window(self) -> Window:
        return cast("Windowed", self.app).window

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Before the flow of records is resumed: a record that arrives first would be dropped as somebody else's.
        self.window.assign((Partition(tp.topic, tp.partition) for tp in assigned), generation_id)
        telemetry.log("info", "worker.assigned", partitions=len(assigned), generation=generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)  # stops the flow and empties Faust's buffers
        await self._give_up(revoked)
        telemetry.log("info", "worker.revoked", partitions=len(revoked))

    async def on_stop(self) -> None:
        await self._give_up(self.assignment())
        await super().on_stop()

    async def force_commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002  Faust's signature
        marks = {TP(partition.topic, partition.number): mark for partition, mark in self.window.low_marks().items()}
        new = {tp: mark for tp, mark in marks.items() if self._committed_offset[tp] != mark}
        if not new or not await self._commit(new):
            return False
        self._committed_offset.update(new)
        return True

    async def _give_up(self, partitions: set[TP]) -> None:
        await self.window.drain(DRAIN_SECONDS)
        await self.force_commit()
        await self.window.revoke(Partition(tp.topic, tp.partition) for tp in partitions)


class _Thread(AIOKafkaConsumerThread):
    """The consumer's own thread, in which aiokafka runs."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Whether the broker took the offsets; what it did not take is offered again at the next turn."""
        mine = self.assignment()
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in mine
        }
        if not wanted:
            return False
        try:
            await self._ensure_consumer().commit(wanted)
        except (CommitFailedError, IllegalStateError):
            return False  # the group has moved on: the next owner reads these records again
        except KafkaError as error:
            if not error.retriable:
                await self.crash(error)
            return False
        return True

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Moves every assigned partition to where its group stands, a new partition to its first record.

        Raises OffsetGone where that record is no more: going on silently from the first one that is left is how
        records are lost without a word.
        """
        offsets: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return offsets

    async def _seek_to_committed(self) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        first = await consumer.beginning_offsets(assigned)
        offsets = {}
        for partition in assigned:
            committed: int | None = await consumer.committed(partition)
            if committed is not None and committed < first[partition]:
                gone = OffsetGone(f"{partition.topic}/{partition.partition}: {committed} < {first[partition]}")
                await self.crash(gone)
                raise gone
            if committed is None:  # a partition added since the group began: see ingest/groups.py
                committed = first[partition]
                await consumer.commit({partition: OffsetAndMetadata(committed, "")})
            consumer.seek(partition, committed)
            offsets[TP(partition.topic, partition.partition)] = committed
        return offsets


class WindowedTransport(Transport):
    """Faust's Kafka driver with our consumer."""

    Consumer: ClassVar[type[ConsumerT]] = WindowedConsumer
