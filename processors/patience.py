"""How long we keep asking: for seconds where Meta may answer yet, without limit where our own side is away.

The pauses are stamina's, so that tests turn them off. What is held is counted, and said once a minute for each reason.
"""

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from ingest import telemetry
from ingest.kafka import NotAcknowledged, Producer, Unacceptable
from ingest.meta.errors import Missing, Unavailable
from ingest.records import Record

Attempts = AsyncIterator[AbstractContextManager[None]]
_Begin = Callable[[], AsyncIterable[stamina.Attempt]]

_SAY_EVERY = 60.0  # seconds


def race() -> Attempts:
    """Attempts for about eight seconds while a lead is not there: notifications can be faster than the lead."""
    return _Attempts(_RACE)


async def deliver(producer: Producer, *records: Record) -> None:
    """Returns when the broker has the records, however long it is away; Unacceptable if it never will."""
    async for attempt in until(NotAcknowledged):
        with attempt:
            await producer.deliver(records)


def until(passing: type[Exception]) -> Attempts:
    """Attempts without end while our own side (Kafka, the registry) is away."""
    return _Attempts(partial(_without_end, passing))


def a_few() -> Attempts:
    """Attempts for a few seconds, while Meta does not answer."""
    return _Attempts(_A_FEW)


_RACE = partial(
    stamina.retry_context,
    on=Missing,
    attempts=6,
    timeout=None,
    wait_initial=0.25,
    wait_max=4.0,
    wait_jitter=0.1,
)
_A_FEW = partial(stamina.retry_context, on=Unavailable, attempts=5, timeout=None, wait_initial=0.2, wait_max=3.0)


def _without_end(passing: type[Exception]) -> AsyncIterable[stamina.Attempt]:
    def again(error: Exception) -> bool:
        return isinstance(error, passing) and not isinstance(error, Unacceptable)

    return stamina.retry_context(on=again, attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0)


class _Attempts:
    """Stamina's attempts, entered only when the first one has failed.

    It nearly always works, a record waits for several such things, and stamina's machinery costs more than all else
    that is done for a record on its way to the step. What has failed is told to stamina as its own first attempt:
    whether it is tried again, after how long and how often, and what is counted, is as if it had been asked at once.
    """

    __slots__ = ("_begin", "_failed", "_further", "_tried")

    def __init__(self, begin: _Begin) -> None:
        self._begin = begin
        self._tried = False
        self._failed: Exception | None = None
        self._further: AsyncIterator[stamina.Attempt] | None = None

    def __aiter__(self) -> "_Attempts":
        return self

    async def __anext__(self) -> AbstractContextManager[None]:
        if not self._tried:
            self._tried = True
            return self
        if self._further is None:
            if self._failed is None:
                raise StopAsyncIteration
            self._further = aiter(self._begin())
            with await anext(self._further):
                raise self._failed
        return await anext(self._further)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            self._failed = error
            return True
        return False


def tell(worker: str, clock: Callable[[], float] = time.monotonic) -> None:
    """From now on retries are counted, instead of logged with whatever they were called with."""
    said: dict[str, float] = {}

    def hook(details: RetryDetails) -> None:
        reason = getattr(details.caused_by, "reason", type(details.caused_by).__name__)
        telemetry.HELD.labels(worker=worker, reason=reason).inc()
        now = clock()
        if now - said.get(reason, -_SAY_EVERY) >= _SAY_EVERY:
            said[reason] = now
            telemetry.log("warning", "worker.held", reason=reason, seconds=round(details.wait_for, 1))

    set_on_retry_hooks([hook])
