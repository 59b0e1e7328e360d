"""What nearly always works is tried plainly; what has failed is counted, waited for and given up as stamina does it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest
import stamina
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from ingest.kafka import NotAcknowledged, Unacceptable
from ingest.meta.errors import Missing, Unavailable
from ingest.records import LEADS, Record
from processors import patience
from processors.patience import Attempts

RECORD = Record(topic=LEADS, key=b"1", value=b"")


class Broker:
    """Raises what it is told to, one error for each delivery, and takes what comes after."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.asked = 0

    async def deliver(self, _records: Sequence[Record]) -> None:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)

    async def reachable(self, _timeout: float) -> bool:
        return not self.errors


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@pytest.fixture
def held() -> Iterator[list[RetryDetails]]:
    seen: list[RetryDetails] = []

    def hook(details: RetryDetails) -> None:
        seen.append(details)

    before = get_on_retry_hooks()
    set_on_retry_hooks([hook])
    yield seen
    set_on_retry_hooks(before)


def test_what_works_at_once_is_tried_once_and_never_counted(held: list[RetryDetails]) -> None:
    broker = Broker()
    asyncio.run(patience.deliver(broker, RECORD))
    assert broker.asked == 1
    assert held == []


def test_every_try_that_failed_is_counted_and_the_first_is_one_of_them(held: list[RetryDetails]) -> None:
    broker = Broker(NotAcknowledged("first"), NotAcknowledged("second"))
    asyncio.run(patience.deliver(broker, RECORD))
    assert broker.asked == 3
    assert [(told.retry_num, str(told.caused_by)) for told in held] == [(1, "first"), (2, "second")]


@pytest.mark.parametrize("error", [Unacceptable("too-large"), ValueError("a defect"), asyncio.CancelledError()])
@pytest.mark.parametrize("before", [[], [NotAcknowledged()]])
def test_what_is_not_passing_is_raised_at_once_as_it_is(error: BaseException, before: list[BaseException]) -> None:
    broker = Broker(*before, error)

    async def deliver() -> BaseException | None:
        try:
            await patience.deliver(broker, RECORD)
        except BaseException as raised:  # noqa: BLE001  a cancellation is one of the cases
            return raised
        return None

    assert asyncio.run(deliver()) is error
    assert broker.asked == len(before) + 1


@pytest.mark.parametrize(
    ("attempts", "error", "tries"),
    [(patience.a_few, Unavailable("timeout"), 5), (patience.race, Missing("not-found"), 6)],
    ids=["while Meta does not answer", "while a lead is not there"],
)
def test_tries_have_an_end_and_the_first_is_one_of_them(
    attempts: Callable[[], Attempts], error: Exception, tries: int
) -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        async for attempt in attempts():
            with attempt:
                asked += 1
                raise error

    with pytest.raises(type(error)):
        asyncio.run(ask())
    assert asked == tries
