"""An Avro schema compiled to a writer: the same bytes as fastavro's, in a quarter of its time. Performs no I/O.

fastavro walks the schema for each record, and validates a value against each branch of a union before it writes it;
most fields of ours are unions with null. Here the walk is done once, and its steps are written down as Python. Only a
record whose every value is exactly of its field's type is written: all others, and so all that is said of a record
that cannot be written, are fastavro's. A property test holds the two to each other.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, cast

import schemas

Write = Callable[[Any], bytes]

_SHORT = 8192  # lengths whose bytes are made beforehand: two at most
_SEVEN_BITS = 0x7F
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ZERO = date(1970, 1, 1).toordinal()
_RANGES = {"int": 2**31, "long": 2**63}

# What writing raises for a record that fastavro has to decide on.
NOT_PLAIN = (AttributeError, KeyError, OverflowError, TypeError, ValueError, struct.error)


def compile_writer(schema: schemas.Schema, head: bytes) -> Write | None:
    """What gives `head` and a record as Avro writes it; one of NOT_PLAIN for a record that fastavro has to decide on.

    None for a schema with a type that none of ours has: a map, bytes, or a union of more than one type and null.
    """
    try:
        body = "\n    ".join(_Source().record("r", schema))
    except _Unusual:
        return None
    scope: dict[str, Any] = {
        "HEAD": head,
        "LENGTHS": _LENGTHS,
        "SOME": _SOME,
        "long": _long,
        "utf8": str.encode,
        "datetime": datetime,
        "date": date,
        "moment": _moment,
        "known_moment": _known_moment,
        "UTC": UTC,
        "float4": struct.Struct("<f").pack,
        "float8": struct.Struct("<d").pack,
    }
    text = f"def write(r):\n    out = bytearray(HEAD)\n    {body}\n    return bytes(out)\n"
    exec(text, scope)  # noqa: S102  of a schema's own words only names come in, each as a literal
    return cast("Write", scope["write"])


class _Unusual(Exception):
    """A type that none of our schemas has."""


class _Source:
    """The steps that write a value, as lines of Python. Every name is new, so that lines may stand anywhere."""

    def __init__(self) -> None:
        self._names = 0

    def record(self, of: str, schema: Mapping[str, Any]) -> Iterator[str]:
        fields = schema["fields"]
        yield f"if len({of}) != {len(fields)}: raise TypeError"
        for field in fields:
            value = self._name()
            yield f"{value} = {of}[{field['name']!r}]"
            yield from self._value(value, field["type"])

    def _value(self, of: str, type_: Any) -> Iterator[str]:
        match type_:
            case ["null", branch]:
                yield f"if {of} is None: out += b'\\0'"
                yield "else:"
                yield from _deeper(self._branch(of, branch))
            case {"type": "record"}:
                yield from self.record(of, type_)
            case {"type": "array", "items": items}:
                each = self._name()
                yield f"if type({of}) is not list: raise TypeError"
                yield f"if {of}:"
                yield f"    size = len({of})"
                yield f"    out += LENGTHS[size] if size < {_SHORT} else long(size)"
                yield f"    for {each} in {of}:"
                yield from _deeper(_deeper(self._value(each, items)))
                yield "out += b'\\0'"
            case {"type": "enum", "symbols": symbols}:
                known = {symbol: _long(place) for place, symbol in enumerate(symbols)}
                yield f"out += {known!r}[{of}]"
            case {"type": "long", "logicalType": "timestamp-millis"}:
                yield f"if type({of}) is not datetime: raise TypeError"
                yield f"out += known_moment({of}) if {of}.tzinfo is UTC else moment({of})"
            case {"type": "int", "logicalType": "date"}:
                yield f"if type({of}) is not date: raise TypeError"
                yield f"out += long({of}.toordinal() - {_DAY_ZERO})"
            case "boolean":
                yield f"if {of} is True: out += b'\\1'"
                yield f"elif {of} is False: out += b'\\0'"
                yield "else: raise TypeError"
            case "string":
                yield from _string(of, "LENGTHS", "long({size})")
            case "int" | "long":
                end = _RANGES[type_]
                yield f"if type({of}) is not int or not {-end} <= {of} < {end}: raise TypeError"
                yield f"out += long({of})"
            case "float" | "double":
                yield f"if type({of}) is not float: raise TypeError"
                yield f"out += {'float4' if type_ == 'float' else 'float8'}({of})"
            case _:
                raise _Unusual

    def _branch(self, of: str, type_: Any) -> Iterator[str]:
        """The one branch of a union with null that is not null."""
        if type_ == "string":
            yield from _string(of, "SOME", "b'\\2' + long({size})")
        else:
            yield "out += b'\\2'"
            yield from self._value(of, type_)

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"


def _string(of: str, lengths: str, longer: str) -> Iterator[str]:
    yield f"{of} = utf8({of})"
    yield f"size = len({of})"
    yield f"out += {lengths}[size] if size < {_SHORT} else {longer.format(size='size')}"
    yield f"out += {of}"


def _deeper(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}"


def _long(value: int) -> bytes:
    """A signed number as Avro writes it: zigzag, then seven bits a byte."""
    left = (value << 1) ^ (value >> 63)
    found = bytearray()
    while left > _SEVEN_BITS:
        found.append(left & _SEVEN_BITS | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def _moment(value: datetime) -> bytes:
    since = value - _EPOCH
    return _long((since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000)


# The records of a batch share most of theirs. In UTC only: where clocks are set back, two moments are equal to Python.
_known_moment = lru_cache(maxsize=1024)(_moment)


_LENGTHS = tuple(_long(size) for size in range(_SHORT))
_SOME = tuple(b"\2" + size for size in _LENGTHS)  # of a string that may be null
