"""A target: which leads it takes, what it makes of them, what fails, and that nothing an answer said is ever lost."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codec import Codec
from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping as MappingFile
from processors.mapping.target import Failed, Target
from schemas.shapes import Lead
from tests.mapped import FORM, FORM_ID, LEAD_ID, a_field, a_lead, a_mapping, left_in, mapped

PAGE_ID = "153125381133"


def wants(lead: Lead, **filter_: object) -> bool:
    return Target(a_mapping({"it": a_field({"field": "it"})}, filter=filter_)).wants(lead)


@pytest.mark.parametrize(
    ("filter_", "wanted"),
    [
        ({}, True),
        ({"pages": [PAGE_ID, "1"]}, True),
        ({"pages": ["1"]}, False),
        ({"forms": [FORM_ID]}, True),
        ({"forms": ["1"]}, False),
        ({"pages": [PAGE_ID], "forms": ["1"]}, False),
    ],
)
def test_a_target_takes_the_leads_of_its_pages_and_forms(filter_: dict[str, object], wanted: bool) -> None:
    assert wants(a_lead(), **filter_) is wanted


def test_a_lead_without_a_form_is_of_none() -> None:
    assert not wants(a_lead(form_id=None), forms=[FORM_ID])
    assert wants(a_lead(form_id=None))


@pytest.mark.parametrize("filter_", [{}, {"pages": [PAGE_ID], "forms": [FORM_ID]}, {"organic": "only"}])
def test_no_target_takes_a_test_lead_whatever_its_filter_says(filter_: dict[str, object]) -> None:
    assert wants(a_lead(("wer", "Ada"), is_organic=True), **filter_)
    assert not wants(a_lead(("wer", "<test lead: dummy data for full_name>"), is_organic=True), **filter_)
    assert not wants(a_lead(("wer", "Ada"), ("email", "test@meta.com"), is_organic=True), **filter_)


@pytest.mark.parametrize(
    ("rule", "organic", "paid", "unknown"),
    [("include", True, True, True), ("exclude", False, True, True), ("only", True, False, False)],
)
def test_whether_a_lead_is_organic_decides_only_where_it_is_known(
    rule: str, organic: bool, paid: bool, unknown: bool
) -> None:
    leads = [a_lead(is_organic=True), a_lead(is_organic=False), a_lead()]
    assert [wants(lead, organic=rule) for lead in leads] == [organic, paid, unknown]


def test_a_record_has_the_key_every_field_in_the_files_order_and_what_is_left() -> None:
    mapping = a_mapping(
        {
            "b": a_field({"standard": "full_name"}),
            "a": a_field({"field": "none"}),
            "day": a_field({"field": "day"}, through=["date"], type="date"),
            "at": a_field({"lead": "created_at"}, type="timestamp"),
            "cars": a_field({"field": "car"}, through=["option_text"], type="strings"),
        },
        key="id",
    )
    lead = a_lead(
        ("wer", "Ada"), ("day", "24.11.2026"), ("car", ["honda", "BMW, any"]), ("x", "y"), ("utm_source", "fb")
    )
    record = Target(mapping).map(lead).record
    assert list(record.items()) == [
        ("id", LEAD_ID),
        ("b", "Ada"),
        ("a", None),
        ("day", date(2026, 11, 24)),
        ("at", datetime(2026, 11, 20, 8, 49, 14, tzinfo=UTC)),
        ("cars", ["Honda Civic", "BMW, any"]),
        ("unmapped", '{"answers":{"x":["y"],"utm_source":["fb"]},"disclaimers":{"terms":true}}'),
    ]
    codec: Codec[dict[str, object]] = Codec(avro_schema(mapping), schema_id=1)
    assert codec.decode(codec.encode(record)) == record


def test_what_is_ignored_is_left_out_on_purpose() -> None:
    lead = a_lead(("x", "y"), ("z", "1"))
    mapping = a_mapping({"it": a_field({"field": "it"})}, ignore=["x", "terms"])
    assert Target(mapping).map(lead).record["unmapped"] == '{"answers":{"z":["1"]}}'


def test_nothing_left_is_null() -> None:
    mapping = a_mapping({"it": a_field({"field": "it"})}, ignore=["terms"])
    assert Target(mapping).map(a_lead(("it", "1"))).record["unmapped"] is None


@pytest.mark.parametrize(
    ("transforms", "kind", "value", "left"),
    [
        ([], "string", "a", ["b", "c"]),
        ([], "strings", ["a", "b", "c"], []),
        (["first"], "string", "a", []),
        ([{"join": "+"}], "string", "a+b+c", []),
        ([{"template": "<{value}>"}], "string", "<a, b, c>", []),
        ([{"template": "<{standard.full_name}>"}], "string", "<Ada>", ["a", "b", "c"]),
        (["first", {"split": "a"}], "string", None, ["a", "b", "c"]),
    ],
)
def test_what_a_field_did_not_take_of_an_answer_is_left(
    transforms: list[object], kind: str, value: object, left: list[str]
) -> None:
    made = mapped(a_lead(("it", ["a", "b", "c"]), ("wer", "Ada")), {"field": "it"}, through=transforms, type=kind)
    assert made.record["it"] == value
    assert left_in(made).get("answers", {}).get("it", []) == left


def test_an_answer_that_was_cut_and_taken_in_part_is_left_whole() -> None:
    lead = a_lead(("it", "a;b"))
    assert left_in(mapped(lead, {"field": "it"}, through=[{"split": ";"}]))["answers"] == {"it": ["a;b"]}
    assert "answers" not in left_in(mapped(lead, {"field": "it"}, through=[{"split": ";"}, "first"]))
    some = mapped(a_lead(("it", "1;x")), {"field": "it"}, through=[{"split": ";"}, "number"], if_invalid="default")
    assert (some.record["it"], left_in(some)["answers"]) == ("1", {"it": ["1;x"]})
    lenient: dict[str, Any] = {"through": [{"split": ";"}, "number"], "type": "strings", "if_invalid": "default"}
    every = mapped(a_lead(("it", "1;x")), {"field": "it"}, **lenient)
    assert (every.record["it"], left_in(every)["answers"]) == (["1"], {"it": ["1;x"]})


def test_what_one_field_left_another_may_take() -> None:
    mapping = a_mapping({"one": a_field({"field": "it"}), "all": a_field({"field": "it"}, type="strings")})
    assert "answers" not in left_in(Target(mapping).map(a_lead(("it", ["a", "b"]))))


def test_a_value_that_is_refused_fails_the_lead_and_is_left() -> None:
    made = mapped(a_lead(("it", ["1", "x"])), {"field": "it"}, through=["number"], type="int", default="7")
    assert made.failures == (Failed(field="it", reason="number"),)
    assert made.record["it"] is None
    assert left_in(made)["answers"] == {"it": ["1", "x"]}


def test_a_value_that_is_refused_can_count_as_empty() -> None:
    lenient: dict[str, Any] = {"through": ["number"], "if_invalid": "default"}
    lead = a_lead(("it", ["x", "1", "y"]))
    one = mapped(lead, {"field": "it"}, type="int", **lenient)
    assert (one.record["it"], one.failures, left_in(one)["answers"]) == (1, (), {"it": ["x", "y"]})
    every = mapped(lead, {"field": "it"}, type="strings", **lenient)
    assert (every.record["it"], left_in(every)["answers"]) == (["1"], {"it": ["x", "y"]})
    none = mapped(a_lead(("it", "x")), {"field": "it"}, type="int", default="7", **lenient)
    assert (none.record["it"], none.failures, left_in(none)["answers"]) == (7, (), {"it": ["x"]})
    required = mapped(a_lead(("it", "x")), {"field": "it"}, required=True, **lenient)
    assert required.failures == (Failed(field="it", reason="required"),)


def test_a_value_that_does_not_fit_the_type_fails_or_counts_as_empty_too() -> None:
    lead = a_lead(("it", ["many", "5"]))
    strict = mapped(lead, {"field": "it"}, type="int")
    assert (strict.record["it"], strict.failures) == (None, (Failed(field="it", reason="type"),))
    lenient = mapped(lead, {"field": "it"}, type="int", if_invalid="default")
    assert (lenient.record["it"], left_in(lenient)["answers"]) == (5, {"it": ["many"]})


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [
        ("string", "none", "none"),
        ("strings", "none", ["none"]),
        ("int", "7", 7),
        ("boolean", "false", False),
        ("date", "2026-11-24", date(2026, 11, 24)),
    ],
)
def test_where_no_source_has_a_value_the_default_is_taken_as_the_type(
    kind: str, default: str, expected: object
) -> None:
    made = mapped(a_lead(), {"field": "it"}, type=kind, default=default, required=True)
    assert (made.record["it"], made.failures) == (expected, ())


def test_a_default_that_is_none_of_the_type_is_no_target() -> None:
    with pytest.raises(ValueError, match=r"fields\.it\.default is no int"):
        Target(a_mapping({"it": a_field(type="int", default="seven")}))


def test_failures_come_in_the_files_order_and_the_record_is_whole() -> None:
    mapping = a_mapping(
        {
            "z": a_field({"field": "x"}, through=["email"]),
            "ok": a_field({"field": "x"}),
            "a": a_field({"field": "none"}, required=True),
            "t": a_field({"field": "x"}, type="timestamp"),
        }
    )
    made = Target(mapping).map(a_lead(("x", "secret")))
    assert [(each.field, each.reason) for each in made.failures] == [("z", "email"), ("a", "required"), ("t", "type")]
    assert made.record == {
        "lead_id": LEAD_ID,
        "z": None,
        "ok": "secret",
        "a": None,
        "t": None,
        "unmapped": '{"disclaimers":{"terms":true}}',
    }
    assert "secret" not in repr(made.failures)


OVERRIDDEN = a_field(
    {"field": "a"},
    through=["upper"],
    default="base",
    required=True,
    forms={
        "1": {"from": [{"field": "b"}]},
        "2": {"transform": []},
        "3": {"default": "three"},
        "4": {"from": [], "required": False},
    },
)


@pytest.mark.parametrize(
    ("form_id", "expected"),
    [("1", "Y"), ("2", "x"), ("3", "X"), ("4", "base"), (FORM_ID, "X"), (None, "X")],
)
def test_a_form_is_mapped_as_its_override_says_and_else_as_the_field_says(form_id: str | None, expected: str) -> None:
    target = Target(a_mapping({"it": OVERRIDDEN}))
    assert target.map(a_lead(("a", "x"), ("b", "y"), form_id=form_id)).record["it"] == expected


def test_what_no_form_overrides_is_compiled_once_however_many_forms_there_are() -> None:
    """A hundred fields and a hundred forms were a tenth of a second of standing still, and 8 MB, for each target."""
    field = a_field({"field": "it"}, forms={"1": {"default": "a"}, "2": {"default": "b"}})
    target = Target(a_mapping({"it": field, "other": a_field({"field": "other"})}))
    ways = (target._ways, *target._ways_of_forms.values())  # noqa: SLF001  what is held in memory
    assert [len({id(of_form[place]) for of_form in ways}) for place in (0, 1)] == [3, 1]


def test_an_override_replaces_the_default_and_whether_a_value_is_required() -> None:
    target = Target(a_mapping({"it": OVERRIDDEN}))
    assert target.map(a_lead(form_id="3")).record["it"] == "three"
    strict = Target(a_mapping({"it": a_field({"field": "a"}, forms={"1": {"required": True}, "2": {}})}))
    assert [bool(strict.map(a_lead(form_id=form)).failures) for form in ("1", "2", FORM_ID)] == [True, False, False]


def test_people_are_told_what_each_field_was_made_of() -> None:
    mapping = a_mapping(
        {
            "car": a_field({"field": "none"}, {"field": "car"}, through=["option_text"], type="strings"),
            "greeting": a_field(through=[{"template": "{standard.full_name} at {lead.created_at}"}]),
            "email": a_field({"standard": "email"}, through=["email"]),
            "none": a_field({"field": "none"}),
        }
    )
    told = Target(mapping).tell(a_lead(("wer", "Ada"), ("car", ["honda", "BMW, any"]), ("email", "?")))
    assert [(each.field, each.before, each.after, each.reason) for each in told] == [
        ("car", ("honda", "BMW, any"), ["Honda Civic", "BMW, any"], None),
        ("greeting", ("Ada", "2026-11-20T08:49:14+00:00"), "Ada at 2026-11-20T08:49:14+00:00", None),
        ("email", ("?",), None, "email"),
        ("none", (), None, None),
    ]


# Whatever a form asks and people answer, and whatever a file says about it.
KEYS = ["wer", "email", "phone_number", "city", "car", "utm_source", "zip_code", "other", ""]
VALUES = st.one_of(
    st.sampled_from(["honda", "BMW, any", "ada@example.com", "+4915112345678", "0151 12345678", "Deutschland", "yes"]),
    st.sampled_from(["24.11.2026", "2026-11-24T10:00:00+0100", "1.234,5", "42", "1" * 30, "a;b; ;c"]),
    st.sampled_from([" ", "", "<test lead: dummy data for it>"]),
    st.text(max_size=12),
)
LEADS = st.builds(
    lambda answers, form, ticked, form_id: a_lead(*answers, form=form, ticked=ticked, form_id=form_id),
    st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(VALUES, st.lists(VALUES, max_size=3))), max_size=6),
    st.sampled_from([FORM, None, FORM | {"locale": "en_US"}]),
    st.dictionaries(st.sampled_from(["news", "stranger"]), st.sampled_from(["1", "", "odd"]), max_size=2),
    st.sampled_from([FORM_ID, "7", None]),
)
SOURCES = st.one_of(
    st.builds(lambda key: {"field": key or "x"}, st.sampled_from(KEYS)),
    st.builds(lambda key: {"tracking": key or "x"}, st.sampled_from(KEYS)),
    st.builds(lambda name: {"standard": name}, st.sampled_from(["full_name", "email", "phone", "city", "post_code"])),
    st.builds(lambda name: {"lead": name}, st.sampled_from(["email", "phone", "post_code", "created_at", "is_test"])),
    st.builds(lambda key: {"disclaimer": key}, st.sampled_from(["terms", "news", "stranger"])),
    st.sampled_from([{"question": "ihr name"}, {"question": "Which car?"}, {"constant": "meta"}]),
)
TRANSFORMS = st.one_of(
    st.sampled_from(["trim", "lower", "upper", "first", "all", "hash", "option_text"]),
    st.sampled_from(["email", "e164", "country", "number", "boolean", "date", "timestamp"]),
    st.sampled_from([{"e164": {"region": "FR"}}, {"country": "alpha3"}, {"date": ["%d.%m.%Y"]}]),
    st.sampled_from([{"timestamp": ["%d.%m.%Y"]}, {"format_date": "%d/%m/%Y"}, {"boolean": {"true": ["honda"]}}]),
    st.sampled_from([{"number": {"decimal": ",", "thousands": "."}}, {"code": {"table": {"honda": "1", "42": "2"}}}]),
    st.sampled_from([{"code": {"table": {"x": "1"}, "otherwise": "0"}}, {"split": ";"}, {"join": ", "}]),
    st.sampled_from([{"template": "{value} ({field.other})"}, {"template": "{standard.email}"}]),
)
FIELDS = st.builds(
    lambda kind, sources, transforms, lenient, required, override: a_field(
        *sources,
        through=transforms,
        type=kind,
        if_invalid="default" if lenient else "dead",
        required=required,
        forms={"7": {"from": override}} if override is not None else {},
    ),
    st.sampled_from(["string", "boolean", "int", "long", "float", "double", "date", "timestamp", "strings"]),
    st.lists(SOURCES, max_size=3),
    st.lists(TRANSFORMS, max_size=3),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.lists(SOURCES, max_size=2)),
)
MAPPINGS: st.SearchStrategy[MappingFile] = st.builds(
    lambda fields, ignore: a_mapping(fields, ignore=ignore),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), FIELDS, min_size=1, max_size=3),
    st.lists(st.sampled_from([*KEYS[:-1], "terms"]), max_size=2),
)


def inputs(target: Target, lead: Lead) -> Counter[str]:
    """What every field that has a value was made of, as it was given."""
    return Counter(text for told in target.tell(lead) if told.after is not None for text in told.before)


def given_in(lead: Lead, ignored: tuple[str, ...]) -> list[tuple[str, str]]:
    answers = [answer for answer in lead["answers"] if answer["key"] not in ignored]
    return [(answer["key"], value) for answer in answers for value in answer["values"] if value.strip()]


@given(lead=LEADS, mapping=MAPPINGS)
def test_every_value_that_was_answered_is_in_a_field_or_left_and_the_record_fits_its_schema(
    lead: Lead, mapping: MappingFile
) -> None:
    target = Target(mapping)
    made = target.map(lead)
    codec: Codec[dict[str, object]] = Codec(avro_schema(mapping), schema_id=1)
    assert codec.decode(codec.encode(made.record)) == made.record
    assert Target(mapping).map(lead) == made, "the same lead gives the same record"
    assert {each.field for each in made.failures} <= mapping.fields.keys()
    assert all(made.record[each.field] is None for each in made.failures)

    left = (left_in(made) or {}).get("answers", {})
    given_values = given_in(lead, mapping.ignore)
    assert Counter((key, value) for key, values in left.items() for value in values) <= Counter(given_values)
    for key, value in given_values:
        if value not in left.get(key, []):
            assert value in inputs(target, lead) or _was_read(lead, value, inputs(target, lead)), (key, value)


def _was_read(lead: Lead, value: str, said: Mapping[str, int]) -> bool:
    """Whether a property that a field took was read from the value."""
    return any(lead[name] in said for name in ("email", "phone", "post_code"))


@given(lead=LEADS)
def test_a_mapping_without_sources_leaves_everything(lead: Lead) -> None:
    made = Target(a_mapping({"it": a_field(default="x")})).map(lead)
    left = (left_in(made) or {}).get("answers", {})
    assert Counter((key, value) for key, values in left.items() for value in values) == Counter(given_in(lead, ()))
    assert json.dumps(left, ensure_ascii=False, separators=(",", ":")) in (
        str(made.record["unmapped"]) if left else "{}"
    )


@given(lead=LEADS)
def test_a_field_for_each_key_leaves_nothing(lead: Lead) -> None:
    fields = {f"f{number}": a_field({"field": key}, type="strings") for number, key in enumerate(KEYS) if key}
    tracked = {f"t{number}": a_field({"tracking": key}, type="strings") for number, key in enumerate(KEYS) if key}
    made = Target(a_mapping(fields | tracked)).map(lead)
    assert (left_in(made) or {}).get("answers", {}).keys() <= {""}
