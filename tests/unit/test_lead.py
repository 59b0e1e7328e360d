"""From a details record to a Lead: what is understood, what is kept, and what stops a lead."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codec import Codec
from processors.lead import Unmappable, map_lead
from schemas.shapes import Lead, LeadDetails

LEAD_ID = "55459717045641545"
PERSON = "Rosa Luxemburg"

FORM: dict[str, Any] = {
    "id": "12312312312",
    "name": "Probefahrt",
    "locale": "de_DE",
    "questions": [
        {"id": "1", "key": "wer", "label": "Ihr Name", "type": "FULL_NAME"},
        {"id": "2", "key": "email", "label": "E-Mail", "type": "EMAIL"},
        {"id": "3", "key": "phone_number", "label": "Telefon", "type": "PHONE"},
        {"id": "4", "key": "city", "label": "Welche Stadt gefällt Ihnen?", "type": "CUSTOM"},
        {
            "id": "5",
            "key": "car",
            "label": 'Which "dream" car, 10" or more?',
            "type": "CUSTOM",
            "options": [{"key": "honda", "value": "Honda Civic"}, {"value": "BMW, any"}],
        },
        {"id": "6", "key": "selected_dealer", "label": "Dealer", "type": "STORE_LOOKUP"},
    ],
    "tracking_parameters": [{"key": "utm_source", "value": "fb"}],
    "legal_content": {
        "privacy_policy": {"url": "https://example.com/privacy", "link_text": "Datenschutz"},
        "custom_disclaimer": {
            "title": "Bedingungen",
            "body": {"text": "Wir melden uns."},
            "checkboxes": [
                {"key": "terms", "text": "Ich stimme zu", "is_required": True, "is_checked_by_default": False},
                {"key": "news", "text": "Newsletter", "is_required": False, "is_checked_by_default": True},
            ],
        },
    },
}


def details(answer: object = None, *, form: object = None, **changes: object) -> LeadDetails:
    """A record with this answer and form; a text is taken as it is."""
    record: dict[str, object] = {
        "lead_id": LEAD_ID,
        "page_id": "153125381133",
        "form_id": "12312312312",
        "answer": answer if isinstance(answer, str) else json.dumps(answer),
        "completeness": "FULL",
        "missing_fields": [],
        "source": "webhook",
        "api_version": "v25.0",
        "change": None,
        "form": form if form is None or isinstance(form, str) else json.dumps(form),
        "form_version": None if form is None else "f" * 64,
        "received_at": datetime(2026, 11, 24, 7, 0, tzinfo=UTC),
        "fetched_at": datetime(2026, 11, 24, 7, 1, tzinfo=UTC),
    }
    return record | changes  # type: ignore[return-value]  # built by name


def answered(*given: tuple[str, object], **fields: object) -> dict[str, object]:
    """Meta's answer with these values by name."""
    return {
        "id": LEAD_ID,
        "created_time": "2026-11-20T08:49:14+0000",
        "field_data": [{"name": name, "values": values} for name, values in given],
        **fields,
    }


def problems(lead: Lead) -> set[tuple[str, str | None, str]]:
    return {(problem["field"], problem["key"], problem["code"]) for problem in lead["problems"]}


def test_a_paid_lead_carries_its_way_from_campaign_to_form() -> None:
    answer = answered(
        ad_id="120210000000000001",
        ad_name="Herbst",
        adset_id=120210000000000002,
        adset_name="25-40",
        campaign_id="120210000000000003",
        campaign_name="Probefahrt",
        is_organic=False,
        platform="ig",
        form_id="12312312312",
    )
    lead = map_lead(details(answer, form=FORM))
    assert lead["ad_id"] == "120210000000000001"
    assert lead["adset_id"] == "120210000000000002"
    assert lead["campaign_name"] == "Probefahrt"
    assert lead["is_organic"] is False
    assert lead["platform"] == "ig"
    assert (lead["form_name"], lead["form_locale"]) == ("Probefahrt", "de_DE")
    assert lead["created_at"] == datetime(2026, 11, 20, 8, 49, 14, tzinfo=UTC)
    assert lead["problems"] == []


@pytest.mark.parametrize("nothing", [None, 0, "0", ""])
def test_meta_has_four_ways_to_say_that_there_is_no_ad(nothing: object) -> None:
    lead = map_lead(details(answered(ad_id=nothing), change=json.dumps({"ad_id": nothing})))
    assert lead["ad_id"] is None


def test_an_ad_that_the_token_may_not_read_is_taken_from_the_notification() -> None:
    lead = map_lead(details(answered(), change='{"ad_id": 120210000000000001, "adgroup_id": 5}'))
    assert lead["ad_id"] == "120210000000000001"
    assert lead["adset_id"] is None


@pytest.mark.parametrize("change", [None, "", "not json", "[]", '{"ad_id": {"odd": true}}'])
def test_a_notification_of_any_shape_costs_no_lead(change: str | None) -> None:
    assert map_lead(details(answered(), change=change))["lead_id"] == LEAD_ID


def test_the_type_of_a_question_decides_what_an_answer_is() -> None:
    """The name is customised to `wer`, and a custom question is called `city`."""
    lead = map_lead(details(answered(("wer", [f" {PERSON} "]), ("city", ["Rom"])), form=FORM))
    assert lead["full_name"] == PERSON
    assert lead["city"] is None


def test_without_a_form_metas_own_names_of_standard_questions_decide() -> None:
    lead = map_lead(
        details(
            answered(
                ("full_name", [PERSON]),
                ("email", ["rosa@EXAMPLE.com"]),
                ("work_email", ["rl@example.org"]),
                ("phone_number", ["+4915112345678"]),
                ("phone_number_verified", ["true"]),
                ("work_phone_number", ["+493012345678"]),
                ("whatsapp_number", ["+4915112345678"]),
                ("date_of_birth", ["1971-03-05"]),
                ("zip_code", ["10178"]),
                ("province", ["Berlin"]),
                ("country", ["Germany"]),
                ("job_title", ["Editor"]),
            )
        )
    )
    assert lead["full_name"] == PERSON
    assert (lead["email"], lead["work_email"]) == ("rosa@example.com", "rl@example.org")
    assert (lead["phone"], lead["work_phone"], lead["whatsapp"]) == (
        "+4915112345678",
        "+493012345678",
        "+4915112345678",
    )
    assert lead["phone_verified"] is True
    assert lead["date_of_birth"] == date(1971, 3, 5)
    assert (lead["post_code"], lead["state"], lead["country"], lead["job_title"]) == ("10178", "Berlin", "DE", "Editor")
    assert lead["problems"] == []


@pytest.mark.parametrize(
    ("kind", "field", "raw", "value"),
    [
        ("EMAIL", "email", "a@example.com", "a@example.com"),
        ("WORK_EMAIL", "work_email", "a@example.com", "a@example.com"),
        ("PHONE", "phone", "+4915112345678", "+4915112345678"),
        ("PHONE_OTP", "phone", "+4915112345678", "+4915112345678"),
        ("USER_PROVIDED_PHONE_NUMBER", "phone", "+4915112345678", "+4915112345678"),
        ("WORK_PHONE_NUMBER", "work_phone", "+4915112345678", "+4915112345678"),
        ("WHATSAPP_NUMBER", "whatsapp", "+4915112345678", "+4915112345678"),
        ("FULL_NAME", "full_name", PERSON, PERSON),
        ("FIRST_NAME", "first_name", "Rosa", "Rosa"),
        ("LAST_NAME", "last_name", "Luxemburg", "Luxemburg"),
        ("DOB", "date_of_birth", "1971-03-05", date(1971, 3, 5)),
        ("GENDER", "gender", "female", "female"),
        ("MARITIAL_STATUS", "marital_status", "single", "single"),
        ("RELATIONSHIP_STATUS", "relationship_status", "single", "single"),
        ("EDUCATION_LEVEL", "education_level", "doctorate", "doctorate"),
        ("MILITARY_STATUS", "military_status", "none", "none"),
        ("COMPANY_NAME", "company_name", "Vorwärts", "Vorwärts"),
        ("JOB_TITLE", "job_title", "Editor", "Editor"),
        ("WEBSITE", "website", "example.com", "example.com"),
        ("STREET_ADDRESS", "street_address", "Cranachstr. 58", "Cranachstr. 58"),
        ("ADDRESS_LINE_TWO", "address_line_two", "2nd floor", "2nd floor"),
        ("CITY", "city", "Berlin", "Berlin"),
        ("STATE", "state", "Berlin", "Berlin"),
        ("PROVINCE", "state", "Berlin", "Berlin"),
        ("POST_CODE", "post_code", "12157", "12157"),
        ("ZIP", "post_code", "12157", "12157"),
        ("COUNTRY", "country", "de", "DE"),
    ],
)
def test_each_standard_question_has_a_field(kind: str, field: str, raw: str, value: object) -> None:
    form = {"questions": [{"key": "renamed", "type": kind}]}
    lead: dict[str, object] = {**map_lead(details(answered(("renamed", [raw])), form=form))}
    empty: dict[str, object] = {**map_lead(details(answered(("renamed", [])), form=form))}
    changed = {name for name in lead if lead[name] != empty[name]}
    assert changed == {field, "answers"}
    assert lead[field] == value


def test_every_field_of_metas_lead_has_a_place() -> None:
    fields = {
        "ad_id": "1",
        "ad_name": "2",
        "adset_id": "3",
        "adset_name": "4",
        "campaign_id": "5",
        "campaign_name": "6",
        "form_id": "7",
        "partner_name": "8",
        "platform": "9",
        "retailer_item_id": "10",
    }
    raw = {name: {"id": name} for name in ("home_listing", "vehicle", "post_submission_check_result")}
    answer = answered(is_organic=True, custom_disclaimer_responses=[], **fields, **raw)
    lead: dict[str, object] = {**map_lead(details(answer, form_id=None))}
    assert {name: lead[name] for name in fields} == fields
    assert {name: json.loads(str(lead[name])) for name in raw} == raw
    assert (lead["is_organic"], lead["other_fields"]) == (True, None)


@pytest.mark.parametrize(("raw", "is_organic"), [(True, True), (False, False), ("1", True), ("", None), (None, None)])
def test_organic_is_said_or_not_known(raw: object, is_organic: bool | None) -> None:
    lead = map_lead(details(answered(is_organic=raw)))
    assert (lead["is_organic"], lead["problems"]) == (is_organic, [])


def test_organic_that_is_neither_yes_nor_no_is_named() -> None:
    lead = map_lead(details(answered(is_organic="partly")))
    assert (lead["is_organic"], problems(lead)) == (None, {("is_organic", None, "invalid")})


@pytest.mark.parametrize("values", [[""], [" "], ["\n", ""]])
def test_nothing_but_spaces_is_no_answer_and_no_problem(values: list[str]) -> None:
    lead = map_lead(details(answered(("email", values), ("full_name", values), ("phone_number", values))))
    assert (lead["email"], lead["full_name"], lead["phone"], lead["problems"]) == (None, None, None, [])


def test_a_name_of_metas_that_the_form_does_not_list_is_recognised_still() -> None:
    """`user_provided_phone_number` comes with forms that never ask for it."""
    lead = map_lead(details(answered(("user_provided_phone_number", ["0151 12345678"])), form=FORM))
    assert lead["phone"] == "+4915112345678"
    assert problems(lead) == {("phone", "user_provided_phone_number", "region-guessed")}


def test_a_number_is_read_in_the_country_that_was_answered_before_that_of_the_form() -> None:
    answer = answered(("phone_number", ["06 12 34 56 78"]), ("country", ["Frankreich"]))
    lead = map_lead(details(answer, form=FORM))
    assert (lead["country"], lead["phone"], lead["problems"]) == ("FR", "+33612345678", [])


@pytest.mark.parametrize("locale", ["ar_AR", "AR_AR", "es_LA", "ES_LA"])
def test_a_locale_that_is_no_country_guesses_none(locale: str) -> None:
    """AR would be Argentina and LA Laos."""
    lead = map_lead(details(answered(("phone_number", ["011 2345 6789"])), form={**FORM, "locale": locale}))
    assert problems(lead) == {("phone", "phone_number", "no-region")}


def test_of_two_answers_for_one_field_the_first_is_taken_and_the_other_noted() -> None:
    answer = answered(("phone_number", ["+4915112345678"]), ("user_provided_phone_number", ["+4915187654321"]))
    lead = map_lead(details(answer))
    assert lead["phone"] == "+4915112345678"
    assert problems(lead) == {("phone", "user_provided_phone_number", "several")}


def test_two_answers_that_mean_the_same_are_no_problem() -> None:
    answer = answered(("phone_number", ["+4915112345678"]), ("user_provided_phone_number", ["0049 151 1234 5678"]))
    assert map_lead(details(answer))["problems"] == []


def test_a_value_that_cannot_be_read_makes_way_for_one_that_can() -> None:
    answer = answered(("email", ["none", "rosa@example.com"]))
    lead = map_lead(details(answer))
    assert (lead["email"], lead["problems"]) == ("rosa@example.com", [])


def test_what_cannot_be_normalised_is_named_and_kept() -> None:
    answer = answered(("email", ["rosa at example"]), ("date_of_birth", ["03/05/1971"]), ("country", ["Atlantis"]))
    lead = map_lead(details(answer))
    assert (lead["email"], lead["date_of_birth"], lead["country"]) == (None, None, None)
    assert problems(lead) == {
        ("email", "email", "invalid"),
        ("date_of_birth", "date_of_birth", "ambiguous"),
        ("country", "country", "invalid"),
    }
    assert [answer["values"] for answer in lead["answers"]] == [["rosa at example"], ["03/05/1971"], ["Atlantis"]]


def test_nobody_is_born_after_the_form_was_sent() -> None:
    lead = map_lead(details(answered(("date_of_birth", ["2026-11-21"]))))
    assert (lead["date_of_birth"], problems(lead)) == (None, {("date_of_birth", "date_of_birth", "invalid")})


def test_an_answer_carries_its_question_its_type_and_the_text_that_was_chosen() -> None:
    lead = map_lead(details(answered(("car", ["honda", "BMW, any", "tank"])), form=FORM))
    assert lead["answers"] == [
        {
            "key": "car",
            "question": 'Which "dream" car, 10" or more?',
            "type": "CUSTOM",
            "values": ["honda", "BMW, any", "tank"],
            "option_texts": ["Honda Civic", "BMW, any", None],
            "is_tracking": False,
            "is_sensitive": False,
        }
    ]


def test_a_follow_up_question_carries_the_text_chosen_at_its_level() -> None:
    form = {
        "questions": [
            {
                "key": "country",
                "label": "Where?",
                "type": "CUSTOM",
                "conditional_questions_choices": [
                    {
                        "customized_token": "de",
                        "value": "Germany",
                        "next_question_choices": [{"customized_token": "b", "value": "Berlin"}],
                    },
                    {"value": "France", "next_question_choices": [{"customized_token": "p", "value": "Paris"}]},
                ],
                "dependent_conditional_questions": [
                    {"field_key": "city", "input_type": "SELECT", "name": "Which city?"}
                ],
            }
        ]
    }
    lead = map_lead(details(answered(("country", ["de"]), ("city", ["p"])), form=form))
    assert [answer["option_texts"] for answer in lead["answers"]] == [["Germany"], ["Paris"]]
    assert [answer["question"] for answer in lead["answers"]] == ["Where?", "Which city?"]
    assert (lead["country"], lead["city"]) == (None, None)


def test_a_follow_up_question_that_the_form_lists_too_keeps_its_type_and_its_choices() -> None:
    conditional = {
        "key": "make",
        "type": "CUSTOM",
        "conditional_questions_choices": [
            {"value": "Aster", "next_question_choices": [{"customized_token": "s", "value": "Sport"}]}
        ],
        "dependent_conditional_questions": [{"field_key": "trim", "input_type": "SELECT", "name": "Trim?"}],
    }
    listed = {"key": "trim", "label": "Which trim?", "type": "SLIDER"}
    for questions in ([conditional, listed], [listed, conditional]):
        [answer] = map_lead(details(answered(("trim", ["s"])), form={"questions": questions}))["answers"]
        assert (answer["question"], answer["type"], answer["option_texts"]) == ("Which trim?", "SLIDER", ["Sport"])


def test_a_tracking_parameter_is_marked_and_never_taken_for_the_persons_answer() -> None:
    form = {**FORM, "tracking_parameters": [{"key": "utm_source", "value": "fb"}, {"key": "last_name", "value": "x"}]}
    lead = map_lead(details(answered(("utm_source", ["fb"]), ("last_name", ["x"])), form=form))
    assert [answer["is_tracking"] for answer in lead["answers"]] == [True, True]
    assert lead["last_name"] is None


@pytest.mark.parametrize(
    "parameters", [[{"key": "car", "value": "x"}, {"key": "src", "value": "y"}], {"car": "x", "src": "y"}]
)
def test_a_question_is_none_even_if_a_tracking_parameter_has_its_name(parameters: object) -> None:
    """Parameters are a list where forms are read and a map where they are made."""
    lead = map_lead(
        details(answered(("car", ["honda"]), ("src", ["y"])), form={**FORM, "tracking_parameters": parameters})
    )
    assert [answer["is_tracking"] for answer in lead["answers"]] == [False, True]


def test_a_store_number_is_an_answer_like_any_other() -> None:
    lead = map_lead(details(answered(("selected_dealer", ["99213450"])), form=FORM))
    assert (lead["answers"][0]["type"], lead["answers"][0]["values"]) == ("STORE_LOOKUP", ["99213450"])


@pytest.mark.parametrize("kind", ["ID_CPF", "ID_AR_DNI", "ID_CL_RUT", "ID_CO_CC", "ID_EC_CI", "ID_PE_DNI", "ID_MX_RFC"])
def test_a_national_id_is_marked_as_sensitive(kind: str) -> None:
    form = {"questions": [{"key": "id", "type": kind}, {"key": "hologram", "type": "HOLOGRAM_3D"}]}
    lead = map_lead(details(answered(("id", ["123.456.789-09"]), ("hologram", ["x"])), form=form))
    assert [answer["is_sensitive"] for answer in lead["answers"]] == [True, False]


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        ({"name": "q", "values": []}, []),
        ({"name": "q"}, []),
        ({"name": "q", "values": None}, []),
        ({"name": "q", "values": [None, "", " "]}, ["", " "]),
        ({"name": "q", "values": "alone"}, ["alone"]),
        ({"name": "q", "values": [1, 2.5, True, {"a": "ü"}]}, ["1", "2.5", "true", '{"a":"ü"}']),
        ({"values": ["nameless"]}, ["nameless"]),
        ({"name": 7, "values": ["numbered"]}, ["numbered"]),
        ("stray", ["stray"]),
    ],
)
def test_an_answer_of_any_shape_is_kept(entry: object, values: list[str]) -> None:
    lead = map_lead(details({"id": LEAD_ID, "created_time": 1440120384, "field_data": [entry]}))
    assert [answer["values"] for answer in lead["answers"]] == [values]
    assert lead["problems"] == []


def test_a_name_that_comes_twice_is_kept_twice() -> None:
    lead = map_lead(details(answered(("q", ["a"]), ("q", ["b"]))))
    assert [answer["values"] for answer in lead["answers"]] == [["a"], ["b"]]


@pytest.mark.parametrize("fields", [{}, {"field_data": None}, {"field_data": []}])
def test_a_lead_without_answers_is_a_lead(fields: dict[str, object]) -> None:
    lead = map_lead(details({"id": LEAD_ID, "created_time": "2026-11-20T08:49:14+0000", **fields}))
    assert (lead["answers"], lead["problems"], lead["other_fields"]) == ([], [], None)


def test_what_meta_adds_is_kept_as_it_came() -> None:
    answer = answered(home_listing={"id": "1"}, vehicle=None, post={"link": "ü"}, score=1.5, field_data={"odd": 1})
    lead = map_lead(details(answer))
    assert (lead["home_listing"], lead["vehicle"]) == ('{"id":"1"}', None)
    assert json.loads(lead["other_fields"] or "") == {"post": {"link": "ü"}, "score": 1.5, "field_data": {"odd": 1}}
    assert problems(lead) == {("answers", None, "invalid")}


def test_a_test_lead_is_flagged_and_its_dummies_are_no_persons_data() -> None:
    dummy = "<test lead: dummy data for {}>"
    lead = map_lead(
        details(
            answered(
                ("wer", [dummy.format("wer")]),
                ("email", ["test@meta.com"]),
                ("phone_number", [dummy.format("phone_number")]),
            ),
            form=FORM,
        )
    )
    assert lead["is_test"] is True
    assert (lead["full_name"], lead["phone"], lead["email"]) == (None, None, "test@meta.com")
    assert problems(lead) == {("full_name", "wer", "dummy"), ("phone", "phone_number", "dummy")}
    assert lead["answers"][2]["values"] == [dummy.format("phone_number")]


def test_nobody_ticked_the_boxes_of_a_test_lead() -> None:
    lead = map_lead(details(answered(("email", ["test@fb.com"])), form=FORM))
    assert [(box["is_checked"], box["evidence"]) for box in lead["disclaimers"]] == [(None, "NONE"), (None, "NONE")]


@pytest.mark.parametrize(
    ("raw", "is_checked", "evidence"),
    [
        ({"is_checked": "1"}, True, "ANSWERED"),
        ({"is_checked": ""}, False, "ANSWERED"),
        ({"is_checked": "0"}, False, "ANSWERED"),
        ({"is_checked": True}, True, "ANSWERED"),
        ({"is_checked": False}, False, "ANSWERED"),
        ({"is_checked": 1}, True, "ANSWERED"),
        ({"is_checked": 0}, False, "ANSWERED"),
        ({"is_checked": None}, None, "NONE"),
        ({"is_checked": "perhaps"}, None, "NONE"),
        ({}, None, "NONE"),
    ],
)
def test_an_optional_box_is_what_meta_answered(raw: dict[str, object], is_checked: bool | None, evidence: str) -> None:
    answer = answered(custom_disclaimer_responses=[{"checkbox_key": "news", **raw}])
    [terms, news] = map_lead(details(answer, form=FORM))["disclaimers"]
    assert (news["is_checked"], news["evidence"]) == (is_checked, evidence)
    assert (news["text"], news["is_checked_by_default"]) == ("Newsletter", True)
    assert (terms["is_checked"], terms["evidence"]) == (True, "REQUIRED")


def test_a_box_that_the_form_does_not_list_is_kept_without_its_text() -> None:
    answer = answered(custom_disclaimer_responses=[{"checkbox_key": "old", "is_checked": "1"}, "odd"])
    disclaimers = map_lead(details(answer))["disclaimers"]
    assert [(box["key"], box["text"], box["is_required"], box["is_checked"]) for box in disclaimers] == [
        ("old", None, None, True),
        ("", None, None, None),
    ]


def test_what_was_agreed_is_kept_in_the_words_of_the_form() -> None:
    lead = map_lead(details(answered(), form=FORM))
    assert (lead["privacy_policy_url"], lead["privacy_policy_text"]) == ("https://example.com/privacy", "Datenschutz")
    assert (lead["disclaimer_title"], lead["disclaimer_text"]) == ("Bedingungen", "Wir melden uns.")
    assert [box["text"] for box in lead["disclaimers"]] == ["Ich stimme zu", "Newsletter"]


def test_a_form_without_legal_content_names_its_privacy_policy_still() -> None:
    lead = map_lead(details(answered(), form={"privacy_policy_url": "https://example.com/p"}))
    assert (lead["privacy_policy_url"], lead["privacy_policy_text"]) == ("https://example.com/p", None)


@pytest.mark.parametrize(
    ("fields", "change", "created_at", "codes"),
    [
        ({"created_time": None}, '{"created_time": 1440120384}', datetime(2015, 8, 21, 1, 26, 24, tzinfo=UTC), set()),
        ({"created_time": "soon"}, '{"created_time": 1440120384}', datetime(2015, 8, 21, 1, 26, 24, tzinfo=UTC), set()),
        ({"created_time": "soon"}, None, None, {("created_at", None, "invalid")}),
    ],
)
def test_the_time_of_a_lead_is_the_answers_or_else_the_notifications(
    fields: dict[str, object], change: str | None, created_at: datetime | None, codes: set[object]
) -> None:
    lead = map_lead(details(answered(**fields), change=change))
    assert (lead["created_at"], problems(lead)) == (created_at, codes)


def test_a_form_that_is_no_json_costs_the_questions_and_not_the_lead() -> None:
    lead = map_lead(details(answered(("email", ["rosa@example.com"])), form="<html>"))
    assert lead["email"] == "rosa@example.com"
    assert problems(lead) == {("form_version", None, "invalid")}


def test_half_a_surrogate_pair_in_an_answer_costs_one_character() -> None:
    r"""Meta escapes emoji as \ud83d\ude80, and forms cut texts between the two."""
    answer = json.dumps(answered(("q", ["cut HERE"]))).replace("HERE", r"\ud83d")
    lead = map_lead(details(answer))
    assert lead["answers"][0]["values"] == ["cut �"]
    assert Codec[Lead]("Lead", schema_id=1).encode(lead)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "not-json"),
        ("<html>" + PERSON, "not-json"),
        (f'{{"id": "{LEAD_ID}", "field_data": [', "not-json"),
        ("[" * 100_000, "not-json"),
        ("[]", "not-an-object"),
        (f'"{PERSON}"', "not-an-object"),
        (f'{{"full_name": "{PERSON}"}}', "no-id"),
        ('{"error": {"message": "' + PERSON + '", "code": 100}}', "no-id"),
        ('{"id": "1", "field_data": [{"name": "full_name", "values": ["' + PERSON + '"]}]}', "other-lead"),
    ],
)
def test_what_is_no_lead_is_refused_with_a_word_and_without_the_persons_data(answer: str, reason: str) -> None:
    with pytest.raises(Unmappable, match=reason) as caught:
        map_lead(details(answer))
    assert caught.value.reason == reason
    assert PERSON not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__, "json's own error holds the answer"


def test_an_id_is_the_same_as_a_number_and_as_a_string() -> None:
    assert map_lead(details(f'{{"id": {LEAD_ID}}}'))["lead_id"] == LEAD_ID


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["email", "phone_number", "date_of_birth", "country", "car", "wer", "phone_number_verified"])
entries = st.fixed_dictionaries({"name": names | st.text()}, optional={"values": st.lists(st.text()) | json_values})


@given(st.lists(entries | json_values, max_size=8), st.sampled_from([None, FORM]))
def test_whatever_is_answered_maps_and_no_text_of_it_is_lost(field_data: list[Any], form: object) -> None:
    answer = {"id": LEAD_ID, "created_time": "2026-11-20T08:49:14+0000", "field_data": field_data}
    lead = map_lead(details(answer, form=form))
    kept = [(answer["key"], answer["values"]) for answer in lead["answers"]]
    for position, entry in enumerate(field_data):
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("values"), list):
            assert kept[position][0] == entry["name"]
            assert [value for value in entry["values"] if isinstance(value, str)] == [
                value
                for value, given in zip(kept[position][1], _not_null(entry["values"]), strict=True)
                if isinstance(given, str)
            ]
    assert Codec[Lead]("Lead", schema_id=1).encode(lead)


@given(st.dictionaries(st.sampled_from(sorted(FORM)) | st.text(), json_values, max_size=6))
def test_no_form_makes_a_lead_fail(form: dict[str, object]) -> None:
    lead = map_lead(details(answered(("wer", [PERSON]), ("car", ["honda"])), form=form))
    assert [answer["values"] for answer in lead["answers"]] == [[PERSON], ["honda"]]
    assert Codec[Lead]("Lead", schema_id=1).encode(lead)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_no_field_of_the_answer_makes_a_lead_fail(fields: dict[str, object]) -> None:
    lead = map_lead(details({**fields, "id": LEAD_ID}))
    assert Codec[Lead]("Lead", schema_id=1).encode(lead)


def _not_null(values: list[object]) -> list[object]:
    return [value for value in values if value is not None]
