"""Bytes in pieces of any size to text in lines, in whichever encoding the file is. Holds one piece at a time.

Ads Manager writes UTF-16LE with a byte order mark, its other downloads and the export endpoint UTF-8; people's tools
put a mark before UTF-8, or leave it out before UTF-16.
"""

import io
from collections.abc import Iterable, Iterator
from itertools import chain

from ingest.export.refusals import FileReason, NotAnExport

_HEAD = 4096  # bytes that are looked at before anything is read
_BEGINNING = 200
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_OTHER_KINDS: tuple[tuple[bytes, FileReason], ...] = (
    (b"PK\x03\x04", "spreadsheet"),  # xlsx, ods, or whatever else is in a zip
    (b"\xd0\xcf\x11\xe0", "spreadsheet"),  # xls
    (b"\x1f\x8b", "compressed"),
    (b"%PDF", "not-text"),
)


def open_text(chunks: Iterable[bytes]) -> tuple[io.TextIOBase, str]:
    """The file as text with its own line ends, and its encoding; `NotAnExport` for what is plainly something else.

    Bytes that are no text become lone surrogates, which no text holds, so that only the row they stand in is lost.
    UTF-16 that ends within a character is a UnicodeDecodeError when that is read.
    """
    rest = iter(chunks)
    head = _head(rest)
    encoding, mark = _encoding(head)
    _check(head, encoding, mark)
    raw = io.BufferedReader(_Pieces(chain([head[mark:]], rest)), 1 << 16)
    # What is wrong in UTF-16 is half a pair, which has no byte to escape.
    errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline=""), encoding


def _head(chunks: Iterator[bytes]) -> bytes:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    return head


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding, and how many bytes its mark takes."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    # Without a mark: the header begins with ASCII, of which every other byte is null in UTF-16.
    even, odd = head[:_BEGINNING:2].count(0), head[1:_BEGINNING:2].count(0)
    if max(even, odd) * 6 > len(head[:_BEGINNING]):
        return ("utf-16-le" if odd > even else "utf-16-be"), 0
    return "utf-8", 0


def _check(head: bytes, encoding: str, mark: int) -> None:
    for magic, reason in _OTHER_KINDS:
        if head.startswith(magic):
            raise NotAnExport(reason)
    begins = head[mark:].decode(encoding, "replace").lstrip()
    if not begins:
        raise NotAnExport("empty")
    if begins.startswith("<"):
        raise NotAnExport("web-page")
    if begins.startswith(('{"', "{\n", "[{")):
        raise NotAnExport("json")


class _Pieces(io.RawIOBase):
    """What io's own reader needs to read from pieces."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: "bytearray | memoryview") -> int:  # type: ignore[override]  # what io hands over
        while not self._piece:
            try:
                self._piece = memoryview(next(self._chunks))
            except StopIteration:
                return 0
        size = min(len(into), len(self._piece))
        into[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size
