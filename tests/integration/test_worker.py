"""A worker that can no longer keep its promise ends, and has committed nothing it may not; the faults are injected."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

# The name is public, but brought into the module without saying so.
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ingest.groups import begin
from ingest.records import Received
from ingest.settings import KafkaSettings
from processors.worker import Worker, WorkerFailed

RECORDS = 3000  # more than Faust buffers


class Numbers:
    """Steps over records that hold their number; a test says what goes wrong, and when to let them go."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.bad_key: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def key(self, received: Received) -> Hashable:
        number = int(received.value or b"0")
        if number == self.bad_key:
            raise ValueError("a defect of ours")
        return number

    async def run(self, received: Received) -> None:
        await self.gate.wait()
        self.done.append(int(received.value or b"0"))


class Bench:
    """A topic of one partition with numbered records, and a worker over it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.prefix = prefix
        self.settings = KafkaSettings(kafka_bootstrap_servers=bootstrap)
        self.topic = f"{prefix}numbers"
        self.group = f"{prefix}leadstream-numbers"
        self.ready = False

    def fill(self) -> None:
        bootstrap = self.settings.kafka_bootstrap_servers
        admin = AdminClient({"bootstrap.servers": bootstrap})  # kept: it ends what it was asked when it goes
        [made] = admin.create_topics([NewTopic(self.topic, 1, 1)]).values()
        made.result(20)
        producer = Producer({"bootstrap.servers": bootstrap})
        for number in range(RECORDS):
            producer.produce(self.topic, value=str(number))
        producer.flush(20)

    def worker(self, step: Numbers, *, size: int = 1000) -> Worker:
        return Worker(
            kafka=self.settings,
            group=self.group,
            topics=[self.topic],
            step=step,
            size=size,
            reachable=self._reachable,
            report=self._report,
        )

    def committed(self) -> int:
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap_servers, "group.id": self.group})
        [place] = consumer.committed([TopicPartition(self.topic, 0)], timeout=20)
        consumer.close()
        return place.offset

    async def _reachable(self, _timeout: float) -> bool:
        return True

    def _report(self, ready: bool, _why: str) -> None:
        self.ready = ready


@pytest.fixture
def bench(bootstrap: str, topic_prefix: str) -> Bench:
    bench = Bench(bootstrap, topic_prefix)
    bench.fill()
    return bench


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.05)


def test_records_are_done_and_committed_to_the_last(bench: Bench) -> None:
    async def scenario() -> None:
        step, stop = Numbers(), asyncio.Event()
        running = asyncio.create_task(bench.worker(step).run(stop))
        await until(lambda: len(step.done) == RECORDS)
        stop.set()
        await running
        assert step.done == list(range(RECORDS))

    asyncio.run(scenario())
    assert bench.committed() == RECORDS


def test_an_open_record_holds_the_commit_and_a_stop_leaves_it_to_the_next(bench: Bench) -> None:
    async def scenario() -> None:
        step, stop = Numbers(), asyncio.Event()
        step.gate.clear()
        running = asyncio.create_task(bench.worker(step, size=10).run(stop))
        await until(lambda: bench.ready)
        stop.set()
        await running
        assert step.done == []

    asyncio.run(scenario())
    assert bench.committed() == 0


Fault = Callable[[Bench], Coroutine[None, None, str]]


def ended(bench: Bench, fault: Fault) -> str:
    """What the worker said it ended by, in a process of its own: mode and aiokafka leave threads and tasks behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return apart.submit(_apart, bench.settings.kafka_bootstrap_servers, bench.prefix, fault).result(300)


def _apart(bootstrap: str, prefix: str, fault: Fault) -> str:
    return asyncio.run(fault(Bench(bootstrap, prefix)))


async def ends(worker: Worker, after: Callable[[], Coroutine[None, None, None]] | None = None) -> str:
    running = asyncio.create_task(worker.run(asyncio.Event()))
    if after is not None:
        await after()
    try:
        await asyncio.wait_for(running, 180)
    except WorkerFailed as failed:
        return type(failed.__cause__).__name__
    return "nothing"


async def bad_key(bench: Bench) -> str:
    step = Numbers()
    step.bad_key = 20
    return await ends(bench.worker(step))


def test_a_record_that_cannot_even_be_keyed_ends_the_worker_and_is_not_passed(bench: Bench) -> None:
    """Faust starts a failed agent again at the next record; that one would be lost."""
    assert ended(bench, bad_key) == "ValueError"
    assert bench.committed() <= 20


async def lost_group(bench: Bench) -> str:
    step = Numbers()
    step.gate.clear()
    worker = bench.worker(step, size=1)

    async def lose() -> None:
        await until(lambda: bench.ready)
        coordinator = inside(worker)._ensure_consumer()._coordinator  # noqa: SLF001  the fault is inside aiokafka
        coordinator._push_error_to_user(GroupAuthorizationFailedError(bench.group))  # noqa: SLF001  as above

    return await ends(worker, lose)


def test_a_worker_that_its_group_has_lost_ends_though_its_buffers_are_full(bench: Bench) -> None:
    """aiokafka keeps the error until it is asked; a worker that did not ask would go on beside its successor."""
    assert ended(bench, lost_group) == "GroupAuthorizationFailedError"
    assert bench.committed() == 0


async def expired(bench: Bench) -> str:
    return await ends(bench.worker(Numbers()))


def test_records_that_expired_unread_stop_the_worker_and_are_not_jumped_over(bench: Bench) -> None:
    begin(bench.settings, bench.group, [bench.topic])
    admin = AdminClient({"bootstrap.servers": bench.settings.kafka_bootstrap_servers})
    [gone] = admin.delete_records([TopicPartition(bench.topic, 0, 10)]).values()
    gone.result(20)

    assert ended(bench, expired) == "OffsetGone"
    assert bench.committed() == 0


async def dead_thread(bench: Bench) -> str:
    step = Numbers()
    worker = bench.worker(step)

    async def kill() -> None:
        await until(lambda: len(step.done) == RECORDS and bench.ready)
        loop = inside(worker).thread_loop
        loop.call_soon_threadsafe(loop.stop)

    return await ends(worker, kill)


def test_a_worker_whose_consumer_thread_is_dead_ends(bench: Bench) -> None:
    assert ended(bench, dead_thread) != "nothing"


def inside(worker: Worker) -> Any:
    """The consumer's thread: Faust's and aiokafka's own, where the faults are put."""
    app: Any = worker._app  # noqa: SLF001  see above
    return app.consumer._thread  # noqa: SLF001  see above
