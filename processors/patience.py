"""How long we keep asking: for seconds where Meta may answer yet, without limit where our own side is away.

The pauses are stamina's, so that tests turn them off. What is held is counted, and said once a minute for each reason.
"""

import time
from collections.abc import AsyncIterator, Callable

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from ingest import telemetry
from ingest.kafka import NotAcknowledged, Producer, Unacceptable
from ingest.meta.errors import Missing, Unavailable
from ingest.records import Record

Attempts = AsyncIterator[stamina.Attempt]

_SAY_EVERY = 60.0  # seconds


def race() -> Attempts:
    """Attempts for about eight seconds while a lead is not there: notifications can be faster than the lead."""
    return aiter(
        stamina.retry_context(on=Missing, attempts=6, timeout=None, wait_initial=0.25, wait_max=4.0, wait_jitter=0.1)
    )


async def deliver(producer: Producer, *records: Record) -> None:
    """Returns when the broker has the records, however long it is away; Unacceptable if it never will."""
    async for attempt in until(NotAcknowledged):
        with attempt:
            await producer.deliver(records)


def until(passing: type[Exception]) -> Attempts:
    """Attempts without end while our own side (Kafka, the registry) is away."""

    def again(error: Exception) -> bool:
        return isinstance(error, passing) and not isinstance(error, Unacceptable)

    return aiter(stamina.retry_context(on=again, attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0))


def a_few() -> Attempts:
    """Attempts for a few seconds, while Meta does not answer."""
    return aiter(stamina.retry_context(on=Unavailable, attempts=5, timeout=None, wait_initial=0.2, wait_max=3.0))


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
