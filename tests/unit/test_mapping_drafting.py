"""A first mapping file from a form: every question has a field, and nothing is found wrong with it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.sandbox.graph.forms import build_form, templates
from processors.lead import map_lead
from processors.lead.standard import BY_TYPE
from processors.mapping import file
from processors.mapping.asked import asked, named
from processors.mapping.checking import check
from processors.mapping.drafting import draft, target_name
from processors.mapping.naming import Names, comment, scalar, slug
from processors.mapping.reading import read_mapping
from processors.mapping.target import Target
from schemas.shapes import Form


def of_the_double(template: str) -> Form:
    form = build_form(3, page=1, page_id="9", template=template, created_time="2026-01-01T00:00:00+0000", changes={})
    return {"form_id": form.form_id, "version": "v", "page_id": "9", "seen_at": 1, "form": dict(form.node)}


def form(*questions: dict[str, Any], name: str = "A form", **said: Any) -> Form:
    node = {"id": "1", "name": name, "locale": "en_US", "status": "ACTIVE", "questions": [*questions]} | said
    return {"form_id": "1", "version": "v", "page_id": "9", "seen_at": 1, "form": node}


def drafted(record: Form) -> file.Mapping:
    loaded = read_mapping(draft(asked(record)), file="d.yaml")
    assert check(loaded, [record]) == []
    return loaded.mapping


@pytest.mark.parametrize("template", templates())
def test_nothing_is_found_wrong_with_the_draft_of_any_form(template: str) -> None:
    record = of_the_double(template)
    mapping = drafted(record)
    read = {each for field in mapping.fields.values() for source in field.sources if (each := named(source))}
    on_form = asked(record)
    assert {each for name in read for each in on_form.asks(name)} == set(on_form.everything())


texts = st.text(max_size=30)
questions = st.fixed_dictionaries(
    {"type": st.sampled_from(["CUSTOM", "ID_CPF", "SLIDER", *BY_TYPE]), "key": texts},
    optional={
        "label": texts,
        "options": st.lists(st.fixed_dictionaries({}, optional={"key": texts, "value": texts}), max_size=4),
    },
)
boxes = st.lists(st.fixed_dictionaries({"key": texts}, optional={"text": texts}), max_size=3)


@given(
    questions=st.lists(questions, max_size=6),
    name=texts,
    tracking=st.lists(texts, max_size=3),
    checkboxes=boxes,
)
def test_not_even_of_forms_that_nobody_would_make(
    questions: list[dict[str, Any]], name: str, tracking: list[str], checkboxes: list[dict[str, Any]]
) -> None:
    legal = {"custom_disclaimer": {"checkboxes": checkboxes}}
    parameters = [{"key": key} for key in tracking]
    mapping = drafted(form(*questions, name=name, tracking_parameters=parameters, legal_content=legal))
    Target(mapping)


@given(texts)
@example("no")
@example("Null")
@example("2026-11-24")
@example("a: b #c")
@example("\ufeff\x85\x7f")
def test_a_text_is_read_back_as_it_was_whatever_it_holds(text: str) -> None:
    ignored = f"ignore:\n  - {scalar(text)}  # {comment(text)}\n"
    said = f"target: a\nowner: o\ndoc: d\n{ignored}fields:\n  a: {{doc: d, default: x}}\n"
    if text:
        assert read_mapping(said, file="t").mapping.ignore == (text,)
    assert yaml.safe_load(scalar(text)) == text, "also by readers to whom `no` is false, and 1_000 a number"


def test_standard_questions_are_read_as_what_they_are() -> None:
    kinds = {"EMAIL": "a", "PHONE": "b", "DOB": "c", "COUNTRY": "d", "FULL_NAME": "e"}
    mapping = drafted(form(*({"type": type_, "key": key, "label": key} for type_, key in kinds.items())))
    assert {
        name: (field.type, field.transform, field.if_invalid) for name, field in list(mapping.fields.items())[:5]
    } == {
        "email": ("string", ("email",), "default"),
        "phone": ("string", ("e164",), "default"),
        "date_of_birth": ("date", ("date",), "default"),
        "country": ("string", ("country",), "default"),
        "full_name": ("string", ("trim",), "dead"),
    }


def test_two_questions_of_one_kind_are_told_apart() -> None:
    mapping = drafted(form({"type": "PHONE", "key": "home"}, {"type": "PHONE_OTP", "key": "mobile"}))
    assert [(name, mapping.fields[name].sources) for name in ("phone", "phone_2", "phone_verified")] == [
        ("phone", (file.Custom(field="home"),)),
        ("phone_2", (file.Custom(field="mobile"),)),
        ("phone_verified", (file.Standard(standard="phone_verified"),)),
    ]


def test_options_are_listed_with_their_texts_and_very_many_are_not() -> None:
    few = {
        "type": "CUSTOM",
        "key": "size",
        "options": [{"key": "s", "value": "Small: up to 1"}, {"key": "l", "value": "Large"}],
    }
    text = draft(asked(form(few)))
    assert "            s: s  # Small: up to 1\n            l: l  # Large\n" in text
    many = few | {"options": [{"key": str(number), "value": f"No. {number}"} for number in range(50)]}
    assert drafted(form(many)).fields["size"].transform == ("option_text",)


def test_a_draft_fails_no_lead_of_its_form() -> None:
    """Whatever is answered, what cannot be read is kept in `unmapped`."""
    size = {"type": "CUSTOM", "key": "size", "options": [{"key": "s", "value": "Small"}]}
    record = form(
        {"type": "EMAIL", "key": "mail"}, {"type": "PHONE", "key": "call"}, {"type": "DOB", "key": "born"}, size
    )
    answers = [{"name": key, "values": ["none of that"]} for key in ("mail", "call", "born", "size", "new")]
    lead = map_lead(details(record, answers))
    mapped = Target(drafted(record)).map(lead)
    assert mapped.failures == ()
    assert str(mapped.record["unmapped"]).count("none of that") == 5


def test_names_are_taken_once_and_never_those_that_are_ours() -> None:
    keys = ("lead_id", "unmapped", "created_at", "Größe", "größe", "GROSSE", "zählt_das?", "12_months", "是", "x" * 90)
    mapping = drafted(form(*({"type": "CUSTOM", "key": key} for key in keys)))
    assert list(mapping.fields)[: len(keys)] == [
        "lead_id_2",
        "unmapped_2",
        "created_at_2",
        "grosse",
        "grosse_2",
        "grosse_3",
        "zahlt_das",
        "q_12_months",
        "question_9",
        "x" * 63,
    ]
    names = Names({"a"})
    assert [names.take("x" * 63) for _ in range(2)] == ["x" * 63, "x" * 61 + "_2"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('What\'s your "all-in" budget (₹)?', "whats_your_all_in_budget"),
        ("wie_groß_ist_ihr_dach?", "wie_gross_ist_ihr_dach"),
        ("आप कब खरीदना चाहते हैं?", ""),
        ("आपका OK?", ""),
        ("", ""),
        ("?!", ""),
        ("one two three four five six seven eight nine ten", "one_two_three_four_five_six_seven_eight"),
    ],
)
def test_a_name_is_made_of_what_can_be_written_in_one(text: str, name: str) -> None:
    assert slug(text) == name


@pytest.mark.parametrize(
    ("name", "target"),
    [("Test drive 2026", "test_drive_2026"), ("नया घर", "form_1"), ("2026", "q_2026"), ("A" * 80, "a" * 49)],
)
def test_the_target_is_named_after_the_form(name: str, target: str) -> None:
    assert target_name(asked(form(name=name))) == target
    assert drafted(form(name=name)).target == target


def test_what_is_said_of_target_and_owner_is_written() -> None:
    mapping = read_mapping(draft(asked(form()), target="sales", owner="CRM: team"), file="d").mapping
    assert (mapping.target, mapping.owner, mapping.filter.forms) == ("sales", "CRM: team", ("1",))


def details(record: Form, answers: list[dict[str, Any]]) -> Any:
    return {
        "lead_id": "77",
        "page_id": "9",
        "form_id": record["form_id"],
        "answer": json.dumps({"id": "77", "created_time": "2026-11-24T15:00:00+0000", "field_data": answers}),
        "completeness": "FULL",
        "missing_fields": [],
        "source": "webhook",
        "api_version": None,
        "change": None,
        "form": json.dumps(record["form"]),
        "form_version": record["version"],
        "received_at": None,
        "fetched_at": datetime(2026, 11, 24, tzinfo=UTC),
    }
