"""When a failed connector is restarted, and when it is given up. Performs no I/O, and is told the time.

At most `limit` restarts within `within` seconds, each after twice the pause of the one before. Then it is given up: an
alarm for a person. What made it fail may still end by itself, so one more restart is tried every `within` seconds.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

Step = Literal["restart", "give up", "wait", "recovered", "well"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`every` and `within` are seconds."""

    every: float = 10.0
    limit: int = 5
    within: float = 600.0


class Patience:
    """What is done about one connector, look after look."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._restarts: deque[float] = deque(maxlen=limits.limit)
        self._not_before = float("-inf")
        self._failed = False
        self.given_up = False

    def look(self, failed: bool, now: float) -> Step:
        """What to do about it at `now`, seconds of a clock that never goes back.

        Restarts count though it ran in between: what is wrong with a record shows only when the record is read.
        """
        if not failed:
            if self.given_up:
                self._not_before = now  # that it was restarted in vain is to be told at once
            recovered, self._failed, self.given_up = self._failed, False, False
            return "recovered" if recovered else "well"
        self._failed = True
        if now < self._not_before:
            return "wait"
        if self._recent(now) >= self._limits.limit and not self.given_up:
            self.given_up = True
            self._not_before = now + self._limits.within
            return "give up"
        return "restart"

    def restarted(self, now: float) -> None:
        """It was restarted, as `look` said."""
        pause = self._limits.within if self.given_up else self._limits.every * 2 ** self._recent(now)
        self._not_before = now + pause
        self._restarts.append(now)

    def _recent(self, now: float) -> int:
        return sum(now - at < self._limits.within for at in self._restarts)
