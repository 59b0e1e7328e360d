"""JSON read so that chosen parts keep the very text they were sent as. Performs no I/O of its own.

Reading a number and writing it again may change it (an integer beyond 64 bits becomes a float in the fast parsers, a
lone surrogate is refused by them), so what has to arrive as it was sent is cut out of the text and never written anew.
A *reader* takes the text and a position and returns what it read and the position behind it, as json's `raw_decode`
does; `members` and `items` put readers together. Wrong JSON is a ValueError, whatever is wrong with it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

# `Any`: JSON of any shape; whoever reads a part looks at its type before using it.
Reader = Callable[[str, int], tuple[Any, int]]

_DEEP = 500  # a parser that is not Python's reads deeper than Python can write or compare
_BEYOND, _DIGITS = b"0" * 19, bytes.maketrans(b"123456789", b"0" * 9)
_WHITESPACE = " \t\n\r"  # JSON's own, which is less than Python's


@dataclass(slots=True)
class Part:
    """A part of a document: what it says, and the bytes it was said in."""

    value: Any
    text: bytes


def read(body: bytes, reader: Reader) -> Any:
    """The whole of `body`, by `reader`."""
    try:
        # Python's json accepts surrogates that stand alone, so a body that holds one is not lost.
        text = body.decode("utf-8", "surrogatepass")
        value, end = reader(text, _skip(text, 0))
        if text[end:].strip(_WHITESPACE):
            raise ValueError("something follows the document")
    except IndexError:
        raise ValueError("the document ends early") from None
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None
    return value


def quick(text: str) -> Any:
    """What JSON of usual content says, by a fast parser; None for a text that it reads otherwise, or does not read."""
    if text.count("[") + text.count("{") > _DEEP:
        return None
    try:
        body = text.encode()
        # It makes a float of an integer beyond 64 bits, and one of fewer digits is within.
        return None if _BEYOND in body.translate(_DIGITS) else orjson.loads(body)
    except ValueError:  # half a surrogate pair too, which is JSON all the same; what it says quotes the text
        return None


def part(text: str, at: int) -> tuple[Part, int]:
    """A reader: the value as a `Part`."""
    value, end = _decode(text, at)
    return Part(value, _cut(text, at, end)), end


def members(of: Mapping[str, Reader]) -> Reader:
    """A reader of an object as a `Part` whose value is a dict; members named in `of` are read by their own readers.

    What is no object becomes a plain `Part`.
    """

    def reader(text: str, start: int) -> tuple[Part, int]:
        if text[start] != "{":
            return part(text, start)
        found: dict[str, Any] = {}
        at = _skip(text, start + 1)
        while text[at] != "}":
            if found:
                at = _skip(text, _expect(text, at, ","))
            if text[at] != '"':
                raise ValueError("a member without a name")
            name, at = _decode(text, at)
            if name in found and name in of:
                raise ValueError("a member stands twice, and one of the two would be lost")
            at = _skip(text, _expect(text, _skip(text, at), ":"))
            found[name], at = of.get(name, _decode)(text, at)
            at = _skip(text, at)
        return Part(found, _cut(text, start, at + 1)), at + 1

    return reader


def items(of: Reader) -> Reader:
    """A reader of an array as a list whose items are read by `of`; what is no array becomes a plain `Part`."""

    def reader(text: str, start: int) -> tuple[list[Any] | Part, int]:
        if text[start] != "[":
            return part(text, start)
        found: list[Any] = []
        at = _skip(text, start + 1)
        while text[at] != "]":
            if found:
                at = _skip(text, _expect(text, at, ","))
            item, at = of(text, at)
            found.append(item)
            if text[at] in _WHITESPACE:
                at = _skip(text, at)
        return found, at + 1

    return reader


def _skip(text: str, at: int) -> int:
    while text[at] in _WHITESPACE:
        at += 1
    return at


def _expect(text: str, at: int, mark: str) -> int:
    if text[at] != mark:
        raise ValueError(f"no {mark} where one belongs")
    return at + 1


def _cut(text: str, start: int, end: int) -> bytes:
    return text[start:end].encode("utf-8", "surrogatepass")


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def integer(digits: str) -> int | float:
    """Python refuses to read an integer of thousands of digits; nobody needs its value, and its text is kept."""
    return int(digits) if len(digits) < _LONG else float(digits)


_LONG = 1000
_decode = json.JSONDecoder(parse_int=integer, parse_constant=refuse).raw_decode
