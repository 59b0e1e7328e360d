"""Small stand-ins that more than one unit test needs."""

from collections.abc import Sequence

from ingest.kafka import NotAcknowledged, Unacceptable
from ingest.records import Record


class Broker:
    """A producer that keeps what it was given, refuses as often as it is told, and never takes what is `too_large`."""

    def __init__(self, *, refusals: int = 0, too_large: str | None = None) -> None:
        self.records: list[Record] = []
        self.tries = 0
        self.refusals = refusals
        self.too_large = too_large  # a topic's name

    async def deliver(self, records: Sequence[Record]) -> None:
        self.tries += 1
        if self.refusals:
            self.refusals -= 1
            raise NotAcknowledged
        if any(record.topic == self.too_large for record in records):
            raise Unacceptable("MSG_SIZE_TOO_LARGE")
        self.records += records

    async def reachable(self, timeout: float) -> bool:
        return not self.refusals

    def on(self, topic: str) -> list[Record]:
        return [record for record in self.records if record.topic == topic]
