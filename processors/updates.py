"""The step beside map's: an update of a lead in, the same update typed out, joined to nothing and losing nothing.

What Meta says of a lead later on is no lead and makes none. What cannot be read or written is a dead letter, its bytes
untouched; what Meta adds to an update is not lost, as its value goes along whole. It takes the timestamp of its record,
so that reading it again does not prolong how long it is kept.
"""

from collections.abc import Callable, Hashable
from datetime import UTC, datetime

from ingest import telemetry
from ingest.codec import Codec, DoesNotFit
from ingest.kafka import Producer, Unacceptable
from ingest.meta.notification import BadChange, digits_of
from ingest.meta.update import Update
from ingest.records import (
    LEAD_UPDATES,
    Failure,
    HeaderName,
    Headers,
    Received,
    Record,
    dead_letter,
    fate_record,
    headers,
)
from processors import patience
from processors.limit import Limit
from schemas.shapes import LeadUpdate

_CARRIED: tuple[HeaderName, ...] = ("source", "delivery", "received-at")
_MAX_DIGITS = 13  # of milliseconds: they reach to the year 2286


class Updates:
    """`clock` is unix milliseconds."""

    def __init__(self, *, codec: Codec[LeadUpdate], producer: Producer, limit: Limit, clock: Callable[[], int]) -> None:
        self._codec = codec
        self._producer = producer
        self._limit = limit
        self._clock = clock

    def key(self, received: Received) -> Hashable:
        """The lead: its updates must reach their topic in their order."""
        return received.key if received.key is not None else (received.partition, received.offset)

    async def run(self, received: Received) -> None:
        outcome = await self._type(received)
        telemetry.RECORDS.labels(worker="updates", outcome=outcome).inc()

    async def _type(self, received: Received) -> str:
        update = None
        try:
            update = Update.read(received.value or b"", page_id=received.header("entry-id"))
            value = self._codec.encode(lead_update(update, received))
        except BadChange as error:
            return await self._bury(received, None, error.reason, error)
        except DoesNotFit as error:
            return await self._bury(received, update, "does-not-fit", error)
        record = Record(
            topic=LEAD_UPDATES,
            key=update.lead_id.encode(),
            value=value,
            headers=_carried(received),
            timestamp=received.timestamp,
        )
        try:
            await patience.deliver(self._producer, record)
        except Unacceptable as error:
            return await self._bury(received, update, "unacceptable", error)
        return "typed"

    async def _bury(self, received: Received, update: Update | None, reason: str, error: Exception) -> str:
        failure = Failure(stage="update", reason=reason, error=type(error).__name__)
        page_id, lead_id = (update.page_id, update.lead_id) if update else (None, None)
        await self._limit.give_up()
        await patience.deliver(
            self._producer,
            dead_letter(received, failure, now=self._clock()),
            fate_record(received, "dead", stage="update", reason=reason, page_id=page_id, lead_id=lead_id),
        )
        telemetry.DEAD_LETTERS.labels(stage="update", reason=reason).inc()
        return "dead"


def lead_update(update: Update, received: Received) -> LeadUpdate:
    """LeadUpdate.avsc, which documents each field."""
    return {
        "lead_id": update.lead_id,
        "updated_at": None if update.updated_time is None else datetime.fromtimestamp(update.updated_time, tz=UTC),
        "received_at": _moment(received.header("received-at")),
        "source": received.header("source") or "",
        "is_sample": update.sample,
        "page_id": update.page_id,
        "form_id": update.form_id,
        "ad_id": update.ad_id,
        "adgroup_id": update.adgroup_id,
        "area": update.area,
        "event": update.event,
        "updated_fields": list(update.updated_fields),
        "value": update.value,
    }


def _carried(received: Received) -> Headers:
    told: dict[HeaderName, str | int] = {"origin": received.origin}
    told |= {name: said for name in _CARRIED if (said := received.header(name)) is not None}
    return headers(told)


def _moment(milliseconds: str | None) -> datetime | None:
    """What our door wrote; what somebody else has written there must not cost the update."""
    digits = digits_of(milliseconds)
    if digits is None or len(digits) > _MAX_DIGITS:
        return None
    return datetime.fromtimestamp(int(digits) / 1000, tz=UTC)
