"""Small stand-ins that more than one unit test needs."""

from collections.abc import Sequence

from ingest.kafka import NotAcknowledged
from ingest.records import Record


class Broker:
    """A producer that keeps what it was given, and refuses as often as it is told."""

    def __init__(self, *, refusals: int = 0) -> None:
        self.records: list[Record] = []
        self.refusals = refusals

    async def deliver(self, records: Sequence[Record]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise NotAcknowledged
        self.records += records

    async def reachable(self, timeout: float) -> bool:
        return not self.refusals

    def on(self, topic: str) -> list[Record]:
        return [record for record in self.records if record.topic == topic]
