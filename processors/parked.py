"""Which parked records still wait: decided from parked records and fates alone. Performs no I/O.

A parked record waits until one of these is there. Whatever is unclear leaves it waiting: a needless fetch does no harm.
    released   a fate says that this very record was sent back
    replaced   the same record was parked again later
    over       a later fate says that it came to another end, or is on its way by itself
Each topic is taken in its order, and the two in any interleaving; only what is over is noticed for certain when the
parked record is taken before its fates.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern

from ingest.records import Received

_OVER = ("fetched", "dead", "skipped", "duplicate", "waiting", "redriven")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A parked record that waits, without its value."""

    origin: str
    page_id: str
    reason: str
    partition: int
    offset: int
    since: int  # unix milliseconds


class Parked:
    """Takes parked records and fates; keeps one small entry for each record that waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}  # by origin
        self._pages: dict[str, dict[str, Waiting]] = {}  # the same by page, each page's in the order of the topic
        self._taken: dict[int, int] = {}  # by partition: the offset up to which parked records were taken
        self._released: set[tuple[int, int]] = set()  # places beyond that, of which a fate says it already

    def __len__(self) -> int:
        return len(self._waiting)

    def take_parked(self, received: Received) -> None:
        self._taken[received.partition] = received.offset + 1
        waiting = _waiting(received)
        before = self._waiting.get(waiting.origin)
        if before is not None:
            if _is_later(before, waiting):
                return
            self.close(before)
        place = (waiting.partition, waiting.offset)
        if place in self._released:
            self._released.remove(place)
            return
        self._waiting[waiting.origin] = waiting
        self._pages.setdefault(waiting.page_id, {})[waiting.origin] = waiting

    def take_fate(self, received: Received) -> None:
        stage, _, origin = (received.key or b"").decode("utf-8", "replace").partition("/")
        value = received.value or b""
        waiting = self._waiting.get(origin)
        # Most fates are of records that were never parked, and are not worth reading.
        if stage != "fetch" or (waiting is None and b'"released"' not in value):
            return
        try:
            told = json.loads(value)
            fate, partition, offset = str(told["fate"]), int(told["partition"]), int(told["offset"])
        except (ValueError, KeyError, TypeError):
            return
        if fate == "released":
            if waiting is not None and (partition, offset) == (waiting.partition, waiting.offset):
                self.close(waiting)
            elif offset >= self._taken.get(partition, 0):
                self._released.add((partition, offset))
        elif waiting is not None and fate in _OVER and received.timestamp > waiting.since:
            self.close(waiting)

    def close(self, waiting: Waiting) -> None:
        """It waits no longer: it was sent back, though its fate was not taken yet, or it is no more."""
        if self._waiting.get(waiting.origin) != waiting:
            return
        del self._waiting[waiting.origin]
        of_page = self._pages[waiting.page_id]
        del of_page[waiting.origin]
        if not of_page:
            del self._pages[waiting.page_id]

    def waits(self, waiting: Waiting) -> bool:
        """Whether it still does."""
        return self._waiting.get(waiting.origin) == waiting

    def pages(self) -> Mapping[str, int]:
        """How many records wait, by page."""
        return {page_id: len(waiting) for page_id, waiting in self._pages.items()}

    def of(self, page_id: str) -> Iterator[Waiting]:
        """A page's records that wait, in the order in which they were parked."""
        return iter(list(self._pages.get(page_id, {}).values()))


def _waiting(received: Received) -> Waiting:
    return Waiting(
        origin=received.origin,
        page_id=intern((received.key or b"").decode("utf-8", "replace")),
        reason=intern(received.header("fate-reason") or "-"),
        partition=received.partition,
        offset=received.offset,
        since=received.timestamp,
    )


def _is_later(one: Waiting, other: Waiting) -> bool:
    # One key, one partition: time has to do only where somebody has changed the key.
    return one.offset > other.offset if one.partition == other.partition else one.since > other.since
