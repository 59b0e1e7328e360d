"""The promises of the door, over a producer that keeps what it is given."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ingest.kafka import NotAcknowledged
from ingest.records import Record
from tests.door import Broker, Sender, open_door
from tests.door_promises import DoorPromises


@dataclass
class Doubled:
    sender: Sender
    broker: Broker

    async def kept(self, topic: str) -> Sequence[Record]:
        return [record for record in self.broker.records if record.topic == topic]

    async def stop_broker(self) -> None:
        self.broker.refusal = NotAcknowledged

    async def start_broker(self) -> None:
        self.broker.refusal = None


class TestDoorOverTheDouble(DoorPromises):
    @asynccontextmanager
    async def world(self) -> AsyncIterator[Doubled]:
        broker = Broker()
        async with open_door(broker) as opened:
            yield Doubled(opened.sender, broker)
