"""Where a field's value comes from: each kind of source, and what is left of the lead."""

from collections.abc import Mapping

import pytest

from processors.mapping.file import Question
from processors.mapping.sources import Said, reader
from processors.mapping.target import Target
from tests.mapped import FORM, LEAD_ID, a_field, a_lead, a_mapping, left_in, mapped


def taken(source: Mapping[str, str], *answers: tuple[str, object], **said: object) -> object:
    """All values of one source."""
    return mapped(a_lead(*answers, **said), source, type="strings").record["it"]  # type: ignore[arg-type]  # by name


def test_a_standard_question_is_told_by_its_type_where_the_form_lists_it() -> None:
    assert taken({"standard": "full_name"}, ("wer", " Ada ")) == [" Ada "], "as it was typed"
    assert taken({"standard": "city"}, ("city", "Rom")) is None, "a custom question of that name"
    assert taken({"field": "city"}, ("city", "Rom")) == ["Rom"]


def test_a_standard_question_is_told_by_metas_name_where_no_form_lists_it() -> None:
    assert taken({"standard": "city"}, ("city", "Rom"), form=None) == ["Rom"]
    assert taken({"standard": "post_code"}, ("zip_code", "10178")) == ["10178"]
    assert taken({"standard": "full_name"}, ("wer", "Ada"), form=None) is None


def test_a_custom_field_is_any_answer_with_the_key_but_a_tracking_parameter() -> None:
    assert taken({"field": "email"}, ("email", "a@b.de")) == ["a@b.de"]
    assert taken({"field": "utm_source"}, ("utm_source", "fb")) is None
    assert taken({"field": "utm_source"}, ("utm_source", "fb"), form=None) == ["fb"]


def test_several_answers_with_one_key_are_put_together_in_their_order() -> None:
    answers = (("it", ["a", "b"]), ("other", "x"), ("it", "c"))
    assert taken({"field": "it"}, *answers) == ["a", "b", "c"]
    assert taken({"tracking": "it"}, *answers) == ["a", "b", "c"], "no list is changed by reading it"
    assert taken({"standard": "phone"}, ("phone_number", "1"), ("phone", "2")) == ["1", "2"]


def test_a_question_is_found_by_its_words_whatever_their_case_spaces_and_unicode_form() -> None:
    assert taken({"question": " welche stadt GEFÄLLT ihnen? "}, ("city", "Rom")) == ["Rom"]
    assert taken({"question": "welche stadt?"}, ("city", "Rom")) is None
    assert taken({"question": "Ihr Name"}, ("wer", "Ada"), form=None) is None, "no form, no words"


def test_a_tracking_parameter_is_one_of_the_form_or_an_answer_that_the_form_does_not_list() -> None:
    assert taken({"tracking": "utm_source"}, ("utm_source", "fb")) == ["fb"]
    assert taken({"tracking": "gclid"}, ("gclid", "x")) == ["x"]
    assert taken({"tracking": "email"}, ("email", "a@b.de")) is None


def test_a_question_that_has_a_parameters_key_is_a_question() -> None:
    form = FORM | {"tracking_parameters": [{"key": "city", "value": "x"}]}
    assert taken({"field": "city"}, ("city", "Rom"), form=form) == ["Rom"]
    assert taken({"tracking": "city"}, ("city", "Rom"), form=form) is None


@pytest.mark.parametrize(("ticked", "expected"), [({"news": "1"}, ["true"]), ({"news": ""}, ["false"]), ({}, None)])
def test_a_disclaimer_is_true_false_or_not_known(ticked: Mapping[str, str], expected: object) -> None:
    assert taken({"disclaimer": "news"}, ticked=ticked) == expected


def test_a_required_disclaimer_was_ticked() -> None:
    assert taken({"disclaimer": "terms"}) == ["true"]
    assert taken({"disclaimer": "none"}) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lead_id", [LEAD_ID]),
        ("created_at", ["2026-11-20T08:49:14+00:00"]),
        ("is_test", ["false"]),
        ("is_organic", ["true"]),
        ("form_name", ["Probefahrt"]),
        ("email", ["ada@example.com"]),
        ("date_of_birth", ["1971-03-05"]),
        ("phone", None),
        ("ad_name", None),
        ("campaign_name", None),
    ],
)
def test_a_property_of_the_lead_is_its_typed_value_as_text(name: str, expected: object) -> None:
    answers = (("email", "ada@EXAMPLE.com"), ("date_of_birth", "5.3.1971"), ("phone_number", "?"))
    assert taken({"lead": name}, *answers, is_organic=True, campaign_name="  ") == expected


def test_a_property_that_was_read_from_an_answer_takes_that_answer_and_no_other() -> None:
    lead = a_lead(("email", ["none", "ada@EXAMPLE.com", "b@example.com"]), ("wer", "Ada"))
    made = mapped(lead, {"lead": "email"})
    assert made.record["it"] == "ada@example.com"
    assert left_in(made)["answers"] == {"email": ["none", "b@example.com"], "wer": ["Ada"]}


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("phone", "phone_number", ["?", "0151 12345678"]),
        ("work_phone", "work_phone_number", ["?", "+49 30 123456"]),
        ("phone_verified", "phone_number_verified", ["?", "1"]),
        ("date_of_birth", "date_of_birth", ["1/2/1971", "5.3.1971"]),
        ("country", "country", ["Atlantis", "Deutschland"]),
        ("work_email", "work_email", ["x", "a@b.de"]),
        ("city", "province", ["", "Berlin"]),
        ("state", "province", ["<test lead: dummy data for state>", "Berlin"]),
    ],
)
def test_each_kind_of_property_knows_its_answer(name: str, key: str, values: list[str]) -> None:
    made = mapped(a_lead((key, values)), {"lead": name})
    left = [value for value in values if value] if made.record["it"] is None else values[:1]
    assert left_in(made)["answers"] == {key: left}


def test_a_constant_is_always_there() -> None:
    assert taken({"constant": "meta"}) == ["meta"]
    assert taken({"constant": "  "}) is None


def test_the_first_source_that_has_a_value_is_taken_and_the_others_are_left() -> None:
    lead = a_lead(("a", ["", " "]), ("b", ["1", "2"]), ("c", "3"))
    made = mapped(lead, {"field": "a"}, {"field": "b"}, {"field": "c"}, type="strings")
    assert made.record["it"] == ["1", "2"]
    assert left_in(made)["answers"] == {"c": ["3"]}


def test_an_answer_of_any_shape_can_be_read() -> None:
    """Meta has sent no values, null, and what is no object at all."""
    lead = a_lead(("it", None), ("it", []), field_data=[{"name": "it"}, {"name": "it", "values": None}, "odd", 7])
    assert mapped(lead, {"field": "it"}).record["it"] is None
    assert left_in(mapped(lead, {"field": "it"}))["answers"] == {"": ["odd", "7"]}


def test_what_is_left_is_told_by_key_with_the_boxes_beside_it_and_nothing_if_nothing_is_left() -> None:
    lead = a_lead(("it", ["a", " ", "b"]), ("x", "c"), ("it", "a"), ticked={"news": ""})
    said = Said(lead)
    assert said.left(0, ()) == ('{"answers":{"it":["a","b","a"],"x":["c"]},"disclaimers":{"terms":true,"news":false}}')
    assert said.left(0, {"it", "terms", "news"}) == '{"answers":{"x":["c"]}}'
    everything = sum(value.places for value in [*said.custom("it"), *said.custom("x")])
    assert said.left(everything, ()) == '{"disclaimers":{"terms":true,"news":false}}'
    assert said.left(everything, {"terms", "news"}) is None


def test_a_ticked_box_that_a_field_took_is_not_left() -> None:
    mapping = a_mapping({"news": a_field({"disclaimer": "news"}, type="boolean")}, ignore=["terms"])
    record = Target(mapping).map(a_lead(ticked={"news": "1"})).record
    assert (record["news"], record["unmapped"]) == (True, None)


def test_an_answer_in_any_script_is_left_as_it_is() -> None:
    assert left_in(mapped(a_lead(("शहर", "पुणे 👍"), form=None)))["answers"] == {"शहर": ["पुणे 👍"]}


def test_of_a_lead_with_very_many_values_those_that_are_not_followed_are_left_though_taken() -> None:
    """To follow half a million would take gigabytes; twice is not lost."""
    lead = a_lead(*((key, [str(number) for number in range(6_000)]) for key in ("a", "b")), ticked={"news": "1"})
    fields = {key: a_field({"field": key}, type="strings") for key in ("a", "b")}
    made = Target(a_mapping(fields)).map(lead)
    assert (len(made.record["a"]), len(made.record["b"])) == (6_000, 6_000)  # type: ignore[arg-type]  # lists
    left = left_in(made)
    assert left["answers"] == {"b": [str(number) for number in range(4_000, 6_000)]}
    assert left["disclaimers"]["news"] is True


def test_reading_twice_gives_the_same() -> None:
    said = Said(a_lead(("city", "Rom")))
    read = reader(Question(question="Welche Stadt gefällt Ihnen?"))
    assert list(read(said)) == list(read(said))
