"""Why a file, or a row of one, is not taken, and what to do about it; never what stood in it. Performs no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FileReason = Literal[
    "empty",
    "web-page",
    "json",
    "spreadsheet",
    "compressed",
    "not-text",
    "broken-header",
    "no-header",
    "no-id",
    "several-ids",
    "no-time",
    "rounded-ids",
]
_AGAIN = "download the leads again and import that file as it was downloaded"
FILE_REASONS: Mapping[FileReason, str] = {
    "empty": f"the file is empty: {_AGAIN}",
    "web-page": "this is a web page, most likely a page to log in with: log in to Facebook and download the file again",
    "json": "this is JSON, most likely an error of Meta's in place of the file: read what it says, and ask again",
    "spreadsheet": "this is a workbook, not a CSV file: download the leads as CSV, because a workbook rounds the ids; "
    "if there is no other copy, save it as `CSV UTF-8`",
    "compressed": "this is a compressed file: unpack it and import what is in it",
    "not-text": "this is no text in UTF-8 or UTF-16: save it as `CSV UTF-8`, or better, " + _AGAIN,
    "broken-header": f"the first row has a quote that is never closed, or is too long to be one: {_AGAIN}",
    "no-header": "the first row is a lead already: put the header above it, as Meta writes it, or " + _AGAIN,
    "no-id": "no column holds the ids of leads: name that column `id`, as Meta does",
    "several-ids": "more than one column could hold the ids of leads: name one `id`, and the others otherwise",
    "no-time": "no column holds the times of leads: name that column `created_time`, as Meta does",
    "rounded-ids": "a spreadsheet has rounded the ids to 15 digits, so no lead can be told by them: " + _AGAIN,
}

Reason = Literal[
    "no-id",
    "not-an-id",
    "rounded-id",
    "no-time",
    "not-a-time",
    "time-without-offset",
    "too-few-cells",
    "too-many-cells",
    "broken-quoting",
    "row-in-a-cell",
    "too-long",
    "null-byte",
    "not-text",
    "cut-off",
    "other-header",
]
REASONS: Mapping[Reason, str] = {
    "no-id": "the lead has no id: it cannot be told from others",
    "not-an-id": "what stands for the lead's id is none (digits, with or without `l:`): was a column moved?",
    "rounded-id": f"the id was rounded when the file was opened and saved by a spreadsheet: {_AGAIN}",
    "no-time": "it does not say when the lead was made",
    "not-a-time": f"when the lead was made cannot be read; spreadsheets write times in ways of their own: {_AGAIN}",
    "time-without-offset": "when the lead was made is told without an offset from UTC (such as `-05:00`), so it could "
    f"be hours off: {_AGAIN}",
    "too-few-cells": f"the row has fewer cells than the header has columns; was the file cut? If so, {_AGAIN}",
    "too-many-cells": "the row has more cells than the header has columns: an answer holds a separator without quotes",
    "broken-quoting": "a quote is not closed as it should be, so these lines cannot be told apart: write two quotes "
    f"where an answer has one, or {_AGAIN}",
    "row-in-a-cell": "a quoted cell holds what looks like another row, so a quote may be missing; neither was taken: "
    f"look at these lines, or {_AGAIN}",
    "too-long": "the row is longer than any lead: a quote may be missing, or this is no row",
    "null-byte": f"the row holds a null byte: the file was damaged: {_AGAIN}",
    "not-text": "the row holds bytes that are no text in the file's encoding: save the file as `CSV UTF-8`, or better, "
    + _AGAIN,
    "cut-off": f"the file ends in the middle of a character: {_AGAIN}",
    "other-header": "another table begins here, whose header leaves open what tells a lead; from here on nothing was "
    "read: import the rest as a file of its own",
}


class NotAnExport(Exception):
    """This is no file of leads; the text says why and what to do, and nothing of the file is in it."""

    def __init__(self, reason: FileReason) -> None:
        super().__init__(FILE_REASONS[reason])
        self.reason: FileReason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that is not taken: the lines of the file it covers, from 1, and why."""

    line: int
    last_line: int
    reason: Reason

    @property
    def sentence(self) -> str:
        """Why, and what to do, for a person."""
        return REASONS[self.reason]
