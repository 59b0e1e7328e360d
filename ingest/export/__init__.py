"""Leads in files: Meta's export endpoint and Ads Manager's downloads, read row by row. Performs no I/O of its own.

A file is given as bytes in pieces of any size and is never held whole. Each row is taken or refused with its line and a
reason from a closed list, and what is no such file is `NotAnExport`; nothing else is raised whatever the bytes, and no
refusal repeats what a person answered.

`text` makes lines of bytes, `table` records of lines, `columns` says what each cell is, `values` reads one, `rows`
puts a lead together, `answer` writes it as Graph would have, `refusals` are the words for what is not taken.
"""

from ingest.export.answer import Asked, answer_of, asked_of
from ingest.export.refusals import FILE_REASONS, REASONS, FileReason, NotAnExport, Reason, Refused
from ingest.export.rows import Export, Row, read_export

__all__ = [
    "FILE_REASONS",
    "REASONS",
    "Asked",
    "Export",
    "FileReason",
    "NotAnExport",
    "Reason",
    "Refused",
    "Row",
    "answer_of",
    "asked_of",
    "read_export",
]
