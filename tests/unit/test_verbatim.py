"""The fast parser says what the exact one does, or nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.verbatim import quick

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.booleans())
def test_what_is_read_fast_is_what_was_written(value: object, in_ascii: bool) -> None:
    found = quick(json.dumps(value, ensure_ascii=in_ascii))

    assert found is None or (found, repr(found)) == (value, repr(value))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_an_integer_beyond_64_bits_is_left_to_the_exact_parser(number: int) -> None:
    assert quick(f'{{"id":{number}}}') is None


def test_what_is_nested_deeper_than_python_writes_is_left_to_the_exact_parser() -> None:
    assert quick("[" * 1000 + "]" * 1000) is None


@pytest.mark.parametrize("text", ['"\\ud800"', '"\ud800"', "{", "", "NaN", "1e999"])
def test_what_the_fast_parser_does_not_take_is_no_error(text: str) -> None:
    assert quick(text) is None


def test_a_lead_of_ordinary_ids_is_read_fast() -> None:
    assert quick('{"id":"55459717045641545","ad_id":123456789012345678}') == {
        "id": "55459717045641545",
        "ad_id": 123456789012345678,
    }
