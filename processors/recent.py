"""A bounded memory of the leads fetched lately, so that Meta's ordinary repeats cost no call. Performs no I/O.

It is a convenience, never the guarantee (that is the keyed output): a lead enters only when its details are
acknowledged, and is forgotten by age and number, or with the process.
"""

from collections import OrderedDict
from collections.abc import Callable


class RecentLeads:
    """Which raw record each lead was fetched for, for `seconds` and at most `size` leads."""

    def __init__(self, *, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def add(self, lead_id: str, origin: str) -> None:
        """The lead's details are acknowledged by the broker."""
        self._seen[lead_id] = (origin, self._clock())
        self._seen.move_to_end(lead_id)
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)

    def repeats(self, lead_id: str, origin: str) -> bool:
        """Whether another raw record brought this lead already; the same one, read again, is no repeat of itself."""
        seen = self._seen.get(lead_id)
        return seen is not None and seen[0] != origin and self._clock() - seen[1] < self._seconds
