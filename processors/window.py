"""The one place that decides what may be committed: an offset moves past a record only when the record is done.

Records are read in order, worked on side by side, and done in any order. `Ledger` keeps, per partition and assignment,
which of them are open; the offset to commit is always that of the oldest open one. `Window` runs the work: it bounds
how many records are open, runs records of one key one after another, and when partitions are taken away leaves what is
still open to their next owner.

What people get wrong: a record is done when the broker has acknowledged everything that came of it, not when it was
sent; work that was overtaken by a reassignment may finish but must not be counted; and work that raises is a defect,
after which nothing may be committed past it and the process has to end.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

REACH = 100_000  # offsets: a hundred bytes of memory each, and minutes of reading again


class Partition(NamedTuple):
    topic: str
    number: int


@dataclass(slots=True)
class _Assignment:
    generation: int
    next_offset: int  # one past the last record opened; where reading began until the first one is
    opened: deque[int] = field(default_factory=deque)  # in order; the head is the oldest that is not done
    done: set[int] = field(default_factory=set)  # done, but behind an open one


class Ledger:
    """Which records are open, and so what may be committed. Performs no I/O of its own and knows no clock.

    `generation` is the group's, as the consumer was told it with the assignment; a record or a completion that carries
    an older one belongs to somebody else by now and is dropped.
    """

    def __init__(self) -> None:
        self._assignments: dict[Partition, _Assignment] = {}

    def assign(self, offsets: Mapping[Partition, int], generation: int) -> None:
        """These partitions are ours from this generation on, read from these offsets.

        Told again within a generation (the consumer went back to what is committed), it changes nothing: what is open
        stays open, and is not taken in twice.
        """
        for partition, offset in offsets.items():
            known = self._assignments.get(partition)
            if known is None or known.generation != generation:
                self._assignments[partition] = _Assignment(generation, offset)

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """These partitions are ours no longer."""
        for partition in partitions:
            self._assignments.pop(partition, None)

    def open(self, partition: Partition, offset: int, generation: int) -> bool:
        """Takes a record in. False when it is not ours, or was read already: then it must not be worked on.

        Offsets that are passed over do not exist (compaction, transaction markers): Kafka hands records out in order.
        """
        assignment = self._assignments.get(partition)
        if assignment is None or assignment.generation != generation:
            return False
        if offset < assignment.next_offset:
            return False
        assignment.opened.append(offset)
        assignment.next_offset = offset + 1
        return True

    def close(self, partition: Partition, offset: int, generation: int) -> None:
        """The record is done: everything that came of it is acknowledged."""
        assignment = self._assignments.get(partition)
        if assignment is None or assignment.generation != generation:
            return
        assignment.done.add(offset)
        while assignment.opened and assignment.opened[0] in assignment.done:
            assignment.done.remove(assignment.opened.popleft())

    def low_marks(self) -> Mapping[Partition, int]:
        """Per partition the offset that may be committed: the oldest open record, else one past the last done."""
        return {partition: _mark(assignment) for partition, assignment in self._assignments.items()}

    def reach(self, partition: Partition) -> int:
        """How many offsets lie between the mark and the last record opened: what would be read again after a crash."""
        assignment = self._assignments.get(partition)
        return 0 if assignment is None else assignment.next_offset - _mark(assignment)


def _mark(assignment: _Assignment) -> int:
    return assignment.opened[0] if assignment.opened else assignment.next_offset


class _Record(NamedTuple):
    """One that is open."""

    partition: Partition
    offset: int
    generation: int
    key: Hashable


class Window:
    """Runs the work on records: at most `size` of them open, those of one key in their order.

    When the window is full, `admit` waits, so the reader stops reading and Kafka keeps what is not read. It waits too
    where one open record has kept the mark of its partition `reach` offsets back. `on_defect` is told of work that
    raised; from then on the record stays open for ever and no mark passes it.
    """

    def __init__(self, *, size: int, on_defect: Callable[[Exception], None], reach: int = REACH) -> None:
        self._ledger = Ledger()
        self._reach = reach
        self._moved = asyncio.Event()  # some mark has moved, or may have
        self._room = asyncio.Semaphore(size)
        self._on_defect = on_defect
        self._tails: dict[Hashable, asyncio.Task[None]] = {}
        self._running: dict[asyncio.Task[None], _Record] = {}

    def __len__(self) -> int:
        """How many records are open."""
        return len(self._running)

    def assign(self, offsets: Mapping[Partition, int], generation: int) -> None:
        self._ledger.assign(offsets, generation)
        self._moved.set()

    def low_marks(self) -> Mapping[Partition, int]:
        return self._ledger.low_marks()

    async def admit(
        self,
        partition: Partition,
        offset: int,
        generation: int,
        *,
        key: Hashable,
        work: Callable[[], Awaitable[None]],
    ) -> None:
        """Returns when there was room for the record and its work has been started; drops a record that is not ours."""
        await self._room.acquire()
        while self._ledger.reach(partition) >= self._reach:
            self._moved.clear()
            await self._moved.wait()
        if not self._ledger.open(partition, offset, generation):
            self._room.release()
            return
        # Not by `create_task`, which makes a name for each one first; which record it is, `_running` knows.
        task = asyncio.Task(self._run(self._tails.get(key), work), name=partition.topic)
        self._tails[key] = task
        self._running[task] = _Record(partition, offset, generation, key)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        record = self._running.pop(task)
        self._room.release()
        self._moved.set()
        if self._tails.get(record.key) is task:
            del self._tails[record.key]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._ledger.close(record.partition, record.offset, record.generation)
        elif isinstance(error, Exception):
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """A record could not even be taken in: as if its work had raised."""
        self._on_defect(error)

    async def drain(self, seconds: float) -> bool:
        """Waits for the records that are open now; whether all were done in time."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        return not self._running

    async def revoke(self, partitions: Iterable[Partition]) -> None:
        """Gives partitions up: their open records are stopped and left to the next owner."""
        gone = set(partitions)
        self._ledger.revoke(gone)
        self._moved.set()
        tasks = [task for task, record in self._running.items() if record.partition in gone]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _run(before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait((before,))
            if not before.cancelled() and before.exception() is not None:
                # The process is about to end, and the record before this one will be worked on again after it: done
                # now, this one would be overwritten by the older one.
                await asyncio.Event().wait()
        await work()
