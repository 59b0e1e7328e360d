"""Text as the value of a field's type, or nothing where it is not one. Performs no I/O.

The texts are those that sources and transforms give: numbers with a point, dates and moments of ISO 8601. What people
type is read by the transforms, which know how.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal

from processors.lead import normalise
from processors.mapping.file import Type

Typed = str | bool | int | float | date | datetime | list[str]
Convert = Callable[[str], Typed | None]

_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INT = (Decimal(-(2**31)), Decimal(2**31 - 1))
_LONG = (Decimal(-(2**63)), Decimal(2**63 - 1))


def converter(type_: Type) -> Convert:
    """What reads one value of the type; None is what does not fit. Of `strings` it reads one string."""
    return _CONVERTERS[type_]


def fits(type_: Type, text: str) -> bool:
    """Whether a text, such as a default, is a value of the type."""
    return converter(type_)(text) is not None


def decimal(text: str) -> Decimal | None:
    """The number, exactly, in the digits of any script; no exponent, which nobody types and which can be huge."""
    found = text.strip()
    return Decimal(found) if _DECIMAL.fullmatch(found) else None


def storable(text: str) -> str:
    """Without U+0000, which no database takes as text: one answer with it would stop a sink for all that follow."""
    return text.replace("\0", "")


def iso_date(text: str) -> date | None:
    """YYYY-MM-DD and nothing else: eight digits alone are more likely a number."""
    try:
        return date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def moment(text: str) -> datetime | None:
    """An ISO 8601 moment in UTC, to the millisecond, as records hold it; a date is its midnight."""
    found = normalise.instant(text) if "-" in text else None  # digits alone are a number, not seconds
    return None if found is None else found.replace(microsecond=found.microsecond // 1000 * 1000)


def _whole(text: str, bounds: tuple[Decimal, Decimal]) -> int | None:
    number = decimal(text)
    if number is None or not bounds[0] <= number <= bounds[1]:
        return None
    whole = int(number)
    return whole if whole == number else None


def _int(text: str) -> int | None:
    return _whole(text, _INT)


def _long(text: str) -> int | None:
    return _whole(text, _LONG)


def _double(text: str) -> float | None:
    number = decimal(text)
    if number is None:
        return None
    found = float(number)
    return found if math.isfinite(found) else None


def _float(text: str) -> float | None:
    """As Avro's four bytes hold it."""
    found = _double(text)
    try:
        return None if found is None else float(struct.unpack("<f", struct.pack("<f", found))[0])
    except OverflowError:
        return None


def _date(text: str) -> date | None:
    """A moment is of the date that it has in UTC."""
    found = iso_date(text) or moment(text)
    return found.date() if isinstance(found, datetime) else found


def _boolean(text: str) -> bool | None:
    return normalise.boolean(text) if text else None


_CONVERTERS: Mapping[Type, Convert] = {
    "string": storable,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "date": _date,
    "timestamp": moment,
    "strings": storable,
}
