"""Which pages a watch looks at now: of several workers one looks at each page, and not all pages at the same moment.

Performs no I/O.
"""

import random
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Protocol

from aiokafka.partitioner import murmur2

from ingest.meta.pages import PageAccess

_JITTER = 0.1  # of the time between two looks


class ListsPages(Protocol):
    def all(self) -> Iterable[PageAccess]: ...


class Turns:
    """The pages whose records would lie in a partition that `holds` names; their topic has `partitions` of them.

    A page that is new here is due within `first` seconds. `clock` gives unix milliseconds.
    """

    def __init__(
        self,
        pages: ListsPages,
        *,
        holds: Callable[[], Collection[int]],
        partitions: int,
        first: float,
        clock: Callable[[], int],
    ) -> None:
        self._pages = pages
        self._held = holds
        self._partitions = partitions
        self._first = round(first * 1000)
        self._clock = clock
        self._due: dict[str, int] = {}  # by page

    def mine(self) -> list[PageAccess]:
        """Every page that is this worker's now, due or not."""
        return [page for page in self._pages.all() if self.holds(page.page_id)]

    def holds(self, page_id: str) -> bool:
        """Whether a page would be this worker's, whether there is one or not."""
        return partition_of(page_id, self._partitions) in self._held()

    def due(self) -> list[PageAccess]:
        """Those to look at now; they stay due until they rest."""
        now, mine = self._clock(), self.mine()
        # A page that was another worker's meanwhile is looked at soon when it comes back.
        self._due = {
            page.page_id: self._due.get(page.page_id, now + random.randint(0, self._first))  # noqa: S311  no secret
            for page in mine
        }
        return [page for page in mine if self._due[page.page_id] <= now]

    def rest(self, page: PageAccess, seconds: float) -> None:
        """The page is due again after about so long."""
        wait = seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  no secret
        self._due[page.page_id] = self._clock() + round(wait * 1000)


@lru_cache(maxsize=100_000)
def partition_of(page_id: str, partitions: int) -> int:
    """Where Kafka's own clients, and ours, put a record with this key."""
    return int(murmur2(page_id.encode()) & 0x7FFFFFFF) % partitions
