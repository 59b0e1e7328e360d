"""Sees a lead come to leads.v1, and finds where it is when it does not: reading only, in no group."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from confluent_kafka import KafkaException

from ingest.meta.notification import BadChange, Notification
from ingest.reading import Offsets, Reader, ReadingError
from ingest.records import DETAILS, FATES, LEADS, RAW, Received, Topics
from ingest.settings import KafkaSettings

from .judging import Times, Told, Trace, received_at

DOOR = "webhook"  # what came by another door, as a backfill under way, proves nothing of this one
_AGAIN_AFTER = 1.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A lead's record on leads.v1, without its value. Times are unix milliseconds."""

    seen_at: int
    fetched_at: int  # map gives a lead the timestamp of its details
    received_at: int | None
    origin: str | None


class Lookout:
    """What has come since it was set up. Use `lookout`, which sets it up."""

    def __init__(self, settings: KafkaSettings, ends: Mapping[str, Offsets]) -> None:
        """`ends` of each topic, by its name without prefix."""
        self._settings = settings
        self._topics = Topics(prefix=settings.topic_prefix)
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._wanted: str | None = None
        self._came: dict[str, Arrival] = {}  # before it was known which one is wanted
        self._arrived: asyncio.Future[Arrival] = self._loop.create_future()

    def arrival(self, lead_id: str) -> asyncio.Future[Arrival]:
        """Done when this lead is on leads.v1, also where it came before it was asked for. Of one lead only."""
        self._wanted = lead_id
        for lead, arrival in self._came.items():
            self._settle(lead, arrival)
        self._came.clear()
        return self._arrived

    async def times(self, asked_at: int, arrival: Arrival) -> Times:
        """Of a lead that came; what was on raw is looked up, and left out where that cannot be."""
        times = Times(
            asked_at=asked_at,
            received_at=arrival.received_at,
            fetched_at=arrival.fetched_at,
            seen_at=arrival.seen_at,
        )
        try:
            raw = await asyncio.to_thread(self._raw_at, arrival.origin or "")
        except ReadingError:
            return times
        return times if raw is None else replace(times, raw_at=raw.timestamp)

    async def look_back(self, lead_id: str) -> Trace:
        """Where a lead is that did not come. ReadingError."""
        return await asyncio.to_thread(self._look_back, lead_id)

    def follow(self, closing: threading.Event) -> None:
        """Until told to end; not in the event loop. A broker that is away is waited for."""
        since = dict(self._ends[LEADS])
        while not closing.is_set():
            try:
                with Reader(self._settings) as reader:
                    for received in reader.follow(self._topics(LEADS), since, until=closing.is_set):
                        self.take(received)
                        since[received.partition] = received.offset + 1
            except (ReadingError, KafkaException):
                closing.wait(_AGAIN_AFTER)

    def take(self, received: Received) -> None:
        """A record of leads.v1; from any thread."""
        if received.key is None or received.value is None or received.header("source") != DOOR:
            return
        arrival = Arrival(
            seen_at=round(time.time() * 1000),
            fetched_at=received.timestamp,
            received_at=received_at(received),
            origin=received.header("origin"),
        )
        self._loop.call_soon_threadsafe(self._settle, received.key.decode("utf-8", "replace"), arrival)

    def _settle(self, lead: str, arrival: Arrival) -> None:
        if self._wanted is None:
            self._came.setdefault(lead, arrival)
        elif lead == self._wanted and not self._arrived.done():
            self._arrived.set_result(arrival)

    def _raw_at(self, origin: str) -> Received | None:
        partition, _, offset = origin.partition("@")
        if not (partition.isdigit() and offset.isdigit()):
            return None
        ends = self._ends[RAW]
        place, at = int(partition), int(offset)
        with Reader(self._settings) as reader:
            # To its end, though it is one record: a reading that is left open outlives its reader.
            found = list(reader.read(self._topics(RAW), {**ends, place: at}, {**ends, place: at + 1}))
        return found[0] if found else None

    def _look_back(self, lead_id: str) -> Trace:
        with Reader(self._settings) as reader:

            def since(topic: str) -> Iterable[Received]:
                return reader.read(self._topics(topic), self._ends[topic])

            raw = [each for each in since(RAW) if each.header("source") == DOOR and names(each, lead_id)]
            details = [each for each in since(DETAILS) if each.key == lead_id.encode()]
            told = [fate for each in since(FATES) if (fate := fate_of(each, lead_id))]
        return Trace(
            raw=raw[0] if raw else None,
            details=details[-1] if details else None,
            told=told[-1] if told else None,
        )


@asynccontextmanager
async def lookout(settings: KafkaSettings) -> AsyncIterator[Lookout]:
    """Within it, what comes to leads.v1 from the moment of its beginning on is seen. ReadingError at its beginning."""
    look, closing = Lookout(settings, await asyncio.to_thread(_ends, settings)), threading.Event()
    thread = threading.Thread(target=look.follow, args=(closing,), name="canary's lookout", daemon=True)
    thread.start()
    try:
        yield look
    finally:
        closing.set()
        await asyncio.to_thread(thread.join)


def names(raw: Received, lead_id: str) -> bool:
    """Whether a record of meta.leadgen.raw is about this lead."""
    try:
        return Notification.read(raw.value or b"", page_id="0").lead_id == lead_id
    except BadChange:
        return False


def fate_of(received: Received, lead_id: str) -> Told | None:
    """What a record of meta.leadgen.fates tells, where it is about this lead."""
    said = json.loads(received.value) if received.value else {}
    if said.get("lead_id") != lead_id:
        return None
    return Told(stage=str(said["stage"]), fate=str(said["fate"]), reason=str(said["reason"]))


def _ends(settings: KafkaSettings) -> dict[str, Offsets]:
    topics = Topics(prefix=settings.topic_prefix)
    with Reader(settings) as reader:
        return {
            name: {partition: end for partition, (_, end) in reader.bounds(topics(name)).items()}
            for name in (LEADS, RAW, DETAILS, FATES)
        }
