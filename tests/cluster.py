"""A cluster in memory: what is delivered to it can be read from it, as a producer and a reader do."""

from collections.abc import Iterator, Sequence

from ingest.kafka import NotAcknowledged
from ingest.reading import Offsets
from ingest.records import Received, Record, Topics

NOW = 1_795_500_000_000  # unix milliseconds; each record is written a second after the one before


class Cluster:
    """Every topic has `partitions`; a record goes to the one that is told, or to that of its key."""

    def __init__(self, *, partitions: int = 2, prefix: str = "t.") -> None:
        self.topics = Topics(prefix=prefix)
        self.refuses: str | None = None  # a topic whose records are not acknowledged
        self._partitions = partitions
        self._logs: dict[str, list[list[Received]]] = {}
        self._written = 0

    def put(self, record: Record, partition: int | None = None) -> Received:
        name = self.topics(record.topic)
        logs = self._logs.setdefault(name, [[] for _ in range(self._partitions)])
        number = sum(record.key or b"") % self._partitions if partition is None else partition
        self._written += 1
        received = Received(
            topic=name,
            partition=number,
            offset=len(logs[number]),
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp=NOW + self._written * 1000 if record.timestamp is None else record.timestamp,
        )
        logs[number].append(received)
        return received

    async def deliver(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.topic == self.refuses:
                raise NotAcknowledged
            self.put(record)

    async def reachable(self, timeout: float) -> bool:
        return self.refuses is None

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        logs = self._logs.get(topic, [[] for _ in range(self._partitions)])
        return {number: (0, len(log)) for number, log in enumerate(logs)}

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]:
        for number, (first, last) in self.bounds(topic).items():
            start, end = (since or {}).get(number, first), min(last, (until or {}).get(number, last))
            if start < end:
                yield from self._logs[topic][number][start:end]

    def on(self, topic: str) -> list[Received]:
        return list(self.read(self.topics(topic)))
