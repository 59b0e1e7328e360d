"""The step of `work fetch`: a notification in, Meta's whole answer out, as one `LeadDetails`.

A record ends as details, on a rung of the ladder, parked, as a dead letter with its reason, or with a fate that says
why nothing came of it (the dashboard's sample, Meta's repeat of a lead just fetched), and is done when that is
acknowledged. `failures.py` says which; seconds are waited out in place, nothing longer.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from ingest import telemetry
from ingest.codec import Codec, DoesNotFit
from ingest.details import details_record, lead_details
from ingest.kafka import Producer, Unacceptable
from ingest.meta.errors import AccessLost, BadAsk, GraphError, Missing, Unavailable
from ingest.meta.graph import LEAD_FIELDS, REDUCED_LEAD_FIELDS, Answer, Snapshot
from ingest.meta.notification import BadChange, Notification
from ingest.meta.pages import PageAccess
from ingest.records import (
    RAW,
    Failure,
    Fate,
    HeaderName,
    Received,
    Record,
    dead_letter,
    fate_record,
    set_aside,
)
from processors import patience
from processors.access import Standing
from processors.asking import Turned
from processors.failures import (
    EXHAUSTED,
    EXPIRED,
    NO_TOKEN,
    NOT_FOUND,
    Aside,
    Ladder,
    crowded,
    first_failed_at,
    is_expired,
    parked,
)
from processors.form_history import Given
from processors.governor import Governor
from processors.limit import Limit
from processors.recent import RecentLeads
from schemas.shapes import LeadDetails

# What a reader of details and leads may want to know of the way a lead came; the rest stays on raw.
_CARRIED: tuple[HeaderName, ...] = ("source", "delivery", "received-at")
_MILLISECONDS_DIGITS = 13
SLOW_MS = 10_000  # a page whose oldest open record is older is slow


class AsksLeads(Protocol):
    async def lead(self, lead_id: str, page: PageAccess, *, fields: Sequence[str], live: bool) -> Answer:
        """Turned or GraphError where there is no answer."""
        ...

    async def tell(self) -> None:
        """Makes known what the governor has decided."""
        ...


class KnowsForms(Protocol):
    async def get(self, form_id: str, page: PageAccess, given: Given) -> Snapshot | None: ...


class HoldsTokens(Protocol):
    def get(self, page_id: str) -> PageAccess | None: ...

    def all(self) -> Collection[PageAccess]: ...


class Fetch:
    """`clock` is unix milliseconds; `window` is how many records are open at once, of all pages."""

    def __init__(
        self,
        *,
        asking: AsksLeads,
        governor: Governor,
        pages: HoldsTokens,
        forms: KnowsForms,
        producer: Producer,
        codec: Codec[LeadDetails],
        recent: RecentLeads,
        ladder: Ladder,
        limit: Limit,
        window: int,
        clock: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._asking = asking
        self._governor = governor
        self._pages = pages
        self._forms = forms
        self._producer = producer
        self._codec = codec
        self._recent = recent
        self._ladder = ladder
        self._limit = limit
        self._share = max(1, window // 4)  # of the window, that one page in trouble may hold
        self._held: Counter[str] = Counter()
        self._open: dict[str, dict[tuple[str, int, int], int]] = {}  # by page: its open records, since when
        self._read = lru_cache(maxsize=window)(_notification)  # for its key, and a moment later for its lead
        self._clock = clock
        self._pause = pause
        self._counted: Counter[str] = Counter()  # by outcome, those of this turn of the event loop

    def key(self, received: Received) -> Hashable:
        """The lead: what comes of it must reach its topic in the order of its notifications."""
        try:
            return self._read(received.value or b"", received.key).lead_id
        except BadChange:
            return (received.partition, received.offset)

    async def run(self, received: Received) -> None:
        outcome = await self._bring(received)
        if not self._counted:  # a counter is a write to a file, and many records end at once
            asyncio.get_running_loop().call_soon(self._count)
        self._counted[outcome] += 1

    def _count(self) -> None:
        for outcome, records in self._counted.items():
            telemetry.RECORDS.labels(worker="fetch", outcome=outcome).inc(records)
        self._counted.clear()

    async def _bring(self, received: Received) -> str:
        try:
            notification = self._read(received.value or b"", received.key)
        except BadChange as error:
            return await self._bury(received, None, error.reason, error)
        if notification.sample:
            return await self._leave(received, notification, "skipped", "sample")
        if received.topic.endswith(RAW) and self._recent.repeats(notification.lead_id, received.origin):
            return await self._leave(received, notification, "duplicate", "seen")
        page_id = notification.page_id
        if self._is_crowded(page_id):
            return await self._set_aside(received, notification, crowded(received))
        mine, place = self._open.setdefault(page_id, {}), (received.topic, received.partition, received.offset)
        mine[place] = began = self._clock()
        try:
            return await self._bring_in(received, notification, began)
        finally:
            mine.pop(place, None)
            if not mine:
                self._open.pop(page_id, None)

    def _is_crowded(self, page_id: str) -> bool:
        """Whether a slow page has its share of the window: more of it would leave no room for the others."""
        mine = self._open.get(page_id, {})
        if len(mine) < self._share or self._clock() - next(iter(mine.values())) < SLOW_MS:
            return False
        return len(self._pages.all()) > 1 and not (self._governor.storm or self._governor.silent)

    async def _bring_in(self, received: Received, notification: Notification, began: int) -> str:
        while True:
            page = self._pages.get(notification.page_id)
            if page is None:
                return await self._set_aside(received, notification, parked(received, NO_TOKEN))
            try:
                return await self._fetch(received, notification, page)
            except (Turned, GraphError) as error:
                outcome = await self._give_way(received, notification, page, error, began)
            if outcome is not None:
                return outcome

    async def _give_way(
        self, received: Received, notification: Notification, page: PageAccess, error: Turned | GraphError, began: int
    ) -> str | None:
        """What became of a record that was not fetched; None where it is tried again in place."""
        match error:
            case Turned(standing=standing):
                if await self._sit_out(page, standing):
                    return None
                aside = self._ladder.turned(received, standing, now=self._clock())
                return await self._set_aside(received, notification, aside)
            case Unavailable():
                # Where nobody is answered, the fault is not the record's, and it would only fill the ladder.
                if self._governor.storm or self._governor.silent:
                    return None
                return await self._try_later(received, notification, page, error)
            case Missing():
                return await self._miss(received, notification, page, error, began)
            case _:
                return await self._bury(received, notification, error.reason, error)

    async def _fetch(self, received: Received, notification: Notification, page: PageAccess) -> str:
        live = received.header("source") in (None, "webhook")
        answer, fields = await self._answer(received, notification, page, live=live)
        text, version, parsed = answer.body, answer.version, answer.parsed
        form_id, form = parsed.get("form_id") or notification.form_id, None
        if form_id:
            given = Given.read(parsed, notification.created_time)
            form = await self._forms.get(str(form_id), page, given)
        # Some sixty objects of each lead that the broker has yet to acknowledge would be looked at for cycles.
        del answer, parsed
        return await self._emit(
            received, notification, text, version, fields, form_id=str(form_id) if form_id else None, form=form
        )

    async def _answer(
        self, received: Received, notification: Notification, page: PageAccess, *, live: bool
    ) -> tuple[Answer, Sequence[str]]:
        """Meta's answer and the fields that were asked for."""
        if _came_back_missing(received):  # the race is long over
            return await self._ask(notification, page, live=live)
        async for attempt in patience.race():
            with attempt:
                return await self._ask(notification, page, live=live)
        raise AssertionError("attempts end with an answer or an error")

    async def _ask(self, notification: Notification, page: PageAccess, *, live: bool) -> tuple[Answer, Sequence[str]]:
        async for attempt in patience.a_few():
            with attempt:
                try:
                    answer = await self._asking.lead(notification.lead_id, page, fields=LEAD_FIELDS, live=live)
                except (BadAsk, AccessLost):
                    # One field that this token may not name fails the whole ask; what it may name is worth having.
                    fields = REDUCED_LEAD_FIELDS
                    return await self._asking.lead(notification.lead_id, page, fields=fields, live=live), fields
                return answer, LEAD_FIELDS
        raise AssertionError("attempts end with an answer or an error")

    async def _sit_out(self, page: PageAccess, standing: Standing) -> bool:
        """Whether a pause shorter than the first rung was waited for in place.

        A page may so with its share of the window only, and all of them with half: the rest is for who may be asked.
        """
        left = ((standing.until or 0) - self._clock()) / 1000
        full = self._held[page.page_id] >= self._share or self._held.total() >= 2 * self._share
        if standing.state != "paused" or left >= self._ladder.delays[0] or full:
            return False
        self._held[page.page_id] += 1
        try:
            await self._pause(max(0.0, left))
        finally:
            self._held[page.page_id] -= 1
        return True

    async def _try_later(
        self, received: Received, notification: Notification, page: PageAccess, error: Unavailable
    ) -> str:
        aside = self._ladder.unanswered(received, error.reason)
        if aside.reason == EXHAUSTED:
            self._governor.doubt(page, EXHAUSTED)  # its next success lets the record go on
        await self._limit.give_up()
        return await self._set_aside(received, notification, aside)

    async def _miss(
        self, received: Received, notification: Notification, page: PageAccess, error: Missing, began: int
    ) -> str:
        """Not there, or not for this token: Meta does not say which, the other leads of the page do."""
        if is_expired(notification.created_time, now=self._clock()):
            return await self._bury(received, notification, EXPIRED, error)
        came_back = _came_back_missing(received)
        others = self._governor.readable_since(page, (first_failed_at(received) if came_back else None) or began)
        if came_back and others:
            return await self._bury(received, notification, NOT_FOUND, error)
        if not others:
            self._governor.missed(page, notification.lead_id)
        await self._limit.give_up()
        # What it failed of before tells nothing: only leads that are read from here on, or were while it was asked for.
        missed = received if came_back else _without_its_past(received)
        return await self._set_aside(missed, notification, parked(received, NOT_FOUND), since=began)

    async def _set_aside(
        self, received: Received, notification: Notification, aside: Aside, *, since: int | None = None
    ) -> str:
        await self._asking.tell()
        now = self._clock() if since is None else since
        await patience.deliver(
            self._producer,
            set_aside(received, aside.topic, reason=aside.reason, attempt=aside.attempt, now=now),
            self._fate(received, notification, aside.fate, aside.reason),
        )
        return aside.fate

    async def _emit(
        self,
        received: Received,
        notification: Notification,
        answer: str,
        version: str | None,
        fields: Sequence[str],
        *,
        form_id: str | None,
        form: Snapshot | None,
    ) -> str:
        origin = received.origin
        said: dict[str, bytes | None] = dict(received.headers)  # of a header that stands twice, the last one
        details = lead_details(
            lead_id=notification.lead_id,
            page_id=notification.page_id,
            form_id=form_id,
            answer=answer,
            completeness="FULL" if fields is LEAD_FIELDS else "REDUCED",
            missing_fields=_missing(fields),
            source=(said.get("source") or b"").decode("utf-8", "replace") or "webhook",
            api_version=version,
            form=form,
            fetched_at=self._clock(),
            change=notification.value,
            received_at=_milliseconds(said.get("received-at") or b""),
        )
        carried = ((name, value) for name in _CARRIED if (value := said.get(name)) is not None)
        told = (("origin", origin.encode()), *carried)
        try:
            records = [details_record(details, self._codec, told)]
        except DoesNotFit as error:
            return await self._bury(received, notification, "does-not-fit", error)
        if not received.topic.endswith(RAW):  # another fate was told before
            records.append(self._fate(received, notification, "fetched", "answered"))
        try:
            await patience.deliver(self._producer, *records)
        except Unacceptable as error:
            return await self._bury(received, notification, "unacceptable", error)
        self._recent.add(notification.lead_id, origin)
        return "fetched" if fields is LEAD_FIELDS else "reduced"

    async def _leave(self, received: Received, notification: Notification, fate: Fate, reason: str) -> str:
        await patience.deliver(self._producer, self._fate(received, notification, fate, reason))
        return fate

    async def _bury(self, received: Received, notification: Notification | None, reason: str, error: Exception) -> str:
        failure = Failure(stage="fetch", reason=reason, error=type(error).__name__)
        if reason != EXPIRED:  # a replay of old records meets many of them, and nothing could be lost
            await self._limit.give_up()
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


def _notification(value: bytes, key: bytes | None) -> Notification:
    return Notification.read(value, page_id=None if key is None else key.decode("utf-8", "replace"))


def _missing(fields: Sequence[str]) -> list[str]:
    return [] if fields is LEAD_FIELDS else [name for name in LEAD_FIELDS if name not in fields]


def _without_its_past(received: Received) -> Received:
    kept = tuple(pair for pair in received.headers if pair[0] != "first-failed-at")
    return replace(received, headers=kept)


def _came_back_missing(received: Received) -> bool:
    return not received.topic.endswith(RAW) and received.header("fate-reason") == NOT_FOUND


def _milliseconds(text: bytes) -> int | None:
    # Thirteen digits reach to the year 2286; what somebody else has written there must not cost the lead.
    return int(text) if text.isdigit() and len(text) <= _MILLISECONDS_DIGITS else None
