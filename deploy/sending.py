"""What commands put back on topics: at a rate, and each record counted only when the broker has acknowledged it.

At least once: when the command or the broker ends in between, what was on its way may be there already and is sent
again the next time. Every output is keyed, so that does no harm.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import typer

from deploy.progress import Count
from ingest.kafka import ConfluentProducer, NotAcknowledged, Producer, ProducerFailed
from ingest.reading import Offsets
from ingest.records import DETAILS, Received, Record, Topics
from ingest.settings import KafkaSettings

Rate = Annotated[int, typer.Option("--rate", min=1, help="So many records a second at most.")]
USUAL_RATE = 100

_PATIENCE = 30.0  # seconds for the broker to acknowledge
_BATCH_BYTES = 16 * 2**20  # well below what the producer queues
_BATCHES_A_SECOND = 10


class NotSent(Exception):
    """Not everything was sent; the text says how much was, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A record to send, and the fates that are told once the broker has it."""

    record: Record
    fates: tuple[Record, ...] = ()


class ReadsTopics(Protocol):
    """What is needed of `ingest.reading.Reader`."""

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]: ...

    def read(self, topic: str, since: Offsets | None = None, until: Offsets | None = None) -> Iterator[Received]: ...


class Later:
    """Which leads got a newer record on details while older ones were on their way back there.

    An older answer sent after a newer one, or after the tombstone of an erased lead, would replace it for good. What
    is asked before each batch leaves a gap of as long as the batch takes.
    """

    def __init__(self, reader: ReadsTopics, topics: Topics, since: Offsets) -> None:
        """`since` is where the plan's reading of details ended. The reader is used for nothing else meanwhile."""
        self._reader = reader
        self._topic = topics(DETAILS)
        self._stands = dict(since)
        self._seen: set[bytes] = set()

    def spare(self, batch: Sequence[Parcel]) -> list[Parcel]:
        """The batch without what would replace something newer."""
        if any(parcel.record.topic == DETAILS for parcel in batch):
            for received in self._reader.read(self._topic, self._stands):
                self._stands[received.partition] = received.offset + 1
                if received.key is not None:
                    self._seen.add(received.key)
        return [
            parcel for parcel in batch if parcel.record.topic != DETAILS or (parcel.record.key or b"") not in self._seen
        ]


async def send(
    producer: Producer,
    parcels: Iterable[Parcel],
    *,
    rate: int,
    later: Later | None = None,
    told: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Sends at most `rate` parcels a second, and calls `told` with how many more the broker has.

    NotAcknowledged or ProducerFailed when it does not have the rest. Parcels are taken as they are sent.
    """
    begun, taken = clock(), 0
    for batch in _batches(parcels, math.ceil(rate / _BATCHES_A_SECOND)):
        going = batch if later is None else later.spare(batch)
        await producer.deliver([parcel.record for parcel in going])
        await producer.deliver([fate for parcel in going for fate in parcel.fates])
        told(len(going))
        taken += len(batch)
        await pause(max(0.0, begun + taken / rate - clock()))


def send_all(
    settings: KafkaSettings, parcels: Iterable[Parcel], *, total: int, rate: int, later: Later | None = None
) -> int:
    """Sends them with progress on stderr; how many the broker has. NotSent when it does not have the rest, or on ^C.

    Not for use inside an event loop.
    """
    sent = Count(total, "sent")
    try:
        with sent:
            asyncio.run(_send_all(settings, parcels, rate=rate, later=later, told=sent.add))
    except (NotAcknowledged, ProducerFailed) as error:
        raise NotSent(
            f"{sent.done} of {total} were sent, then the broker acknowledged no more ({type(error).__name__} {error}):"
            " look at the cluster, then try again"
        ) from None
    except KeyboardInterrupt:
        raise NotSent(f"ended by you: {sent.done} of {total} were sent") from None
    return sent.done


async def _send_all(
    settings: KafkaSettings,
    parcels: Iterable[Parcel],
    *,
    rate: int,
    later: Later | None,
    told: Callable[[int], None],
) -> None:
    topics = Topics(prefix=settings.topic_prefix)
    producer = ConfluentProducer(settings, topics, timeout=_PATIENCE, client="leadstream-sending")
    try:
        await send(producer, parcels, rate=rate, later=later, told=told)
    finally:
        await producer.close(_PATIENCE)


def _batches(parcels: Iterable[Parcel], most: int) -> Iterator[list[Parcel]]:
    batch: list[Parcel] = []
    size = 0
    for parcel in parcels:
        weight = len(parcel.record.value or b"")
        if batch and (len(batch) == most or size + weight > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(parcel)
        size += weight
    if batch:
        yield batch
