"""How many records a worker may give up within a minute: beyond it, it stands still instead of emptying a topic.

A defect of ours, or a broken answer of Meta's, would otherwise turn a day's leads into dead letters before anybody
looks. What stands still loses nothing: the records stay open, and nothing is committed past them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from ingest import telemetry

_MINUTE = 60.0


class Limit:
    """`per_minute` records; `clock` is monotonic seconds, `pause` waits for so many."""

    def __init__(
        self,
        *,
        worker: str,
        per_minute: int,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worker = worker
        self._per_minute = per_minute
        self._clock = clock
        self._pause = pause
        self._given_up: deque[float] = deque()
        self._turn = asyncio.Lock()
        self._told_at: float | None = None

    async def give_up(self) -> None:
        """Returns when one more record may be given up; that somebody has to wait is an alarm, once a minute."""
        async with self._turn:
            while self._full():
                if self._told_at is None or self._clock() - self._told_at >= _MINUTE:
                    telemetry.log("error", "worker.limit", worker=self._worker, per_minute=self._per_minute)
                    self._told_at = self._clock()
                await self._pause(self._given_up[0] + _MINUTE - self._clock())
            self._given_up.append(self._clock())

    def _full(self) -> bool:
        now = self._clock()
        while self._given_up and now - self._given_up[0] >= _MINUTE:
            self._given_up.popleft()
        return len(self._given_up) >= self._per_minute
