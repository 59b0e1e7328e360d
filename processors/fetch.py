"""The step of `work fetch`: a notification in, Meta's whole answer out, as one `LeadDetails`.

A record ends as details, as a dead letter with its reason, or with a fate that says why nothing came of it (the
dashboard's sample, Meta's repeat of a lead just fetched), and is done when that is acknowledged. Whatever is not the
record's fault is waited out in place.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from ingest import telemetry
from ingest.codec import Codec, DoesNotFit
from ingest.kafka import Producer, Unacceptable
from ingest.meta.errors import AccessLost, BadAsk, Missing
from ingest.meta.graph import LEAD_FIELDS, REDUCED_LEAD_FIELDS, Answer, Snapshot
from ingest.meta.notification import BadChange, Notification
from ingest.meta.pages import PageAccess
from ingest.records import DETAILS, RAW, Failure, Fate, HeaderName, Received, Record, dead_letter, fate_record, headers
from processors import patience
from processors.failures import NoToken, missing_reason
from processors.recent import RecentLeads
from schemas.shapes import LeadDetails

# What a reader of details and leads may want to know of the way a lead came; the rest stays on raw.
_CARRIED: tuple[HeaderName, ...] = ("source", "delivery", "received-at")


class AsksLeads(Protocol):
    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str]) -> Answer: ...


class KnowsForms(Protocol):
    async def get(self, form_id: str, page: PageAccess) -> Snapshot | None: ...


class HoldsTokens(Protocol):
    def get(self, page_id: str) -> PageAccess | None: ...


class Fetch:
    """`clock` is unix milliseconds; `concurrency` is how many leads are asked for at once."""

    def __init__(
        self,
        *,
        graph: AsksLeads,
        pages: HoldsTokens,
        forms: KnowsForms,
        producer: Producer,
        codec: Codec[LeadDetails],
        recent: RecentLeads,
        concurrency: int,
        clock: Callable[[], int],
    ) -> None:
        self._graph = graph
        self._pages = pages
        self._forms = forms
        self._producer = producer
        self._codec = codec
        self._recent = recent
        self._calls = asyncio.Semaphore(concurrency)
        self._clock = clock

    def key(self, received: Received) -> Hashable:
        """The lead: what comes of it must reach its topic in the order of its notifications."""
        try:
            return _notification(received).lead_id
        except BadChange:
            return (received.partition, received.offset)

    async def run(self, received: Received) -> None:
        outcome = await self._bring(received)
        telemetry.RECORDS.labels(worker="fetch", outcome=outcome).inc()

    async def _bring(self, received: Received) -> str:
        try:
            notification = _notification(received)
        except BadChange as error:
            return await self._bury(received, None, error.reason, error)
        if notification.sample:
            return await self._leave(received, notification, "skipped", "sample")
        if received.topic.endswith(RAW) and self._recent.repeats(notification.lead_id, received.origin):
            return await self._leave(received, notification, "duplicate", "seen")
        try:
            answer, fields = await self._answer(notification)
        except Missing as error:
            reason = missing_reason(notification.created_time, now=self._clock() / 1000)
            return await self._bury(received, notification, reason, error)
        except BadAsk as error:
            return await self._bury(received, notification, error.reason, error)
        form = await self._form(notification, answer)
        return await self._emit(received, notification, answer, fields, form)

    async def _answer(self, notification: Notification) -> tuple[Answer, Sequence[str]]:
        """Meta's answer and the fields that were asked for; Missing or BadAsk when there can be none."""
        async for attempt in patience.race():
            with attempt:
                try:
                    return await self._ask(notification, LEAD_FIELDS), LEAD_FIELDS
                except (BadAsk, AccessLost):
                    # One field that this token may not name fails the whole ask; what it may name is worth having.
                    return await self._ask(notification, REDUCED_LEAD_FIELDS), REDUCED_LEAD_FIELDS
        raise AssertionError("attempts end with an answer or an error")

    async def _ask(self, notification: Notification, fields: Sequence[str]) -> Answer:
        async for attempt in patience.hold(fewer_fields=fields is LEAD_FIELDS):
            with attempt:
                page = self._page(notification.page_id)
                async with self._calls:
                    return await self._graph.lead(notification.lead_id, page, fields=fields)
        raise AssertionError("attempts end with an answer or an error")

    def _page(self, page_id: str) -> PageAccess:
        page = self._pages.get(page_id)
        if page is None:
            raise NoToken
        return page

    async def _form(self, notification: Notification, answer: Answer) -> Snapshot | None:
        form_id = answer.parsed.get("form_id") or notification.form_id
        page = self._pages.get(notification.page_id)
        if not form_id or page is None:
            return None
        return await self._forms.get(str(form_id), page)

    async def _emit(
        self,
        received: Received,
        notification: Notification,
        answer: Answer,
        fields: Sequence[str],
        form: Snapshot | None,
    ) -> str:
        details = _details(received, notification, answer, fields, form, now=self._clock())
        try:
            value = self._codec.encode(details)
        except DoesNotFit as error:
            return await self._bury(received, notification, "does-not-fit", error)
        told: dict[HeaderName, str | int] = {"origin": received.origin}
        told |= {name: said for name in _CARRIED if (said := received.header(name)) is not None}
        key = notification.lead_id.encode()
        try:
            await patience.deliver(self._producer, Record(topic=DETAILS, key=key, value=value, headers=headers(told)))
        except Unacceptable as error:
            return await self._bury(received, notification, "unacceptable", error)
        self._recent.add(notification.lead_id, received.origin)
        return "fetched" if len(fields) == len(LEAD_FIELDS) else "reduced"

    async def _leave(self, received: Received, notification: Notification, fate: Fate, reason: str) -> str:
        await patience.deliver(self._producer, self._fate(received, notification, fate, reason))
        return fate

    async def _bury(self, received: Received, notification: Notification | None, reason: str, error: Exception) -> str:
        failure = Failure(stage="fetch", reason=reason, error=type(error).__name__)
        await patience.deliver(
            self._producer,
            dead_letter(received, failure, now=self._clock()),
            self._fate(received, notification, "dead", reason),
        )
        telemetry.DEAD_LETTERS.labels(stage="fetch", reason=reason).inc()
        return "dead"

    def _fate(self, received: Received, notification: Notification | None, fate: Fate, reason: str) -> Record:
        page_id = notification.page_id if notification else (received.key or b"").decode("utf-8", "replace") or None
        lead_id = notification.lead_id if notification else None
        return fate_record(received, fate, stage="fetch", reason=reason, page_id=page_id, lead_id=lead_id)


def _notification(received: Received) -> Notification:
    key = None if received.key is None else received.key.decode("utf-8", "replace")
    return Notification.read(received.value or b"", page_id=key)


def _details(
    received: Received,
    notification: Notification,
    answer: Answer,
    fields: Sequence[str],
    form: Snapshot | None,
    *,
    now: int,
) -> LeadDetails:
    received_at = received.header("received-at")
    form_id = answer.parsed.get("form_id") or notification.form_id
    return {
        "lead_id": notification.lead_id,
        "page_id": notification.page_id,
        "form_id": str(form_id) if form_id else None,
        "answer": answer.body,
        "completeness": "FULL" if len(fields) == len(LEAD_FIELDS) else "REDUCED",
        "missing_fields": [name for name in LEAD_FIELDS if name not in fields],
        "source": received.header("source") or "webhook",
        "api_version": answer.version,
        "change": notification.value,
        "form": form.text if form else None,
        "form_version": form.version if form else None,
        "received_at": _time(int(received_at)) if received_at and received_at.isdigit() else None,
        "fetched_at": _time(now),
    }


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
