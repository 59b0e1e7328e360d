"""A file of leads, row by row: each is taken or refused with its line and the reason. Holds some fifty rows at most."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from ingest.export.columns import Columns, begins_a_row, is_a_header, known_names, read_columns
from ingest.export.refusals import NotAnExport, Reason, Refused
from ingest.export.table import Record, Table
from ingest.export.text import open_text
from ingest.export.values import a_moment, an_answer, an_id, is_rounded, lacks_its_offset, yes_or_no

_DELIMITERS = "\t,;"
_NONE = ("", "0")  # how an id says that there is none
_LOOKED_AT = 50  # rows that say what the columns are
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # how bytes that are no text were read

Answers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One lead as the file tells it. Ids are digits without prefix, `created_time` is unix seconds.

    `questions` are the columns' names and what was answered, in the file's order; `extras` what is no question: columns
    that people added, `lead_status`, and cells that are not what their column should hold. Empty cells are left out.
    Two columns may have one name.
    """

    line: int
    last_line: int
    lead_id: str
    created_time: int
    form_id: str | None = None
    form_name: str | None = None
    ad_id: str | None = None
    ad_name: str | None = None
    adset_id: str | None = None
    adset_name: str | None = None
    campaign_id: str | None = None
    campaign_name: str | None = None
    is_organic: bool | None = None
    platform: str | None = None
    partner_name: str | None = None
    retailer_item_id: str | None = None
    questions: Answers = field(default=(), repr=False)
    extras: Answers = field(default=(), repr=False)


class Export:
    """A file of leads that was opened: what is known of it, and its rows, once.

    `encoding` is utf-8, utf-16-le or utf-16-be; `columns` are the header's names, `questions` those of them that are
    taken for questions. Files that were put together are read through, each by its own header.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        text, self.encoding = open_text(chunks)
        self._table = Table(text)
        header, self.delimiter = _header(self._table)
        self._table.begins_a_row = begins_a_row(header.cells)
        self._records = self._table.records(self.delimiter)
        next(self._records)  # the header again
        self._ahead: deque[Record] = deque()
        self._columns = self._read_columns(header.cells)

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, as they are written."""
        return self._columns.names

    @property
    def questions(self) -> Sequence[str]:
        """The names of those that are taken for questions."""
        return [name for _, name in self._columns.questions]

    def __iter__(self) -> Iterator[Row | Refused]:
        while record := self._next():
            taken = record.reason or _row(record, self._columns)
            if isinstance(taken, Row):
                yield taken
                continue
            if [cell.strip("\ufeff") for cell in record.cells[: len(self.columns)]] == list(self.columns):
                continue
            if not record.reason and is_a_header(record.cells):
                try:
                    self._table.begins_a_row = begins_a_row(record.cells)
                    self._columns = self._read_columns(record.cells)
                except NotAnExport:
                    yield _refused(record, "other-header")
                    return
                continue
            yield _refused(record, taken)

    def _next(self) -> Record | None:
        return self._ahead.popleft() if self._ahead else next(self._records, None)

    def _read_columns(self, header: Sequence[str]) -> Columns:
        self._ahead.extend(islice(self._records, max(0, _LOOKED_AT - len(self._ahead))))
        cells = (record.cells for record in self._ahead)
        return read_columns(header, list(takewhile(lambda row: not is_a_header(row), cells)))


def read_export(chunks: Iterable[bytes]) -> Export:
    """Open a file of leads that comes in pieces of any size; `NotAnExport` if it is none."""
    return Export(chunks)


def _header(table: Table) -> tuple[Record, str]:
    """The header as the delimiter cuts it that makes most of it Meta's, and that delimiter."""
    read = [(table.header(delimiter), delimiter) for delimiter in _DELIMITERS]
    whole = [(header, delimiter) for header, delimiter in read if header.reason is None]
    if not whole:
        raise NotAnExport("not-text" if read[0][0].reason == "cut-off" else "broken-header")
    header, delimiter = max(whole, key=lambda found: (known_names(found[0].cells), len(found[0].cells)))
    if not header.cells:
        raise NotAnExport("empty")
    if len(header.cells) == 1 and len(whole) < len(read):  # what would have cut it stands beside the broken quote
        raise NotAnExport("broken-header")
    if _damage(header.cells):
        raise NotAnExport("not-text")
    if begins_a_row(())(header.cells):
        raise NotAnExport("no-header")
    return header, delimiter


def _refused(record: Record, reason: Reason) -> Refused:
    return Refused(line=record.line, last_line=record.last_line, reason=reason)


def _row(record: Record, columns: Columns) -> Row | Reason:
    cells = record.cells
    if reason := _misshapen(cells, len(columns.names)) or _damage(cells):
        return reason
    lead_id = an_id(cells[columns.lead_id], "lead_id")
    if lead_id is None:
        return _why_no_id(cells[columns.lead_id])
    created_time = a_moment(cells[columns.created_time])
    if created_time is None:
        return _why_no_time(cells[columns.created_time])
    told: dict[str, str] = {kind: found for place, kind in columns.ids if (found := an_id(cells[place], kind))}
    told |= {name: cell for place, name in columns.texts if (cell := cells[place])}
    is_organic = None if columns.is_organic is None else yes_or_no(cells[columns.is_organic])
    return Row(
        line=record.line,
        last_line=record.last_line,
        lead_id=lead_id,
        created_time=created_time,
        is_organic=is_organic,
        questions=tuple([(name, an_answer(cell)) for place, name in columns.questions if (cell := cells[place])]),
        extras=tuple(_extras(cells, columns, told, is_organic)),
        **told,
    )


def _extras(
    cells: Sequence[str], columns: Columns, told: Mapping[str, str], is_organic: bool | None
) -> Iterator[tuple[str, str]]:
    """What is no question, and what stands where it does not belong, as a sentence of Meta's in place of an ad's id."""
    for place, name in columns.extras:
        if cells[place]:
            yield name, cells[place]
    for place, kind in columns.ids:
        if kind not in told and cells[place].strip() not in _NONE:
            yield columns.names[place], cells[place]
    if columns.is_organic is not None and is_organic is None and cells[columns.is_organic].strip():
        yield columns.names[columns.is_organic], cells[columns.is_organic]


def _misshapen(cells: Sequence[str], width: int) -> Reason | None:
    if len(cells) < width:
        return "too-few-cells"
    return "too-many-cells" if any(cells[width:]) else None


def _damage(cells: Sequence[str]) -> Reason | None:
    text = "".join(cells)
    if "\0" in text:
        return "null-byte"
    return "not-text" if not text.isascii() and _HALF_A_PAIR.search(text) else None


def _why_no_id(cell: str) -> Reason:
    if not cell.strip():
        return "no-id"
    return "rounded-id" if is_rounded(cell) else "not-an-id"


def _why_no_time(cell: str) -> Reason:
    if not cell.strip():
        return "no-time"
    return "time-without-offset" if lacks_its_offset(cell) else "not-a-time"
