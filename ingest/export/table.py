"""Text to the records of a table, each with the lines it covers; a broken one costs itself and what it swallowed.

The csv module reads the records. What it does not do is here: to bound a row, because one quote that is never closed
would take the rest of the file for a cell, and to go on after it at the next line that begins as a row does.
"""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingest.export.refusals import Reason

ROW_LIMIT = 100_000
"""Characters in a row. Below csv's own limit of a field, which holds for the whole process and is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The cells of a row on lines `line` to `last_line`, or the `reason` there are none."""

    line: int
    last_line: int
    cells: Sequence[str] = ()
    reason: Reason | None = None


class Table:
    """The records of a text, which has its own line ends. Set `begins_a_row` when the header is known."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._lines = _Lines(text)
        self.begins_a_row: Callable[[Sequence[str]], bool] = lambda _: False
        self.delimiter = ","

    def header(self, delimiter: str) -> Record:
        """The first record that is not blank, as `delimiter` cuts it; what is read next begins with it again."""
        self._use(delimiter)
        self._lines.begin()
        header = next((record for record in self._read(recovers=False)), Record(line=1, last_line=1))
        self._lines.put_back(0)
        return header

    def records(self, delimiter: str) -> Iterator[Record]:
        """Every record that is not blank, from where the text stands."""
        self._use(delimiter)
        return self._read(recovers=True)

    def _use(self, delimiter: str) -> None:
        self.delimiter = delimiter
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)

    def _read(self, *, recovers: bool) -> Iterator[Record]:
        lines = self._lines
        while True:
            if recovers:
                lines.begin()
            line = lines.number
            reason: Reason | None
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                reason = "broken-quoting"
            except _Long:
                reason = "too-long"
            except _Cut:
                reason = "cut-off"
            else:
                if not "".join(cells).strip():
                    continue
                swallowed = len(lines.taken) > 1 and any(map(self._begins_a_row, lines.taken[1:]))
                reason = "row-in-a-cell" if swallowed else None
                yield Record(line=line, last_line=lines.number - 1, cells=cells, reason=reason)
                continue
            if recovers:
                self._skip()
            yield Record(line=line, last_line=max(line, lines.number - 1), reason=reason)

    def _skip(self) -> None:
        """On to the next line that begins as a row does, among those the broken record has swallowed or after them."""
        lines = self._lines
        for place, line in enumerate(lines.taken[1:], start=1):
            if self._begins_a_row(line):
                lines.put_back(place)
                return
        while True:
            lines.begin()
            try:
                line = next(lines)
            except StopIteration:
                return
            except (_Long, _Cut):
                continue
            if self._begins_a_row(line):
                lines.put_back(0)
                return

    def _begins_a_row(self, line: str) -> bool:
        if self.delimiter not in line:
            return False
        try:
            return self.begins_a_row(next(csv.reader([line], delimiter=self.delimiter)))
        except (csv.Error, StopIteration):
            return False


class _Long(Exception):
    """A row is longer than any."""


class _Cut(Exception):
    """The text ends within a character."""


class _Lines:
    """Lines as csv takes them, kept since `begin`, so that they can be read again. `number` is the next line's."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._back: deque[str] = deque()
        self._size = 0
        self._is_cut = False
        self.taken: list[str] = []
        self.number = 1

    def begin(self) -> None:
        self.taken = []
        self._size = 0

    def put_back(self, place: int) -> None:
        """The lines taken since `begin`, from the `place`-th on, come again."""
        again = self.taken[place:]
        self._back.extendleft(reversed(again))
        self.number -= len(again)
        self.begin()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._read()
        if not line:
            raise StopIteration
        self.taken.append(line)
        self.number += 1
        self._size += len(line)
        if self._size > ROW_LIMIT:
            raise _Long
        return line

    def _read(self) -> str:
        """The next line, of one that is too long its beginning."""
        line = rest = self._some()
        while len(rest) > ROW_LIMIT and not rest.endswith(("\n", "\r")):
            rest = self._some()
        return line

    def _some(self) -> str:
        if self._is_cut:
            return ""
        try:
            return self._text.readline(ROW_LIMIT + 1)
        except UnicodeDecodeError:
            self._is_cut = True
        raise _Cut  # not within the handler: the decoder's exception holds the bytes
