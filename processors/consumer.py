"""Faust's consumer, committing what the window allows and nothing else.

Faust keeps its own account of acknowledged messages and commits from it; that account loses records (an agent that
raises acknowledges, and so does a cancelled one). Here it is not used at all: every commit, on the timer, on a
rebalance and at the end, takes its offsets from `Window.low_marks`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import ClassVar, Protocol, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.consumer.fetcher import FetchError
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.transports import ConsumerT
from faust.types.tuples import ConsumerMessage

from ingest import telemetry
from processors.batches import EACH, Batch, as_message
from processors.window import Partition, Window

DRAIN_SECONDS = 5.0
LEAVE_SECONDS = 4.0  # longer than a heartbeat's interval, which is how long a join takes
SEEK_SECONDS = 20.0  # less than Faust's own patience, broker_request_timeout


class OffsetGone(Exception):
    """The committed offset is older than the topic's first record: records expired unread, and a person must decide.

    `leadstream replay` moves the group to where reading may go on.
    """


class Windowed(Protocol):
    """A Faust app with a window."""

    window: Window
    drain_seconds: float  # how long what is open may take to finish before its partitions are given up


class WindowedConsumer(Consumer):
    """Reads for a group; what it commits and gives up is the window's decision."""

    _thread: "_Thread"

    @property
    def window(self) -> Window:
        return cast("Windowed", self.app).window

    async def check(self) -> None:
        """Raises what has ended aiokafka's work for the group; never returns while its thread is dead.

        aiokafka keeps such an error until it is asked for, and Faust does not ask while its buffers are full: the
        worker would read on for a group that has long given its partitions to another.
        """
        await self._thread.call_thread(self._thread.check)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full queue holds up the reader. Faust would leave the partition out too, for up to a second."""

    def _to_message(self, tp: TP, record: Batch) -> ConsumerMessage:
        return as_message(tp, record, self.app.consumer_generation_id)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        telemetry.log("info", "worker.assigned", partitions=len(assigned), generation=generation_id)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)  # stops the flow and empties Faust's buffers
        await self._give_up(revoked)
        telemetry.log("info", "worker.revoked", partitions=len(revoked))

    async def on_stop(self) -> None:
        # Else aiokafka answers a rebalance that comes now with a join, and its stop ends that join without leaving: the
        # group would keep partitions for a member that is gone, until its session is over.
        await self._within(self._thread.join_no_more)
        await self._give_up(self.assignment())
        await self._within(self._thread.leave)
        await super().on_stop()

    async def _within(self, do: Callable[[], Awaitable[None]]) -> None:
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._thread.call_thread(do), LEAVE_SECONDS)

    async def perform_seek(self) -> None:
        try:
            async with asyncio.timeout(SEEK_SECONDS):
                await super().perform_seek()
        except TimeoutError as error:
            # Faust takes its own timeout for a stop, and would never again resume the flow of records.
            await self.crash(error)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        generation = self.app.consumer_generation_id
        offsets = await super().seek_to_committed()
        # Here, where it is known from where records will come, and before their flow is resumed.
        self.window.assign({Partition(tp.topic, tp.partition): at for tp, at in offsets.items()}, generation)
        return offsets

    async def force_commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002  Faust's signature
        mine = self.assignment()
        marks = {TP(partition.topic, partition.number): mark for partition, mark in self.window.low_marks().items()}
        new = {tp: mark for tp, mark in marks.items() if tp in mine and mark > (self._committed_offset[tp] or 0)}
        if not new or not await self._commit(new):
            return False
        self._committed_offset.update(new)
        return True

    async def _give_up(self, partitions: set[TP]) -> None:
        try:
            await self.window.drain(cast("Windowed", self.app).drain_seconds)
            await self.force_commit()
        finally:
            await self.window.revoke(Partition(tp.topic, tp.partition) for tp in partitions)


class _Thread(AIOKafkaConsumerThread):
    """The consumer's own thread, in which aiokafka runs."""

    def on_crash(self, msg: str, *fmt: object, **kwargs: object) -> None:
        """mode would print the traceback, whose text is not ours to vouch for; the crash itself is told elsewhere."""

    async def check(self) -> None:
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  aiokafka asks itself so, in calls Faust passes by
        if coordinator is not None:
            coordinator.check_errors()

    async def join_no_more(self) -> None:
        """From now on a rebalance of the group is not answered; its heartbeat goes on."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  aiokafka knows only to close everything
        if coordinator is not None and not coordinator._closing.done():  # noqa: SLF001  as above
            coordinator._closing.set_result(None)  # noqa: SLF001  as above

    async def leave(self) -> None:
        """Tells the group that its partitions are free; a join that was under way ends first."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  as above
        if coordinator is not None:
            await coordinator._maybe_leave_group()  # noqa: SLF001  as above

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust takes round robin, which would give a page's raw records to one worker and those that come back to
        # another. By range, the same partition of two topics is one worker's.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)  # noqa: SLF001  Faust offers no setting
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,  # noqa: ARG002  Faust's signature
    ) -> Mapping[TP, list[ConsumerRecord]]:
        """Some of each partition: aiokafka would give all it has, megabytes of each, or empty one partition first."""
        records = dict(await super()._fetch_records(consumer, active_partitions, timeout, EACH))
        fetcher = consumer._fetcher  # noqa: SLF001  Faust asks it so
        for tp, found in list(fetcher._records.items()):  # noqa: SLF001  as above
            if not records or fetcher._subscriptions.reassignment_in_progress:  # noqa: SLF001  as above
                break  # it would wait for the next generation, and what was taken is of this one
            # An error is raised at a next turn: now it would take along what was taken of other partitions.
            if tp not in active_partitions or tp in records or isinstance(found, FetchError):
                continue
            records |= await fetcher.fetched_records([tp], timeout=0, max_records=EACH)
        return records

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Whether the broker took the offsets; what it did not take is offered again at the next turn."""
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()
        }
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
        assigned = list(consumer.assignment())
        first, committed = await asyncio.gather(
            consumer.beginning_offsets(assigned),
            asyncio.gather(*(consumer.committed(partition) for partition in assigned)),
        )
        offsets = {}
        for partition, offset in zip(assigned, committed, strict=True):
            if offset is None:  # a partition added since the group began: see ingest/groups.py
                await consumer.commit({partition: OffsetAndMetadata(first[partition], "")})
            elif offset < first[partition]:
                telemetry.log(
                    "error",
                    "worker.offset-gone",
                    topic=partition.topic,
                    partition=partition.partition,
                    committed=offset,
                    first=first[partition],
                )
                gone = OffsetGone()
                await self.crash(gone)
                raise gone
            at = first[partition] if offset is None else offset
            consumer.seek(partition, at)
            offsets[TP(partition.topic, partition.partition)] = at
        return offsets


class WindowedTransport(Transport):
    """Faust's Kafka driver with our consumer."""

    Consumer: ClassVar[type[ConsumerT]] = WindowedConsumer
