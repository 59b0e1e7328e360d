"""Faust carries batches: nothing is lost or moved in them, no partition goes first, and a rebalance ends one."""

import asyncio
from collections.abc import Hashable, Iterator, Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult
from aiokafka.errors import TopicAuthorizationFailedError
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from ingest.records import Received
from processors.agents import take
from processors.batches import BATCH, EACH, InBatches
from processors.consumer import _Thread
from processors.window import Partition, Window

RAW = TP("meta.leadgen.raw", 0)


def record(tp: TP, offset: int) -> ConsumerRecord:
    return ConsumerRecord(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=1_700_000_000_123,
        timestamp_type=0,
        key=b"1",
        value=b"{}",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=2,
        headers=(("source", b"webhook"),),
    )


def records(tp: TP, count: int) -> list[ConsumerRecord]:
    return [record(tp, offset) for offset in range(count)]


partitions = st.builds(TP, st.sampled_from(["meta.leadgen.raw", "meta.leadgen.again"]), st.integers(0, 3))


@given(st.dictionaries(partitions, st.integers(1, 2 * BATCH)))
def test_every_record_is_in_one_batch_of_its_topic_and_those_of_a_partition_are_in_order(sizes: dict[TP, int]) -> None:
    read = {tp: records(tp, size) for tp, size in sizes.items()}
    seen: dict[TP, list[int]] = {}
    for tp, batch in InBatches().iterate(read):
        assert 0 < len(batch) <= BATCH
        for each in batch:
            assert each.topic == tp.topic
            seen.setdefault(TP(each.topic, each.partition), []).append(each.offset)
    assert seen == {tp: list(range(size)) for tp, size in sizes.items()}


def test_a_backlog_of_one_partition_does_not_go_before_the_records_of_the_others() -> None:
    [(_, batch)] = InBatches().iterate({RAW: records(RAW, 4), TP(RAW.topic, 1): records(TP(RAW.topic, 1), 2)})
    assert [(each.partition, each.offset) for each in batch] == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (0, 3)]


class Seen:
    """A step that only remembers."""

    def __init__(self) -> None:
        self.received: list[Received] = []

    def key(self, received: Received) -> Hashable:
        return received.offset

    async def run(self, received: Received) -> None:
        self.received.append(received)


def taken(count: int, *, flowing: int) -> tuple[list[Received], int]:
    """What of a batch reaches the step when a rebalance begins after `flowing` records, and what may be committed."""

    async def scenario() -> tuple[list[Received], int]:
        window, step = Window(size=10, on_defect=lambda _: None), Seen()
        window.assign({Partition(*RAW): 0}, 7)
        flows = iter([True] * flowing + [False])
        await take(records(RAW, count), 7, step, window, lambda: next(flows))
        assert await window.drain(1)
        return step.received, window.low_marks()[Partition(*RAW)]

    return asyncio.run(scenario())


def test_records_reach_the_step_as_they_were_read() -> None:
    [received], mark = taken(1, flowing=1)
    assert received == Received(
        topic="meta.leadgen.raw",
        partition=0,
        offset=0,
        key=b"1",
        value=b"{}",
        headers=(("source", b"webhook"),),
        timestamp=1_700_000_000_123,
    )
    assert mark == 1


def test_what_is_left_of_a_batch_when_a_rebalance_begins_is_not_taken_in() -> None:
    received, mark = taken(5, flowing=2)
    assert [each.offset for each in received] == [0, 1]
    assert mark == 2


class _Read:
    """What aiokafka has read of a partition and not yet given."""

    def __init__(self, tp: TP, count: int) -> None:
        self._left = iter(records(tp, count))
        self.next_fetch_offset = self.position = 0
        self.paused = False

    def __iter__(self) -> Iterator[ConsumerRecord]:
        return self

    def __next__(self) -> ConsumerRecord:
        found = next(self._left)
        self.next_fetch_offset = found.offset + 1
        return found

    def consumed_to(self, position: int) -> None:
        self.position = position


def buffered(tp: TP, count: int) -> FetchResult:
    read = _Read(tp, count)
    ours = SimpleNamespace(active=True, state_value=lambda _: read)
    return FetchResult(tp, assignment=ours, partition_records=read, backoff=0)


def reader(found: Mapping[TP, object]) -> Any:
    """Takes out of what aiokafka has read, as often as it is called."""
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._records, fetcher._closed, fetcher._wait_consume_future = dict(found), False, None  # noqa: SLF001  aiokafka's own
    fetcher._notify = lambda _: None  # noqa: SLF001  as above
    fetcher._subscriptions = SimpleNamespace(  # noqa: SLF001  as above
        reassignment_in_progress=False, fetch_context=nullcontext, is_assigned=lambda _: True
    )
    thread: Any = _Thread.__new__(_Thread)
    thread.consumer = SimpleNamespace(flow_active=True)
    consumer = SimpleNamespace(_fetcher=fetcher, _closed=False)
    return lambda: asyncio.run(thread._fetch_records(consumer, set(found), timeout=0))  # noqa: SLF001  what is tested


def test_some_of_each_partition_is_taken_at_a_time() -> None:
    other = TP(RAW.topic, 1)
    read = reader({RAW: buffered(RAW, EACH + 1), other: buffered(other, 3)})
    assert {tp: len(taken) for tp, taken in read().items()} == {RAW: EACH, other: 3}
    assert [record.offset for record in read()[RAW]] == [EACH]


def test_an_error_of_one_partition_takes_nothing_along_that_was_taken_of_another() -> None:
    error = TopicAuthorizationFailedError(RAW.topic)
    read = reader({RAW: buffered(RAW, EACH + 1), TP(RAW.topic, 1): FetchError(error=error, backoff=0)})
    assert [record.offset for record in read()[RAW]] == list(range(EACH))
    assert [record.offset for record in read()[RAW]] == [EACH]
    with pytest.raises(TopicAuthorizationFailedError):
        read()
