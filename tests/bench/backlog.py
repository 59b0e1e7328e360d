"""Details records of any number of leads, written as fast as a broker takes them.

A few thousand are made and encoded; the rest are those again with other lead ids, put into the encoded bytes.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer

from ingest.codec import Codec
from ingest.kafka import client_options
from ingest.records import DETAILS, Headers, Record, Topics
from ingest.registry import open_registry
from schemas import avro
from schemas.shapes import LeadDetails

from .details import details
from .world import World

ENCODED = 5_000
_MAGIC, _ID_BYTES = b"\0", 4  # Confluent's frame


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    lead_id: bytes
    datum: bytes
    headers: Headers


class Backlog:
    """Details of leads, each with an id that no other has; `encoded` of them differ in more than that."""

    def __init__(self, encoded: int = ENCODED) -> None:
        codec: Codec[LeadDetails] = Codec("LeadDetails", schema_id=0)
        self._templates = [
            _Template(
                lead_id=made.lead_id.encode(),
                datum=codec.encode(made.details)[len(_MAGIC) + _ID_BYTES :],
                headers=made.headers,
            )
            for made in details(encoded)
        ]

    def records(self, first: int, count: int, *, schema_id: int) -> Iterator[Record]:
        """Of the leads from number `first` on."""
        frame = _MAGIC + schema_id.to_bytes(_ID_BYTES, "big")
        for number in range(first, first + count):
            template = self._templates[number % len(self._templates)]
            # As long as the one it replaces, wherever that stands: what is encoded can still be read.
            lead_id = b"7%0*d" % (len(template.lead_id) - 1, number)
            value = frame + template.datum.replace(template.lead_id, lead_id)
            yield Record(topic=DETAILS, key=lead_id, value=value, headers=template.headers)

    def write(self, world: World, prefix: str, *, first: int, count: int) -> None:
        """Returns when the broker has the leads from number `first` on, on the declared topic under the prefix."""
        producer = Producer(
            client_options(world.kafka())
            | {"partitioner": "murmur2_random", "compression.type": "lz4", "enable.idempotence": True, "linger.ms": 20}
        )
        for record in self.records(first, count, schema_id=asyncio.run(_schema_id(world, prefix))):
            while True:
                try:
                    producer.produce(prefix + record.topic, record.value, record.key, headers=list(record.headers))
                    break
                except BufferError:
                    producer.poll(0.1)
        if left := producer.flush(60):
            raise TimeoutError(f"{left} records were not acknowledged")


async def _schema_id(world: World, prefix: str) -> int:
    async with open_registry(world.registry) as registry:
        return await registry.id_of(Topics(prefix=prefix).subject(DETAILS), avro("LeadDetails"))
