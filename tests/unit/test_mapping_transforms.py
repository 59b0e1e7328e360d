"""Each transform: what it makes of an answer, and what it refuses."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.mapping.file import Plain
from processors.mapping.target import Failed
from processors.mapping.transforms import REASONS
from tests.mapped import FORM, a_lead, left_in, mapped

DUMMY = "<test lead: dummy data for it>"


def through(transforms: Sequence[object], *values: str, locale: str = "de_DE", key: str = "it") -> list[str] | str:
    """What transforms make of the values of one answer, or why they refuse it."""
    lead = a_lead((key, list(values)), form=FORM | {"locale": locale})
    made = mapped(lead, {"field": key}, through=transforms, type="strings")
    if made.failures:
        assert made.record["it"] is None
        return made.failures[0].reason
    found = made.record["it"]
    assert isinstance(found, list | None)
    return found or []


def one(transform: object, value: str, *, locale: str = "de_DE") -> str:
    """What one transform makes of one value, or its name where it refuses it."""
    found = through([transform], value, locale=locale)
    return found if isinstance(found, str) else found[0]


@pytest.mark.parametrize(
    ("transform", "value", "expected"),
    [
        ("trim", "  Ada \u00a0 Lovelace\n", "Ada Lovelace"),
        ("trim", "Mu\u0308nchen", "M\u00fcnchen"),
        ("lower", "ÄRGER", "ärger"),
        ("upper", "straße", "STRASSE"),
        ("lower", DUMMY, DUMMY),
        ("email", " Joe.Doe@EXAMPLE.com ", "Joe.Doe@example.com"),
        ("email", "joe@", "email"),
        ("email", DUMMY, "email"),
        ("e164", "0151 12345678", "+4915112345678"),
        ("e164", "+1 415 555 2671", "+14155552671"),
        ("e164", "call me", "e164"),
        ("e164", DUMMY, "e164"),
        ("country", "Deutschland", "DE"),
        ("country", "germany", "DE"),
        ("country", "Atlantis", "country"),
        ({"country": "alpha2"}, "DEU", "DE"),
        ({"country": "alpha3"}, "Deutschland", "DEU"),
        ({"country": "name"}, "de", "Germany"),
        ({"country": "name"}, "Atlantis", "country"),
        ("number", "1234.5", "1234.5"),
        ("number", " -7 ", "-7"),
        ("number", "+007", "7"),
        ("number", "-0", "0"),
        ("number", ".5", "0.5"),
        ("number", "\u0665\u0660", "50"),
        ("number", "12345678901234567890123456789012345678901", "12345678901234567890123456789012345678901"),
        ("number", "1,5", "number"),
        ("number", "1e5", "number"),
        ("number", "NaN", "number"),
        ("number", "5.", "number"),
        ("number", "€ 5", "number"),
        ("number", "²", "number"),
        ("number", DUMMY, "number"),
        ("boolean", "Yes", "true"),
        ("boolean", "1", "true"),
        ("boolean", " FALSE ", "false"),
        ("boolean", "vielleicht", "boolean"),
        ("boolean", DUMMY, "boolean"),
        ("date", "2026-11-24", "2026-11-24"),
        ("date", "24.11.2026", "2026-11-24"),
        ("date", "1850-01-01", "1850-01-01"),
        ("date", "2126-11-24T10:00:00+0000", "2126-11-24"),
        ("date", "03/05/1971", "date"),
        ("date", "31.02.2026", "date"),
        ("date", DUMMY, "date"),
        ("timestamp", "2026-11-24T10:00:00+0200", "2026-11-24T08:00:00+00:00"),
        ("timestamp", "2026-11-24T10:00:00", "2026-11-24T10:00:00+00:00"),
        ("timestamp", "1795500000", "2026-11-24T06:00:00+00:00"),
        ("timestamp", "99999999999999999999", "timestamp"),
        ("timestamp", "0001-01-01T00:00:00+14:00", "timestamp"),
        ("timestamp", "tomorrow", "timestamp"),
        ("timestamp", DUMMY, "timestamp"),
    ],
)
def test_a_value_is_read_or_refused_by_the_name_of_the_transform(transform: object, value: str, expected: str) -> None:
    assert one(transform, value) == expected


def test_a_date_on_a_form_in_us_english_has_its_month_first() -> None:
    assert one("date", "03/05/1971", locale="en_US") == "1971-03-05"


def test_a_telephone_number_is_read_in_the_country_that_the_person_gave_and_else_in_that_of_the_form() -> None:
    french = mapped(a_lead(("it", "06 12 34 56 78"), ("country", "France")), {"field": "it"}, through=["e164"])
    assert french.record["it"] == "+33612345678"
    nobody_knows = mapped(a_lead(("it", "06 12 34 56 78"), form=None), {"field": "it"}, through=["e164"])
    assert nobody_knows.failures == (Failed(field="it", reason="e164"),)


def test_a_telephone_number_can_be_read_in_the_region_that_the_file_names_whatever_the_lead_tells() -> None:
    assert one({"e164": {"region": "FR"}}, "06 12 34 56 78") == "+33612345678"
    assert one({"e164": {"region": "FR"}}, "+49 151 12345678") == "+4915112345678"
    assert one({"e164": {"region": "FR"}}, "0151 12345678") == "e164"


@pytest.mark.parametrize(
    ("thousands", "decimal", "value", "expected"),
    [
        (".", ",", "1.234,5", "1234.5"),
        (".", ",", "1.234.567", "1234567"),
        (".", ",", "1234,50", "1234.50"),
        (".", ",", "12,5", "12.5"),
        (".", ",", "1.5", "number"),
        (".", ",", "1.2345", "number"),
        (".", ",", "1.234.5", "number"),
        (",", ".", "1,2,3", "number"),
        (",", ".", "1,234.5", "1234.5"),
        (",", ".", "1,23,456", "123456"),
        (",", ".", "1,234,56", "number"),
        (",", ".", ",234", "number"),
        (" ", ",", "50 000", "50000"),
        (" ", ",", "50\u202f000,5", "50000.5"),
        ("\u202f", ",", "50 000", "50000"),
        ("'", ".", "1'000", "1000"),
        ("", ",", "1234,5", "1234.5"),
        ("", ",", "1.234", "number"),
        (".", ",", DUMMY, "number"),
    ],
)
def test_a_number_is_grouped_rightly_or_refused(thousands: str, decimal: str, value: str, expected: str) -> None:
    """What is grouped otherwise is likelier to be written with other separators: 1.5 is no 15."""
    assert one({"number": {"thousands": thousands, "decimal": decimal}}, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("Ja,  gerne", "true"), ("NEIN", "false"), ("yes", "true"), ("?", "boolean")]
)
def test_words_of_the_file_are_true_or_false_besides_the_usual_ones(value: str, expected: str) -> None:
    assert one({"boolean": {"true": ["ja, gerne"], "false": ["nein"]}}, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5.3.1971", "1971-03-05"),
        ("1971/03/05", "1971-03-05"),
        ("05 / 03", "date"),
        ("30.2.1971", "date"),
        (DUMMY, "date"),
    ],
)
def test_a_date_is_read_in_the_first_format_that_fits(value: str, expected: str) -> None:
    assert one({"date": ["%d.%m.%Y", "%Y/%m/%d"]}, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("24.11.2026 10:00 +0200", "2026-11-24T08:00:00+00:00"),
        ("24.11.2026 10:00", "2026-11-24T10:00:00+00:00"),
        ("01.01.0001 00:00 +1400", "timestamp"),
        ("24.11.2026", "timestamp"),
    ],
)
def test_a_moment_without_an_offset_is_in_utc(value: str, expected: str) -> None:
    assert one({"timestamp": ["%d.%m.%Y %H:%M %z", "%d.%m.%Y %H:%M"]}, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2026-11-24", "24.11.26 00:00"), ("2026-11-24T10:00:00+02:00", "24.11.26 08:00"), ("24.11.2026", "format_date")],
)
def test_a_date_or_a_moment_is_written_in_a_format(value: str, expected: str) -> None:
    assert one({"format_date": "%d.%m.%y %H:%M"}, value) == expected


def test_an_option_becomes_the_text_that_was_chosen_and_one_that_the_form_lacks_is_refused() -> None:
    assert through(["option_text"], "honda", "BMW, any", key="car") == ["Honda Civic", "BMW, any"]
    assert through(["trim", "option_text"], "honda", key="car") == ["Honda Civic"]
    assert through(["option_text"], "lada", key="car") == "option_text"
    assert through(["option_text"], "free text", key="city") == "option_text"


CODES = {"honda": "1", "BMW, any": "2", "Ja,  gerne": "3", "nichts": ""}


def test_a_code_is_looked_up_by_the_option_key_then_by_its_text() -> None:
    assert through([{"code": {"table": CODES}}], "honda", "BMW, any", key="car") == ["1", "2"]
    assert through([{"code": {"table": {"Honda Civic": "H"}}}], "honda", key="car") == ["H"]
    assert through([{"code": {"table": {"Honda Civic": "text", "honda": "key"}}}], "honda", key="car") == ["key"]
    assert through([{"code": {"table": CODES}}], "ja, GERNE") == ["3"], "spaces and case do not matter"
    assert through([{"code": {"table": CODES}}], "nichts") == [""], "an empty code is a code"


def test_what_has_no_code_is_refused_unless_the_table_says_what_it_is_otherwise() -> None:
    assert through([{"code": {"table": CODES}}], "lada", key="car") == "code"
    assert through([{"code": {"table": CODES, "otherwise": "0"}}], "lada", "honda", key="car") == ["0", "1"]
    assert through([{"code": {"table": CODES}}], DUMMY) == "code"


def test_a_code_leaves_nothing_of_the_option_behind() -> None:
    assert through([{"code": {"table": CODES}}, "option_text"], "honda", key="car") == "option_text"


@pytest.mark.parametrize(
    ("transforms", "values", "expected"),
    [
        ([{"split": ";"}], ["a; b ;;c", "d"], ["a", "b", "c", "d"]),
        ([{"split": ", "}], ["a"], ["a"]),
        ([{"split": ";"}], [";;"], []),
        ([{"join": ", "}], ["a", "b"], ["a, b"]),
        ([{"join": ""}], ["a", "b"], ["ab"]),
        (["first"], ["a", "b"], ["a"]),
        (["all"], ["a", "b"], ["a", "b"]),
        ([{"split": ";"}, "first"], ["a;b"], ["a"]),
        ([{"split": ";"}, "upper", {"join": "+"}], ["a;b"], ["A+B"]),
        (["first", "number"], ["1", "x"], ["1"]),
        (["number"], ["1", "x"], "number"),
        ([{"split": ";"}, {"join": ","}, "number"], [";"], []),
        ([{"template": "<{value}>"}], ["a", "b"], ["<a, b>"]),
        (["first", {"template": "<{value}>"}], ["a", "b"], ["<a>"]),
    ],
)
def test_transforms_run_left_to_right_over_all_values(
    transforms: list[object], values: list[str], expected: list[str] | str
) -> None:
    assert through(transforms, *values) == expected


def test_parts_of_an_answer_are_no_option_but_one_that_was_not_cut_is() -> None:
    assert through([{"split": ";"}, "option_text"], "honda", key="car") == ["Honda Civic"]
    assert through([{"split": "o"}, "option_text"], "honda", key="car") == "option_text"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        (" Ada@Example.com ", "ada@example.com"),
        ("Müller", "müller"),
        ("Mu\u0308ller", "m\u00fcller"),
        ("+4915112345678", "4915112345678"),
        ("+49 151", "+49 151"),
        ("Straße", "straße"),
    ],
)
def test_a_hash_is_of_what_meta_matches_by(value: str, hashed: str) -> None:
    """https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters:
    lower case, and telephone numbers as digits alone.
    """
    assert one("hash", value) == digest(hashed)


def test_the_hash_of_a_telephone_number_as_meta_gives_an_example() -> None:
    assert through(["e164", "hash"], "+1 (650) 555-1212") == [digest("16505551212")]


def test_a_template_takes_from_everywhere_in_the_lead() -> None:
    lead = a_lead(("wer", "Ada"), ("car", ["honda", "BMW, any"]), ("utm_source", "fb"))
    text = "{standard.full_name}/{field.car}/{tracking.utm_source}/{lead.form_name}"
    assert mapped(lead, through=[{"template": text}]).record["it"] == "Ada/honda, BMW, any/fb/Probefahrt"


def test_a_template_whose_values_are_all_empty_gives_nothing() -> None:
    assert mapped(a_lead(), through=[{"template": "Hallo {standard.full_name}!"}]).record["it"] is None
    assert mapped(a_lead(), {"field": "car"}, through=[{"template": "{value}"}], default="-").record["it"] == "-"


def test_no_transform_is_run_on_what_is_not_there() -> None:
    lead = a_lead(("it", ["", "  "]))
    for transform in ("email", "e164", "number", "hash", {"join": ","}, "first"):
        made = mapped(lead, {"field": "it"}, through=[transform])
        assert (made.record["it"], made.failures, left_in(made)) == (None, (), {"disclaimers": {"terms": True}})


READERS: list[Plain] = ["email", "e164", "country", "number", "boolean", "date", "timestamp", "option_text"]


@given(value=st.text(min_size=1).filter(lambda text: bool(text.strip())), transform=st.sampled_from(READERS))
def test_whatever_was_answered_is_read_or_refused_and_nothing_is_told_of_it(value: str, transform: Plain) -> None:
    made = mapped(a_lead(("it", value)), {"field": "it"}, through=[transform])
    if made.failures:
        assert made.failures == (Failed(field="it", reason=transform),)  # type: ignore[arg-type]  # each is a reason
        assert left_in(made)["answers"] == {"it": [value]}
    else:
        assert made.record["it"]


def test_every_reason_is_a_transform_or_one_of_the_two_ends_of_a_field() -> None:
    assert set(REASONS) == {*READERS, "format_date", "code", "type", "required"}
