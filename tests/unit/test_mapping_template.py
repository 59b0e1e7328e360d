"""Templates: what they say with every value, and what goes with one that is empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.mapping.template import Place, read_template


def filled(template: str, **values: str) -> str:
    read = read_template(template)
    return read.fill([values.get(place.name, "") for place in read.places])


NAME = "{field.a} {field.b}"
LINE = "{field.a}, {field.b} - {field.c}."


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        (NAME, {"a": "Ada", "b": "Lovelace"}, "Ada Lovelace"),
        (NAME, {"a": "Ada"}, "Ada"),
        (NAME, {"b": "Lovelace"}, "Lovelace"),
        (NAME, {}, ""),
        (LINE, {"a": "1", "b": "2", "c": "3"}, "1, 2 - 3."),
        (LINE, {"a": "1", "c": "3"}, "1, 3."),
        (LINE, {"b": "2", "c": "3"}, "2 - 3."),
        (LINE, {"a": "1", "b": "2"}, "1, 2."),
        (LINE, {"a": "1"}, "1."),
        (LINE, {"c": "3"}, "3."),
        ("{field.a} ({field.b})", {"a": "1"}, "1"),
        ("{field.a} ({field.b}), {field.c}", {"a": "1", "c": "3"}, "1, 3"),
        ("({field.a}) {field.b}", {"b": "2"}, "2"),
        ("{field.a} [{field.b}, {field.c}]", {"a": "1", "c": "3"}, "1 [3]"),
        ("{field.a} [{field.b}, {field.c}]", {"a": "1", "b": "2"}, "1 [2]"),
        ("Budget: {field.a} EUR", {"a": "5"}, "Budget: 5 EUR"),
        ("Budget: {field.a} EUR", {}, ""),
        ("from {field.a} to {field.b}", {"a": "1"}, "from 1 to"),
        ("{field.a}{field.b}{field.c}", {"a": "1", "c": "3"}, "13"),
        ("{field.a}\n{field.b}\n{field.c}", {"a": "1", "c": "3"}, "1\n3"),
        (NAME, {"a": "{field.b}", "b": ", ,"}, "{field.b} , ,"),
    ],
)
def test_what_is_empty_is_left_out_with_what_separates_it(template: str, values: dict[str, str], expected: str) -> None:
    assert filled(template, **values) == expected


def test_a_key_may_have_any_character_but_a_brace() -> None:
    key = 'what\'s_your_"all-in"_budget_(₹)?:!.x'
    assert read_template("{field." + key + "}").places == (Place("field", key),)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("no place", "no place for a value"),
        ("{value", "a brace that stands alone"),
        ("{{value}}", "a brace that stands alone"),
        ("{}", "{} is no place"),
        ("{field}", "{field} is no place"),
        ("{field.}", "{field.} is no place"),
        ("{values}", "{values} is no place"),
        ("{question.a}", "{question.a} is no place"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(template: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\{value\}|braces") as raised:
        read_template(template)
    assert said in str(raised.value)


@given(values=st.lists(st.text(), min_size=3, max_size=3))
def test_every_value_that_is_there_is_in_the_text_whole_and_in_order(values: list[str]) -> None:
    text = read_template(LINE).fill(values)
    place = 0
    for value in values:
        place = text.index(value, place) + len(value)
    assert bool(text) == any(values)
