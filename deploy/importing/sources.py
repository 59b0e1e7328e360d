"""Where rows come from: a file, standard input, or Meta's export of a form. Each is read once, in pieces.

The reader of rows blocks, so it has a thread; pieces of a download come from the event loop, which goes on meanwhile.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ingest.export import Refused, Row, read_export
from ingest.importing import ROWS_AT_ONCE
from ingest.meta.errors import GraphError

_PIECE = 2**16  # bytes


class Unread(Exception):
    """A source, or the rest of it, cannot be read; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a source, and how many bytes of it were read by then."""

    rows: list[Row | Refused]
    bytes_read: int


def file_pieces(path: str) -> Iterator[bytes]:
    """A file of this machine, `-` is standard input; Unread."""
    try:
        with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except OSError as error:
        raise Unread(f"it cannot be read: {error.strerror}") from None


def file_size(path: str) -> int | None:
    try:
        return None if path == "-" else Path(path).stat().st_size
    except OSError:
        return None


def download_pieces(pieces: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    """What comes within `loop`, for a thread. GraphError where it ends early."""

    async def following() -> bytes:
        return await anext(pieces, b"")

    while piece := asyncio.run_coroutine_threadsafe(following(), loop).result():
        yield piece


async def batches(
    pieces: Iterator[bytes], *, since: int | None = None, until: int | None = None
) -> AsyncIterator[Batch]:
    """The rows, those that were made from `since` on and before `until` (unix seconds).

    NotAnExport where it is none, and what `pieces` raise, after the rows that came before.
    """
    counted = _Counted(pieces)
    rows = iter(await asyncio.to_thread(read_export, counted))
    wanted = (
        row
        for row in rows
        if isinstance(row, Refused)
        or ((since is None or row.created_time >= since) and (until is None or row.created_time < until))
    )
    while True:
        some, failure = await asyncio.to_thread(_take, wanted)
        if some:
            yield Batch(rows=some, bytes_read=counted.bytes_read)
        if failure is not None:
            raise failure
        if len(some) < ROWS_AT_ONCE:
            return


class _Counted:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.bytes_read = 0
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.bytes_read += len(piece)
            yield piece


def _take(rows: Iterator[Row | Refused]) -> tuple[list[Row | Refused], Exception | None]:
    some: list[Row | Refused] = []
    try:
        for row in islice(rows, ROWS_AT_ONCE):
            some.append(row)  # noqa: PERF402  one by one, so that those are kept that came before it fails
    except (GraphError, Unread) as failure:
        return some, failure
    return some, None
