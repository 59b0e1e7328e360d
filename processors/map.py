"""The step of `work map`: a details record in, a typed lead out. It asks nobody and waits for nothing but Kafka.

A record ends as a lead on `leads.v1`, as a tombstone there when it is one itself, or as a dead letter. The lead takes
the timestamp of its details, so that a replay does not prolong how long personal data is kept.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

from ingest import telemetry
from ingest.codec import Codec, Damaged, DoesNotFit, NotFramed
from ingest.kafka import Producer, Unacceptable
from ingest.records import LEADS, Failure, HeaderName, Received, Record, dead_letter, fate_record, headers
from ingest.registry import NotRegistered, RegistryUnavailable
from processors import patience
from processors.lead import Unmappable, map_lead
from processors.limit import Limit
from schemas.shapes import Lead, LeadDetails

_REASONS: Mapping[type[Exception], str] = {
    NotFramed: "not-framed",
    Damaged: "damaged",
    NotRegistered: "unknown-schema",
    DoesNotFit: "does-not-fit",
}
_CARRIED: tuple[HeaderName, ...] = ("origin", "source", "delivery", "received-at")


class ReadsDetails(Protocol):
    async def __call__(self, frame: bytes) -> LeadDetails:
        """The record in a frame; DecodeError, or what asking the registry for a new schema can raise."""
        ...


class Map:
    """`clock` is unix milliseconds."""

    def __init__(
        self, *, details: ReadsDetails, codec: Codec[Lead], producer: Producer, limit: Limit, clock: Callable[[], int]
    ) -> None:
        self._details = details
        self._codec = codec
        self._producer = producer
        self._limit = limit
        self._clock = clock

    def key(self, received: Received) -> Hashable:
        """The lead: its versions, and its tombstone, must reach their topic in their order."""
        return received.key if received.key is not None else (received.partition, received.offset)

    async def run(self, received: Received) -> None:
        outcome = await self._map(received)
        telemetry.RECORDS.labels(worker="map", outcome=outcome).inc()

    async def _map(self, received: Received) -> str:
        if received.key is None:  # nobody could erase or replace it, and a compacted topic refuses it
            return await self._bury(received, "no-key", "NoKey")
        if received.value is None:
            await self._emit(received, None, ())
            return "erased"
        try:
            details = await self._read(received.value)
            lead = map_lead(details)
            value = self._codec.encode(lead)
        except (NotFramed, Damaged, NotRegistered, Unmappable, DoesNotFit) as error:
            reason = error.reason if isinstance(error, Unmappable) else _REASONS[type(error)]
            return await self._bury(received, reason, type(error).__name__)
        version = details["form_version"]
        try:
            await self._emit(received, value, headers({"form-version": version}) if version else ())
        except Unacceptable as error:
            return await self._bury(received, "unacceptable", type(error).__name__)
        self._measure(received)
        return "mapped"

    async def _read(self, frame: bytes) -> LeadDetails:
        async for attempt in patience.until(RegistryUnavailable):
            with attempt:
                return await self._details(frame)
        raise AssertionError("attempts end with an answer or an error")

    async def _emit(self, received: Received, value: bytes | None, more: tuple[tuple[str, bytes], ...]) -> None:
        told: dict[HeaderName, str | int] = {
            name: said for name in _CARRIED if (said := received.header(name)) is not None
        }
        await patience.deliver(
            self._producer,
            Record(
                topic=LEADS,
                key=received.key,
                value=value,
                headers=headers(told) + more,
                timestamp=received.timestamp,
            ),
        )

    async def _bury(self, received: Received, reason: str, error: str) -> str:
        failure = Failure(stage="map", reason=reason, error=error)
        lead_id = None if received.key is None else received.key.decode("utf-8", "replace")
        await self._limit.give_up()
        await patience.deliver(
            self._producer,
            dead_letter(received, failure, now=self._clock()),
            fate_record(received, "dead", stage="map", reason=reason, page_id=None, lead_id=lead_id),
        )
        telemetry.DEAD_LETTERS.labels(stage="map", reason=reason).inc()
        return "dead"

    def _measure(self, received: Received) -> None:
        received_at = received.header("received-at")
        if received_at is not None and received_at.isdigit():
            telemetry.LEAD_SECONDS.observe(max(0.0, (self._clock() - int(received_at)) / 1000))
