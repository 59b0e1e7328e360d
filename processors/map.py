"""The step of `work map`: a details record in, a typed lead out, and a record for each target whose filter takes it.

It asks nobody and waits for nothing but Kafka. A record ends as a lead on `leads.v1`, as a tombstone there when it is
one itself, or as a dead letter. What a mapping file fails for is a dead letter of that target only: the others, and
`leads.v1`, get the lead. All of it takes the timestamp of its details, so that a replay does not prolong how long
personal data is kept.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from prometheus_client import Counter

from ingest import telemetry
from ingest.codec import Codec, Damaged, DoesNotFit, NotFramed
from ingest.kafka import Producer, Unacceptable
from ingest.records import LEADS, Failure, HeaderName, Headers, Received, Record, dead_letter, fate_record, headers
from ingest.registry import NotRegistered, RegistryUnavailable
from processors import patience
from processors.lead import Unmappable, map_lead
from processors.limit import Limit
from processors.mapping.live import Live
from schemas.shapes import Lead, LeadDetails

_REASONS: Mapping[type[Exception], str] = {
    NotFramed: "not-framed",
    Damaged: "damaged",
    NotRegistered: "unknown-schema",
    DoesNotFit: "does-not-fit",
}
_CARRIED: tuple[HeaderName, ...] = ("origin", "source", "delivery", "received-at")
_SAY_EVERY_MS = 60_000


class ReadsDetails(Protocol):
    async def __call__(self, frame: bytes) -> LeadDetails:
        """The record in a frame; DecodeError, or what asking the registry for a new schema can raise."""
        ...


class HasMappings(Protocol):
    @property
    def now(self) -> Sequence[Live]: ...


@dataclass(slots=True)
class _Failing:
    """Of one target: how many leads failed since that was told."""

    told_at: int
    times: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What becomes of a lead. The lead itself is let go before Kafka is waited for: a thousand are on their way at a
    time, and it is dozens of objects, whose memory the next one takes while it is still in the processor's cache.
    """

    lead_id: str
    page_id: str | None
    whole: Record
    each: Sequence[tuple[Live, Sequence[Record]]]

    @property
    def all(self) -> Iterator[Record]:
        yield self.whole
        for _, records in self.each:
            yield from records


class Map:
    """`clock` is unix milliseconds."""

    def __init__(
        self,
        *,
        details: ReadsDetails,
        codec: Codec[Lead],
        mappings: HasMappings,
        producer: Producer,
        limit: Limit,
        clock: Callable[[], int],
    ) -> None:
        self._details = details
        self._codec = codec
        self._mappings = mappings
        self._failing: dict[str, _Failing] = {}
        self._producer = producer
        self._limit = limit
        self._clock = clock

    def key(self, received: Received) -> Hashable:
        """The lead: its versions, and its tombstone, must reach their topic in their order."""
        return received.key if received.key is not None else (received.partition, received.offset)

    async def run(self, received: Received) -> None:
        outcome = await self._map(received)
        _records(outcome).inc()

    async def _map(self, received: Received) -> str:
        if received.key is None:  # nobody could erase or replace it, and a compacted topic refuses it
            return await self._bury(received, "no-key", "NoKey")
        if received.value is None:
            return await self._erase(received)
        try:
            made = self._make(received, await self._read(received.value))
        except (NotFramed, Damaged, NotRegistered, Unmappable, DoesNotFit) as error:
            reason = error.reason if isinstance(error, Unmappable) else _REASONS[type(error)]
            return await self._bury(received, reason, type(error).__name__)
        try:
            await patience.deliver(self._producer, *made.all)
        except Unacceptable:
            return await self._emit_apart(received, made)
        for live, records in made.each:
            self._count(live, records)
        self._measure(received)
        return "mapped"

    async def _erase(self, received: Received) -> str:
        """On every topic there is: whether a lead was ever on one, nobody knows any more."""
        told = _carried(received)
        goals = [LEADS, *(live.mapping.topic for live in self._mappings.now)]
        await patience.deliver(self._producer, *(_record(received, goal, None, told) for goal in goals))
        return "erased"

    def _make(self, received: Received, details: LeadDetails) -> "_Made":
        lead = map_lead(details)
        told = _carried(received)
        if lead["form_version"]:
            told += headers({"form-version": lead["form_version"]})
        # Asked once: the files may change while this record is on its way.
        meant = [live for live in self._mappings.now if live.target.wants(lead)]
        targets = headers({"targets": ",".join(live.mapping.id for live in meant)})
        return _Made(
            lead_id=lead["lead_id"],
            page_id=lead["page_id"],
            whole=_record(received, LEADS, self._codec.encode(lead), told + targets),
            each=[(live, self._make_for(received, lead, live, told)) for live in meant],
        )

    def _make_for(self, received: Received, lead: Lead, live: Live, told: Headers) -> Sequence[Record]:
        """What a target gets: the record, or a dead letter and its fate."""
        fields: tuple[str, ...] = ()
        try:
            mapped = live.target.map(lead)
            if not mapped.failures:
                value = live.codec.encode(mapped.record)
                return (_record(received, live.mapping.topic, value, told + live.headers),)
        except DoesNotFit as error:
            reason, kind = "does-not-fit", type(error).__name__
        except Exception as error:  # noqa: BLE001  a defect that one file meets must not hold up the leads of all others
            reason, kind = "defect", type(error).__name__
        else:
            reason, kind = mapped.failures[0].reason, "MappingFailed"
            fields = tuple(failure.field for failure in mapped.failures)
            for failure in mapped.failures:
                telemetry.MAPPING_FAILURES.labels(
                    target=live.mapping.id, field=failure.field, reason=failure.reason
                ).inc()
        return self._give_up(received, live, lead["page_id"], lead["lead_id"], reason=reason, error=kind, fields=fields)

    def _give_up(
        self,
        received: Received,
        live: Live,
        page_id: str | None,
        lead_id: str,
        *,
        reason: str,
        error: str,
        fields: tuple[str, ...] = (),
    ) -> Sequence[Record]:
        """No limit here, as `limit.py` has it: whoever stands still for one file stands still for all."""
        target = live.mapping.id
        failure = Failure(stage="map", reason=reason, error=error, target=target, fields=fields)
        self._tell(target)
        telemetry.DEAD_LETTERS.labels(stage="map", reason=reason).inc()
        return (
            dead_letter(received, failure, now=self._clock()),
            fate_record(
                received,
                "dead",
                stage="map",
                reason=reason,
                page_id=page_id,
                lead_id=lead_id,
                target=target,
            ),
        )

    async def _emit_apart(self, received: Received, made: "_Made") -> str:
        """One by one, since Kafka will never take one of them: what it takes is there, if need be twice."""
        try:
            await patience.deliver(self._producer, made.whole)
        except Unacceptable as error:
            return await self._bury(received, "unacceptable", type(error).__name__)
        for live, records in made.each:
            taken = records
            try:
                await patience.deliver(self._producer, *records)
            except Unacceptable as error:
                taken = self._give_up(
                    received, live, made.page_id, made.lead_id, reason="unacceptable", error=type(error).__name__
                )
                await patience.deliver(self._producer, *taken)
            self._count(live, taken)
        self._measure(received)
        return "mapped"

    def _count(self, live: Live, records: Sequence[Record]) -> None:
        outcome = "mapped" if records[0].topic == live.mapping.topic else "dead"
        _crm_records(live.mapping.id, outcome).inc()

    def _tell(self, target: str) -> None:
        """An alarm at the first failure, and once a minute for those since."""
        now = self._clock()
        failing = self._failing.setdefault(target, _Failing(told_at=now - _SAY_EVERY_MS))
        failing.times += 1
        if now - failing.told_at >= _SAY_EVERY_MS:
            telemetry.log("error", "mapping.failing", target=target, times=failing.times)
            self._failing[target] = _Failing(told_at=now)

    async def _read(self, frame: bytes) -> LeadDetails:
        async for attempt in patience.until(RegistryUnavailable):
            with attempt:
                return await self._details(frame)
        raise AssertionError("attempts end with an answer or an error")

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


# A metric looks its children up by name at each call, which takes longer than to count.
@cache
def _records(outcome: str) -> Counter:
    return telemetry.RECORDS.labels(worker="map", outcome=outcome)


@cache
def _crm_records(target: str, outcome: str) -> Counter:
    return telemetry.CRM_RECORDS.labels(target=target, outcome=outcome)


def _carried(received: Received) -> Headers:
    """The headers that go on, the last of each name, as Kafka's own readers take it."""
    last = dict(received.headers)
    return tuple(
        (name, value if value.isascii() else value.decode("utf-8", "replace").encode())
        for name in _CARRIED
        if (value := last.get(name)) is not None
    )


def _record(received: Received, topic: str, value: bytes | None, said: Headers) -> Record:
    return Record(topic=topic, key=received.key, value=value, headers=said, timestamp=received.timestamp)
