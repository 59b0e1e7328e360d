"""Texts as values of a field's type, at the bounds of each."""

from datetime import UTC, date, datetime

import pytest

from processors.mapping.file import Type
from processors.mapping.typed import converter, fits


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("string", "", ""),
        ("string", " a ", " a "),
        ("strings", "a", "a"),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", "No", False),
        ("boolean", "", None),
        ("boolean", "2", None),
        ("int", "2147483647", 2147483647),
        ("int", "-2147483648", -2147483648),
        ("int", "2147483648", None),
        ("int", "-2147483649", None),
        ("int", "5.0", 5),
        ("int", "5.5", None),
        ("int", "1e3", None),
        ("int", "9" * 5000, None),
        ("int", "", None),
        ("int", "true", None),
        ("long", "9223372036854775807", 9223372036854775807),
        ("long", "-9223372036854775808", -9223372036854775808),
        ("long", "9223372036854775808", None),
        ("long", "9007199254740993", 9007199254740993),
        ("float", "0.5", 0.5),
        ("float", "0.1", 0.10000000149011612),
        ("float", "340282346638528859811704183484516925440", 3.4028234663852886e38),
        ("float", "350000000000000000000000000000000000000", None),
        ("double", "0.1", 0.1),
        ("double", "9" * 400, None),
        ("double", "inf", None),
        ("double", "nan", None),
        ("date", "2026-11-24", date(2026, 11, 24)),
        ("date", "0001-01-01", date(1, 1, 1)),
        ("date", "9999-12-31", date(9999, 12, 31)),
        ("date", "2026-02-30", None),
        ("date", "20261124", None),
        ("date", "24.11.2026", None),
        ("date", "2026-11-24T00:30:00+01:00", date(2026, 11, 23)),
        ("timestamp", "2026-11-24T10:00:00+02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("timestamp", "2026-11-24T10:00:00.123999", datetime(2026, 11, 24, 10, 0, 0, 123000, tzinfo=UTC)),
        ("timestamp", "2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("timestamp", "0001-01-01T00:00:00+14:00", None),
        ("timestamp", "1795500000", None),
        ("timestamp", "soon", None),
    ],
)
def test_a_text_is_a_value_of_the_type_or_nothing(kind: Type, text: str, expected: object) -> None:
    found = converter(kind)(text)
    assert found == expected
    assert type(found) is type(expected)
    assert fits(kind, text) is (expected is not None)


@pytest.mark.parametrize("kind", ["string", "strings"])
def test_a_text_has_no_character_that_no_database_takes(kind: Type) -> None:
    assert converter(kind)("a\0b") == "ab"
