"""A record that waits on a rung of the ladder goes back when it is due: never early, and holding up no other page.

Due is its timestamp and the rung's delay, by a clock that may be set while records wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from weakref import WeakValueDictionary

from ingest import telemetry
from ingest.kafka import Producer
from ingest.records import Received, sent_again
from processors import patience

LONGEST_WAIT = 10.0  # seconds after which the clock is asked again


class Retry:
    """The step of `work retry` on one rung, whose `delay` is in seconds; `clock` gives unix milliseconds.

    A page's records are handed to the producer in the order in which they lay. Each waits for its own acknowledgement,
    so that thousands that are due at once take seconds: one after another they would take a round trip each, and other
    pages' records would be late behind them.
    """

    def __init__(
        self,
        *,
        delay: float,
        producer: Producer,
        clock: Callable[[], int],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._delay = round(delay * 1000)
        self._producer = producer
        self._clock = clock
        self._wait = wait
        self._turns: WeakValueDictionary[bytes | None, asyncio.Lock] = WeakValueDictionary()

    def key(self, received: Received) -> Hashable:
        """Every record for itself: their order is kept here."""
        return received.partition, received.offset

    async def run(self, received: Received) -> None:
        turn = self._turns.setdefault(received.key, asyncio.Lock())
        async with turn:
            await self._until_due(received)
            # Tasks begin in the order in which they were made, and this one begins by handing the record over.
            delivery = asyncio.create_task(patience.deliver(self._producer, sent_again(received)))
        await delivery
        telemetry.RECORDS.labels(worker="retry", outcome="forwarded").inc()

    async def _until_due(self, received: Received) -> None:
        while (left := received.timestamp + self._delay - self._clock()) > 0:
            await self._wait(min(left / 1000, LONGEST_WAIT))
