"""Several workers are one: ready together, ended together, and what ended them is told plainly."""

import asyncio

import pytest

from processors.together import reports, run_together


class Worker:
    """Runs until it is stopped, or until its time to fail has come."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.ended = ""

    async def run(self, stop: asyncio.Event) -> None:
        try:
            if self.failure is not None:
                raise self.failure
            await stop.wait()
            self.ended = "stopped"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    await asyncio.sleep(0)
    raise LookupError from KeyError()


def test_it_is_ready_when_all_are_and_else_says_why_the_first_is_not() -> None:
    heard: list[tuple[bool, str]] = []
    first, second = reports(lambda ready, why: heard.append((ready, why)), 2)

    first(True, "")
    second(False, "the broker does not answer")
    second(True, "")
    first(False, "the group is rebalancing")

    assert heard == [
        (False, "starting"),
        (False, "the broker does not answer"),
        (True, ""),
        (False, "the group is rebalancing"),
    ]


def test_a_stop_ends_the_workers_and_then_what_runs_beside_them() -> None:
    workers = [Worker(), Worker()]

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(run_together(workers, stop, beside=for_ever()))
        await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(running, 5)

    asyncio.run(scenario())
    assert [worker.ended for worker in workers] == ["stopped", "stopped"]


def test_a_worker_that_fails_ends_all_and_is_told_with_its_cause() -> None:
    failure = RuntimeError()
    failure.__cause__ = TimeoutError()
    healthy = Worker()

    with pytest.raises(RuntimeError) as raised:
        asyncio.run(run_together([healthy, Worker(failure)], asyncio.Event(), beside=for_ever()))

    assert raised.value is failure
    assert isinstance(raised.value.__cause__, TimeoutError)
    assert healthy.ended == "cancelled"


def test_what_fails_beside_the_workers_ends_them_too() -> None:
    healthy = Worker()

    with pytest.raises(LookupError) as raised:
        asyncio.run(run_together([healthy], asyncio.Event(), beside=fails()))

    assert isinstance(raised.value.__cause__, KeyError)
    assert healthy.ended == "cancelled"
