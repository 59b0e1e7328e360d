"""Leads from a file: each row becomes details, or is known already, or is refused with its line and the reason.

A row holds less than Meta's own answer, so it is written only where nothing is known of its lead, and gives way to
whatever else is. What is known is asked of the index right before each batch is written: a run that was killed is
simply run again. A file of any length takes the same memory.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from ingest.codec import Codec, DoesNotFit
from ingest.details import details_record, lead_details
from ingest.export import REASONS, Asked, Reason, Refused, Row, answer_of, asked_of
from ingest.kafka import Unacceptable
from ingest.mending import Writing
from ingest.meta.graph import JsonObject, Snapshot
from ingest.meta.graph.text import parse
from ingest.records import Record, headers
from ingest.whereabouts import KnowsLeads
from schemas.shapes import LeadDetails

ROWS_AT_ONCE = 1000

# Of LEAD_FIELDS, in their order, those that an export has no column for, or only now and then.
_SELDOM_TOLD = (
    "partner_name",
    "retailer_item_id",
    "home_listing",
    "vehicle",
    "custom_disclaimer_responses",
    "post_submission_check_result",
)
_BATCH_BYTES = 16 * 2**20  # well below what the producer queues

Here = Literal["no-form", "no-page", "does-not-fit", "unacceptable"]
_SENTENCES: dict[Here, str] = {
    "no-form": "nothing says which form the lead is of: give it with --form, or its page with --page",
    "no-page": "nothing here knows the page of the form: give it with --page",
    "does-not-fit": "the row cannot be written as a record: look at it for characters that are no text",
    "unacceptable": "the broker takes no record as large as this row and its form: see its message.max.bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that is not taken: where it stands, and why. Nothing of what it holds."""

    file: str
    line: int
    last_line: int
    reason: Reason | Here

    @property
    def sentence(self) -> str:
        """Why, and what to do, for a person."""
        match self.reason:
            case "no-form" | "no-page" | "does-not-fit" | "unacceptable" as ours:
                return _SENTENCES[ours]
            case reason:
                return REASONS[reason]


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the rows of a form: each is one of taken, known, repeated, refused. `erased` are among known."""

    taken: int = 0
    known: int = 0
    erased: int = 0
    repeated: int = 0
    refused: int = 0

    @property
    def rows(self) -> int:
        return self.taken + self.known + self.repeated + self.refused


class KnowsForms(Protocol):
    def page_of(self, form_id: str) -> str | None:
        """The page that a form is of, as far as is known here."""
        ...

    async def read(self, form_id: str, page_id: str, lead: JsonObject) -> Snapshot | None:
        """The form as it was when a lead was given on it: its `created_time`, and in `field_data` what was answered."""
        ...


class Importing:
    """Takes rows in batches; `tallies` and `told` say what became of them.

    `page` is that of rows whose form nobody knows here. Without `writing` all is judged and nothing done: `taken` is
    then what would be. `clock` is unix milliseconds.
    """

    def __init__(
        self,
        *,
        index: KnowsLeads,
        forms: KnowsForms,
        codec: Codec[LeadDetails],
        writing: Writing | None,
        told: Callable[[Refusal], None],
        clock: Callable[[], int],
        page: str | None = None,
    ) -> None:
        self.tallies: dict[str | None, Tally] = {}
        self._index = index
        self._forms = forms
        self._codec = codec
        self._writing = writing
        self._told = told
        self._clock = clock
        self._page = page
        self._seen = _Seen()

    async def take(self, file: str, rows: Sequence[Row | Refused], *, form: str | None = None) -> None:
        """All of them are judged, and those that bring something acknowledged, when this returns.

        `form` is that of rows that do not tell theirs.

        Raises as the index does, and `Writing.write`: then some may have been written, and the same file can be taken
        again.
        """
        wanted: dict[str, _Wanted] = {}
        for row in rows:
            self._sort(file, row, form, wanted)
        if not wanted:
            return
        # What this run has written is among what it has seen.
        if self._writing is not None and await asyncio.to_thread(self._writing.look):
            await asyncio.to_thread(self._index.refresh)
        for lead, where in (await asyncio.to_thread(self._index.of, list(wanted))).items():
            if where.has_as_much_as("EXPORT"):
                self._count_known(wanted.pop(lead), erased=where.erased)
        if self._writing is None:
            for each in wanted.values():
                self._tally(each.form_id).taken += 1
        else:
            async for batch in self._records(file, wanted.values()):
                await self._write(file, self._writing, batch)

    def close(self) -> None:
        self._seen.close()

    def _sort(self, file: str, row: Row | Refused, form: str | None, wanted: dict[str, "_Wanted"]) -> None:
        if isinstance(row, Refused):
            self._refuse(file, row, None, row.reason)
            return
        form_id = row.form_id or form
        page_id = (self._forms.page_of(form_id) if form_id else None) or self._page
        if page_id is None:
            self._refuse(file, row, form_id, "no-page" if form_id else "no-form")
        elif self._seen.add(row.lead_id):
            wanted[row.lead_id] = _Wanted(row=row, form_id=form_id, page_id=page_id)
        else:
            self._tally(form_id).repeated += 1

    async def _records(self, file: str, wanted: Iterable["_Wanted"]) -> AsyncIterator[list[tuple["_Wanted", Record]]]:
        """What is to be written, in lists that the producer has room for."""
        batch: list[tuple[_Wanted, Record]] = []
        size = 0
        for each in wanted:
            told = headers({"source": "import", "received-at": self._clock()})
            try:
                record = details_record(await self._details(each), self._codec, told)
            except DoesNotFit:
                self._refuse(file, each.row, each.form_id, "does-not-fit")
                continue
            weight = len(record.value or b"")
            if batch and size + weight > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append((each, record))
            size += weight
        if batch:
            yield batch

    async def _details(self, wanted: "_Wanted") -> LeadDetails:
        row = wanted.row
        answer = answer_of(row)
        form = None if wanted.form_id is None else await self._forms.read(wanted.form_id, wanted.page_id, _when(answer))
        if wanted.form_id is not None and form is not None:
            answer = answer_of(row, _asked(form.text))
            # Which questions were answered, only what the form asks can tell; and then, which form that was.
            likelier = await self._forms.read(wanted.form_id, wanted.page_id, _node(answer))
            if likelier is not None and likelier.version != form.version:
                form = likelier
                answer = answer_of(row, _asked(form.text))
        told = _node(answer)
        return lead_details(
            lead_id=row.lead_id,
            page_id=wanted.page_id,
            form_id=wanted.form_id,
            answer=answer,
            completeness="EXPORT",
            missing_fields=[name for name in _SELDOM_TOLD if name not in told],
            source="import",
            api_version=None,
            form=form,
            fetched_at=self._clock(),
        )

    async def _write(self, file: str, writing: Writing, batch: Sequence[tuple["_Wanted", Record]]) -> None:
        try:
            written = await writing.write([record for _, record in batch])
        except Unacceptable:  # one of them is to blame, and is not told; the others may be there by now
            for each, record in batch:
                try:
                    await writing.write([record])
                except Unacceptable:
                    self._refuse(file, each.row, each.form_id, "unacceptable")
                else:
                    self._tally(each.form_id).taken += 1
            return
        for each, _ in batch:
            lead = each.row.lead_id
            # What somebody else wrote meanwhile is as much as an export, or a tombstone.
            if lead in written.overtaken or lead in written.erased:
                self._count_known(each, erased=lead in written.erased)
            else:
                self._tally(each.form_id).taken += 1

    def _count_known(self, wanted: "_Wanted", *, erased: bool) -> None:
        tally = self._tally(wanted.form_id)
        tally.known += 1
        tally.erased += erased

    def _refuse(self, file: str, row: Row | Refused, form_id: str | None, reason: Reason | Here) -> None:
        self._tally(form_id).refused += 1
        self._told(Refusal(file=file, line=row.line, last_line=row.last_line, reason=reason))

    def _tally(self, form_id: str | None) -> Tally:
        return self.tallies.setdefault(form_id, Tally())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    row: Row
    form_id: str | None
    page_id: str


class _Seen:
    """The leads that this run has met, beyond a few MB in a private file: none is judged twice."""

    def __init__(self) -> None:
        self._ids = sqlite3.connect("", isolation_level=None)
        self._ids.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE seen (lead PRIMARY KEY)"
        )

    def add(self, lead_id: str) -> bool:
        """Whether it is new."""
        return self._ids.execute("INSERT OR IGNORE INTO seen VALUES (?)", (lead_id,)).rowcount == 1

    def close(self) -> None:
        self._ids.close()


def _node(answer: str) -> JsonObject:
    node = parse(answer)
    assert isinstance(node, dict)  # noqa: S101  we have written it
    return node


def _when(answer: str) -> JsonObject:
    return {"created_time": _node(answer)["created_time"]}


@lru_cache(maxsize=64)
def _asked(form: str) -> Asked:
    node = parse(form)
    return asked_of(node if isinstance(node, dict) else {})
