"""A record goes back when it is due by the clock as it is, and a page's records in the order in which they lay."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import stamina

from ingest.records import AGAIN, RETRY, Received, Record, headers
from processors.retry import Retry
from processors.window import Partition, Window
from tests.doubles import Broker

NOW = 1_795_000_000_000
MINUTE = 60_000


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    """Ten attempts without pauses stand for attempts without end."""
    with stamina.set_testing(True, attempts=10):
        yield


class Clock:
    """A clock that moves only when it is waited for, or is set."""

    def __init__(self) -> None:
        self.now = NOW
        self.waits: list[float] = []
        self.jumps: list[int] = []  # milliseconds, made while somebody waits

    def __call__(self) -> int:
        return self.now

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += round(seconds * 1000) + (self.jumps.pop(0) if self.jumps else 0)
        await asyncio.sleep(0)


class Watched(Broker):
    """A broker that remembers what the clock said when it was given something."""

    def __init__(self, clock: Clock, *, refusals: int = 0) -> None:
        super().__init__(refusals=refusals)
        self.clock = clock
        self.at: list[int] = []

    async def deliver(self, records: Sequence[Record]) -> None:
        self.at.append(self.clock())
        await super().deliver(records)


def waiting(offset: int = 0, *, page: str = "1", since: int = NOW) -> Received:
    return Received(
        topic=RETRY[0],
        partition=0,
        offset=offset,
        key=page.encode(),
        value=f'{{"n":{offset}}}'.encode(),
        headers=headers({"origin": f"3@{offset}", "attempt": 2, "fate-reason": "no-answer"}),
        timestamp=since,
    )


def step(broker: Broker, clock: Clock, *, delay: float = 60.0) -> Retry:
    return Retry(delay=delay, producer=broker, clock=clock, wait=clock.wait)


def run(retry: Retry, *records: Received) -> None:
    """As a worker does it: all of them open at once."""
    defects: list[Exception] = []

    async def scenario() -> None:
        window = Window(size=100, on_defect=defects.append)
        partition = Partition(RETRY[0], 0)
        window.assign({partition: 0}, 1)
        for record in records:
            await window.admit(partition, record.offset, 1, key=retry.key(record), work=partial(retry.run, record))
        assert await window.drain(5)
        assert window.low_marks() == {partition: records[-1].offset + 1}

    asyncio.run(scenario())
    assert defects == []


def test_a_record_goes_back_as_it_was_when_its_time_has_come_and_not_before() -> None:
    clock = Clock()
    broker = Watched(clock)
    record = waiting()

    run(step(broker, clock), record)

    assert broker.records == [Record(topic=AGAIN, key=record.key, value=record.value, headers=record.headers)]
    assert broker.at == [NOW + MINUTE]


def test_a_record_that_is_overdue_goes_back_at_once() -> None:
    clock = Clock()
    broker = Watched(clock)

    run(step(broker, clock), waiting(since=NOW - MINUTE))

    assert (broker.at, clock.waits) == ([NOW], [])


def test_a_clock_that_is_set_forward_is_obeyed_within_seconds() -> None:
    clock = Clock()
    clock.jumps = [3 * MINUTE]
    broker = Watched(clock)

    run(step(broker, clock, delay=120.0), waiting())

    assert (len(broker.at), clock.waits) == (1, [10.0])


def test_a_clock_that_is_set_back_is_waited_for_again() -> None:
    clock = Clock()
    clock.jumps = [0, -5 * MINUTE]
    broker = Watched(clock)

    run(step(broker, clock), waiting())

    assert broker.at == [NOW + MINUTE]
    assert sum(clock.waits) == 60 + 5 * 60


def test_a_page_keeps_its_order_though_a_later_record_is_due_before() -> None:
    clock = Clock()
    broker = Watched(clock)

    run(step(broker, clock), waiting(0), waiting(1, since=NOW - MINUTE), waiting(2, since=NOW + 1))

    assert [record.value for record in broker.records] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert broker.at == [NOW + MINUTE, NOW + MINUTE, NOW + MINUTE + 1]


def test_a_page_waits_for_no_other() -> None:
    clock = Clock()
    broker = Watched(clock)

    run(step(broker, clock), waiting(0, page="1"), waiting(1, page="2", since=NOW - MINUTE))

    assert [record.key for record in broker.records] == [b"2", b"1"]
    assert broker.at[0] < broker.at[1] == NOW + MINUTE


class Slow(Broker):
    """A broker that acknowledges nothing until it has been given `records`."""

    def __init__(self, records: int) -> None:
        super().__init__()
        self.left = records
        self.whole = asyncio.Event()

    async def deliver(self, records: Sequence[Record]) -> None:
        await super().deliver(records)
        self.left -= 1
        if not self.left:
            self.whole.set()
        await self.whole.wait()


def test_what_is_due_of_a_page_does_not_wait_for_the_acknowledgement_of_what_lay_before() -> None:
    broker = Slow(50)

    run(step(broker, Clock()), *(waiting(number, since=NOW - MINUTE) for number in range(50)))

    assert [record.value for record in broker.records] == [f'{{"n":{number}}}'.encode() for number in range(50)]


def test_a_record_is_not_done_before_the_broker_has_it() -> None:
    clock = Clock()
    broker = Watched(clock, refusals=3)

    run(step(broker, clock), waiting())

    assert (len(broker.records), broker.tries) == (1, 4)
