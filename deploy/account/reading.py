"""Reads each topic on from where the books stand, up to its end as it is now, and enters what is new."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from deploy.sending import ReadsTopics
from ingest.records import Received, Topics

from .books import Books, Row, Stand, Unusable
from .entries import Entry, entries_of

Bounds = Mapping[int, tuple[int, int]]
Told = Callable[[int, int], None]  # records read, of how many

_AT_ONCE = 10_000  # records in one transaction


def read_on(
    reader: ReadsTopics, topics: Topics, books: Books, told: Told, *, crm: Iterable[str]
) -> Mapping[str, Bounds]:
    """By topic, without its prefix, the bounds that were read to. Unusable where a topic is not what was read.

    `crm` are the topics of the targets there are.
    """
    entries = entries_of(crm)
    bounds: dict[str, Bounds] = {}
    for name in entries:  # the ends in this order: see taking.py
        bounds[name] = reader.bounds(topics(name))
        _check(name, books.stands(name), bounds[name])
    total = sum(_left(books.stands(name), each) for name, each in bounds.items())
    done = 0
    for name, each in bounds.items():
        topic = _Topic(name, books, each, entries[name])
        for received in reader.read(topics(name), *topic.span()) if topic.has_news() else ():
            if topic.take(received):
                done += 1
                if done % _AT_ONCE == 0:
                    topic.write()
                    told(done, total)
        topic.end()
    told(done, total)
    return bounds


class _Topic:
    """What is read of a topic and not in the books yet."""

    def __init__(self, name: str, books: Books, bounds: Bounds, enter: Callable[[Received], Iterator[Entry]]) -> None:
        self._name = name
        self._books = books
        self._bounds = bounds
        self._before = books.stands(name)
        self._enter = enter
        self._entries: dict[str, list[Row]] = defaultdict(list)
        self._seen: dict[int, Stand] = {}

    def has_news(self) -> bool:
        return _left(self._before, self._bounds) > 0

    def span(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """From the last record that is known, to see that it is still the same one, to the end."""
        since = {}
        for number, (first, end) in self._bounds.items():
            stand = self._before.get(number)
            since[number] = _next(stand, first)
            if since[number] < end and stand is not None and stand.offset is not None:
                since[number] = max(first, stand.offset)
        return since, {number: end for number, (_, end) in self._bounds.items()}

    def take(self, received: Received) -> bool:
        """Whether it is new."""
        known = self._before.get(received.partition)
        if known is not None and received.offset < known.next:
            if received.offset == known.offset and received.timestamp != known.at:
                raise _made_anew(self._name)
            return False
        for statement, row in self._enter(received):
            self._entries[statement].append(row)
        self._seen[received.partition] = Stand(next=received.offset + 1, offset=received.offset, at=received.timestamp)
        return True

    def write(self) -> None:
        self._books.write(self._entries, self._name, self._seen)
        self._entries.clear()

    def end(self) -> None:
        """What is left up to the end is no record, or was compacted away."""
        for number, (first, end) in self._bounds.items():
            last = self._seen.get(number) or self._before.get(number)
            if _next(last, first) < end:
                self._seen[number] = Stand(next=end, offset=last.offset if last else None, at=last.at if last else None)
        self.write()


def _next(stand: Stand | None, first: int) -> int:
    return first if stand is None else max(stand.next, first)


def _left(stands: Mapping[int, Stand], bounds: Bounds) -> int:
    return sum(end - min(end, _next(stands.get(number), first)) for number, (first, end) in bounds.items())


def _check(name: str, stands: Mapping[int, Stand], bounds: Bounds) -> None:
    if any(number not in bounds or stand.next > bounds[number][1] for number, stand in stands.items()):
        raise _made_anew(name)


def _made_anew(name: str) -> Unusable:
    return Unusable(f"{name} is another one than when it was last read")
