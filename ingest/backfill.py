"""Whole leads from a bulk read to `meta.leadgen.details`: what is here already is not written again.

A page is written, and acknowledged, before its cursor is told: whoever goes on from there misses nothing. What was
written but not told of is known by then, and is not written twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from ingest.bulk import LeadsPage, Slice
from ingest.codec import Codec, DoesNotFit
from ingest.details import RICHNESS, details_record, lead_details
from ingest.kafka import Unacceptable
from ingest.mending import Written
from ingest.meta.graph import LEAD_FIELDS, Snapshot
from ingest.meta.graph.bulk import BulkLead
from ingest.meta.notification import id_or_none
from ingest.meta.pages import PageAccess
from ingest.records import Record, headers
from ingest.whereabouts import KnowsLeads
from schemas.shapes import Completeness, LeadDetails

SOURCE = "backfill"
_UNREAD = 20_000  # leads written here and not read back: beyond it the index reads them, and they leave memory
_BATCH_BYTES = 16 * 2**20  # well below what the producer queues


class ReadsLeads(Protocol):
    """`ingest.bulk.BulkRead`."""

    def pages(
        self, wanted: Slice, *, after: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[LeadsPage, None]: ...


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


class WritesDetails(Protocol):
    """`ingest.mending.Writing`: nothing is written over what others write meanwhile."""

    def look(self) -> bool: ...

    async def write(self, records: Sequence[Record]) -> Written: ...


class Backfill:
    """`clock` is unix milliseconds."""

    def __init__(
        self,
        *,
        bulk: ReadsLeads,
        forms: FindsForms,
        known: KnowsLeads,
        writing: WritesDetails,
        codec: Codec[LeadDetails],
        clock: Callable[[], int],
    ) -> None:
        self._bulk = bulk
        self._forms = forms
        self._known = known
        self._writing = writing
        self._codec = codec
        self._clock = clock
        # Here, since the topics were last read, and how completely: the index does not know of these.
        self._written: dict[str, Completeness] = {}
        self._turn = asyncio.Lock()

    async def fill(self, wanted: Slice, stand: Stand) -> AsyncGenerator[Stand, None]:
        """How far it is after each page, once the broker has all of it; the last one is done.

        Unreadable where Meta gives no more of it; and what `known` and `writing` raise.
        """
        # Closed at once, however it ends: a page of leads holds a turn that others wait for.
        async with aclosing(self._bulk.pages(wanted, after=stand.after, limit=stand.limit)) as pages:
            async for page in pages:
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
        by_id = {lead.lead_id: lead for lead in page.leads}
        records: dict[str, Record] = {}
        refused: list[tuple[str, str]] = []
        # Before the topic is looked at: to ask Meta for a form may take its time.
        for lead_id in await self._new(by_id, completeness):
            try:
                records[lead_id] = await self._record(by_id[lead_id], page, access, completeness)
            except DoesNotFit:
                refused.append((lead_id, "does-not-fit"))
        if not records:
            return 0, refused
        async with self._turn:  # of two slices with one lead, the second has to find what the first wrote
            if await asyncio.to_thread(self._writing.look) or len(self._written) > _UNREAD:
                await asyncio.to_thread(self._known.refresh)
                self._written.clear()
            new = [records[lead_id] for lead_id in await self._new(records, completeness)]
            written = 0
            for batch in _batches(new):
                sent, unacceptable = await self._send(batch)
                written += sent
                refused += [(lead_id, "unacceptable") for lead_id in unacceptable]
            self._written |= {(record.key or b"").decode(): completeness for record in new}
        return written, refused

    async def _new(self, lead_ids: Collection[str], completeness: Completeness) -> list[str]:
        """Those that are not here as completely, as far as is known."""
        known = await asyncio.to_thread(self._known.of, lead_ids)
        return [
            lead_id
            for lead_id in lead_ids
            if RICHNESS[completeness] > (RICHNESS[self._written[lead_id]] if lead_id in self._written else 0)
            and ((found := known.get(lead_id)) is None or not found.has_as_much_as(completeness))
        ]

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
        )
        return details_record(details, self._codec, headers({"source": SOURCE, "received-at": now}))

    async def _send(self, records: Sequence[Record]) -> tuple[int, list[str]]:
        """How many were sent, and the ids of the leads that the broker takes in no case."""
        try:
            return (await self._writing.write(records)).sent, []
        except Unacceptable:
            sent, refused = 0, []
            for record in records:  # one of them is to blame, and is not told
                try:
                    await self._writing.write([record])
                    sent += 1  # by now: what the broker took at the first try is not sent again
                except Unacceptable:
                    refused.append((record.key or b"").decode())
            return sent, refused


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
