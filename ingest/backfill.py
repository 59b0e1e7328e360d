"""Whole leads from a bulk read to `meta.leadgen.details`: what is here already is not written again.

A page is written, and acknowledged, before its cursor is told: whoever goes on from there misses nothing. What was
written but not told of is known by then, and is not written twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ingest.bulk import LeadsPage, Slice
from ingest.codec import Codec, DoesNotFit
from ingest.details import details_record, lead_details
from ingest.kafka import Producer, Unacceptable
from ingest.meta.graph import LEAD_FIELDS, Snapshot
from ingest.meta.graph.bulk import BulkLead
from ingest.meta.notification import id_or_none
from ingest.meta.pages import PageAccess
from ingest.records import Record, headers
from ingest.whereabouts import KnowsLeads
from schemas.shapes import Completeness, LeadDetails

SOURCE = "backfill"
KNOWN_SECONDS = 10.0  # how old what is known may be: live leads come in meanwhile, and to know them costs a reading
_BATCH_BYTES = 16 * 2**20  # well below what the producer queues


class ReadsLeads(Protocol):
    """`ingest.bulk.BulkRead`."""

    def pages(
        self, wanted: Slice, *, after: str | None = None, limit: int | None = None
    ) -> AsyncIterator[LeadsPage]: ...


class FindsForms(Protocol):
    async def of(self, lead: BulkLead, form_id: str, page: PageAccess) -> Snapshot | None:
        """The form as it was when the lead was given on it; None where nothing is known of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How far a slice is: the cursor to go on from, the size of its next page, and what became of its leads so far.

    `read` are those within the asked times, `refused` the ones that could not be written. No answer is in it.
    """

    after: str | None = None
    limit: int | None = None
    read: int = 0
    written: int = 0
    outside: int = 0
    unreadable: int = 0
    refused: tuple[tuple[str, str], ...] = ()  # lead id, and why
    missing_fields: tuple[str, ...] = ()
    done: bool = False

    @property
    def here(self) -> int:
        """Those that were here already."""
        return max(0, self.read - self.written - len(self.refused))


class Backfill:
    """`clock` is unix milliseconds, `rising` seconds."""

    def __init__(
        self,
        *,
        bulk: ReadsLeads,
        forms: FindsForms,
        known: KnowsLeads,
        producer: Producer,
        codec: Codec[LeadDetails],
        clock: Callable[[], int],
        rising: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bulk = bulk
        self._forms = forms
        self._known = known
        self._producer = producer
        self._codec = codec
        self._clock = clock
        self._rising = rising
        self._known_at = rising()
        self._written: set[str] = set()  # since then, and so not known
        self._going: set[str] = set()  # on their way to the broker: of two slices with one lead, the first has it

    async def fill(self, wanted: Slice, stand: Stand) -> AsyncIterator[Stand]:
        """How far it is after each page, once the broker has all of it; the last one is done.

        Unreadable where Meta gives no more of it. NotAcknowledged, ProducerFailed, and what `known` raises.
        """
        async for page in self._bulk.pages(wanted, after=stand.after, limit=stand.limit):
            if page.anew:  # what was written stays so: it is not counted as having been here
                stand = Stand(written=stand.written)
            written, refused = await self._write(page, wanted.page)
            stand = replace(
                stand,
                after=page.after,
                limit=page.limit,
                read=stand.read + len(page.leads),
                written=stand.written + written,
                outside=stand.outside + page.outside,
                unreadable=stand.unreadable + page.unreadable,
                refused=(*stand.refused, *refused),
                missing_fields=stand.missing_fields or _missing(page),
                done=page.after is None,
            )
            yield stand

    async def _write(self, page: LeadsPage, access: PageAccess) -> tuple[int, list[tuple[str, str]]]:
        """How many leads of the page were written, and which could not be."""
        completeness: Completeness = "REDUCED" if _missing(page) else "FULL"
        new = await self._new(page.leads, completeness)
        ids = {lead.lead_id for lead in new}
        self._going |= ids
        try:
            written, refused = await self._write_new(new, page, access, completeness)
        finally:
            self._going -= ids
        self._written |= ids
        return written, refused

    async def _write_new(
        self, new: Sequence[BulkLead], page: LeadsPage, access: PageAccess, completeness: Completeness
    ) -> tuple[int, list[tuple[str, str]]]:
        records: list[Record] = []
        refused: list[tuple[str, str]] = []
        for lead in new:
            try:
                records.append(await self._record(lead, page, access, completeness))
            except DoesNotFit:
                refused.append((lead.lead_id, "does-not-fit"))
        written = len(records)
        for batch in _batches(records):
            for lead_id in await self._deliver(batch):
                refused.append((lead_id, "unacceptable"))
                written -= 1
        return written, refused

    async def _new(self, leads: Sequence[BulkLead], completeness: Completeness) -> list[BulkLead]:
        if self._rising() - self._known_at > KNOWN_SECONDS:
            self._known_at = self._rising()
            before = set(self._written)
            await asyncio.to_thread(self._known.refresh)
            self._written -= before
        known = await asyncio.to_thread(self._known.of, [lead.lead_id for lead in leads])
        ours = self._written | self._going
        new = {
            lead.lead_id: lead
            for lead in leads
            if lead.lead_id not in ours
            and ((found := known.get(lead.lead_id)) is None or not found.has_as_much_as(completeness))
        }
        return list(new.values())

    async def _record(self, lead: BulkLead, page: LeadsPage, access: PageAccess, completeness: Completeness) -> Record:
        form_id = id_or_none(lead.parsed.get("form_id"))
        now = self._clock()
        details = lead_details(
            lead_id=lead.lead_id,
            page_id=access.page_id,
            form_id=form_id,
            answer=lead.text,
            completeness=completeness,
            missing_fields=_missing(page),
            source=SOURCE,
            api_version=page.version,
            form=None if form_id is None else await self._forms.of(lead, form_id, access),
            fetched_at=now,
            received_at=now,
        )
        return details_record(details, self._codec, headers({"source": SOURCE, "received-at": now}))

    async def _deliver(self, records: Sequence[Record]) -> list[str]:
        """The ids of the leads that the broker takes in no case."""
        try:
            await self._producer.deliver(records)
        except Unacceptable:
            refused = []
            for record in records:  # one of them is to blame, and is not told
                try:
                    await self._producer.deliver([record])
                except Unacceptable:
                    refused.append((record.key or b"").decode())
            return refused
        return []


def _missing(page: LeadsPage) -> tuple[str, ...]:
    return tuple(name for name in LEAD_FIELDS if name not in page.fields)


def _batches(records: Sequence[Record]) -> list[list[Record]]:
    batches: list[list[Record]] = []
    size = 0
    for record in records:
        weight = len(record.value or b"")
        if not batches or size + weight > _BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(record)
        size += weight
    return batches
