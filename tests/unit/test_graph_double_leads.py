"""The leads the Graph double invents: their order, their 90 days, and every shape of answer Meta is known to send."""

import json
from collections.abc import Iterator
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.graph.answers import cpf, rut
from deploy.sandbox.graph.chance import chance_of
from deploy.sandbox.graph.facts import LeadsMade
from deploy.sandbox.graph.forms import templates
from deploy.sandbox.graph.leads import RETENTION, FormLeads, full_answer
from deploy.sandbox.graph.state import State

META_QUESTION_TYPES = set(
    """
    CUSTOM CITY COMPANY_NAME COUNTRY DOB EMAIL GENDER FIRST_NAME FULL_NAME JOB_TITLE LAST_NAME MARITIAL_STATUS
    WHATSAPP_NUMBER EDUCATION_LEVEL WEBSITE PHONE PHONE_OTP POST_CODE PROVINCE RELATIONSHIP_STATUS STATE STREET_ADDRESS
    ZIP WORK_EMAIL MILITARY_STATUS WORK_PHONE_NUMBER SLIDER STORE_LOOKUP STORE_LOOKUP_WITH_TYPEAHEAD DATE_TIME ID_CPF
    ID_AR_DNI ID_CL_RUT ID_CO_CC ID_EC_CI ID_PE_DNI ID_MX_RFC JOIN_CODE USER_PROVIDED_PHONE_NUMBER FACEBOOK_LEAD_ID
    EMAIL_ALIAS MESSENGER VIN LICENSE_PLATE THREAD_LINK ADDRESS_LINE_TWO
    """.split()  # noqa: SIM905 - 47 quoted words would be harder to hold against Meta's list
)
"""The enum of FORMS (v25.0)."""

Answer = dict[str, object]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Answer]]]:
    """200 leads of every form, by the form's template, as Graph would answer."""
    state = State(tmp_path_factory.mktemp("graph"), seed=1, pages=3, history=0)
    found: dict[str, list[Answer]] = {}
    for form in range(8):
        numbers = state.make_leads(form, 200, start=1_795_000_000, end=1_795_000_000)
        leads = (state.lead(form, n) for n in numbers)
        found[state.form(form).template] = [full_answer(lead, seed=1) for lead in leads]
    yield found
    state.close()


def values_of(answers: list[Answer], name: str) -> list[list[str] | None]:
    return [item.get("values") for answer in answers for item in answer["field_data"] if item["name"] == name]  # type: ignore[attr-defined]  # JSON


def test_every_question_type_of_meta_is_asked_by_some_form() -> None:
    asked = {question["type"] for form in templates().values() for question in form["node"]["questions"]}  # type: ignore[attr-defined]  # JSON
    assert asked >= META_QUESTION_TYPES
    assert asked - META_QUESTION_TYPES == {"COUNTY"}, "and one that no list knows"


def test_a_lead_answers_only_what_its_form_asks(answers: dict[str, list[Answer]]) -> None:
    for template, leads in answers.items():
        node = templates()[template]["node"]
        keys = {question["key"] for question in node["questions"]}  # type: ignore[attr-defined]  # JSON
        keys |= {parameter["key"] for parameter in node["tracking_parameters"]}  # type: ignore[attr-defined]  # JSON
        given = {item["name"] for lead in leads for item in lead["field_data"]}  # type: ignore[attr-defined]  # JSON
        assert given == keys | ({"phone_number_verified"} if template == "solar" else set())


def test_optional_answers_are_empty_in_each_of_the_three_ways(answers: dict[str, list[Answer]]) -> None:
    given = values_of(answers["test_drive"], "trim_level")
    assert None in given
    assert [] in given
    assert [""] in given


def test_some_questions_get_several_answers_and_options_come_as_their_keys(answers: dict[str, list[Answer]]) -> None:
    topics = values_of(answers["newsletter"], 'which_topics_interest_you?_(choose_"all"_that_apply)')
    assert {len(values or []) for values in topics} == {1, 2, 3}
    assert {"electric", "used,_certified"} <= {value for values in topics for value in values or []}


def test_names_are_localised_quoted_and_long(answers: dict[str, list[Answer]]) -> None:
    names = {item["name"] for leads in answers.values() for lead in leads for item in lead["field_data"]}  # type: ignore[attr-defined]  # JSON
    assert any("₹" in name and '"' in name for name in names)
    assert any(len(name) > 150 for name in names)
    assert "car_make" in names, "a customised field id"
    assert "wie_groß_ist_ihr_dach?" in names, "one that Meta made of the label"


def test_organic_leads_have_no_ad_and_paid_ones_all_of_it(answers: dict[str, list[Answer]]) -> None:
    ad_fields = {"ad_id", "ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name"}
    for template, leads in answers.items():
        for lead in leads:
            assert (lead.keys() & ad_fields) == (set() if lead["is_organic"] else ad_fields)
            assert lead["platform"] in ("fb", "ig")
        organic = sum(bool(lead["is_organic"]) for lead in leads)
        assert (organic == 0) if template == "test_drive_2024" else (0 < organic < len(leads))


def test_only_optional_disclaimers_are_answered_with_one_or_nothing(answers: dict[str, list[Answer]]) -> None:
    responses = [response for lead in answers["solar"] for response in lead["custom_disclaimer_responses"]]  # type: ignore[attr-defined]  # JSON
    assert {response["checkbox_key"] for response in responses} == {"werbung_e_mail", "werbung_telefon"}
    assert {response["is_checked"] for response in responses} == {"1", ""}
    assert not any("custom_disclaimer_responses" in lead for lead in answers["test_drive"] + answers["b2b"])


@pytest.mark.parametrize(
    ("template", "key", "region"),
    [
        ("test_drive", "phone_number", "US"),
        ("solar", "telefonnummer", "DE"),
        ("b2b", "work_phone_number", "GB"),
        ("homes_india", "फ़ोन_नंबर", "IN"),
        ("insurance_brazil", "celular", "BR"),
    ],
)
def test_phones_are_valid_in_the_forms_country(
    answers: dict[str, list[Answer]], template: str, key: str, region: str
) -> None:
    for values in values_of(answers[template], key):
        assert values
        assert phonenumbers.is_valid_number(phonenumbers.parse(values[0], region)), values


def test_one_form_has_phones_without_a_country_code(answers: dict[str, list[Answer]]) -> None:
    given = [values[0] for values in values_of(answers["homes_india"], "फ़ोन_नंबर") if values]
    assert given
    assert not any(phone.startswith(("+", "00")) for phone in given)


def test_mail_addresses_are_at_example_domains(answers: dict[str, list[Answer]]) -> None:
    for template, key in (("test_drive", "email"), ("solar", "e-mail-adresse"), ("b2b", "work_email")):
        domains = {values[0].partition("@")[2] for values in values_of(answers[template], key) if values}
        assert all(domain.split(".")[-2] == "example" for domain in domains)


def test_latin_american_leads_answer_the_id_of_their_own_country(answers: dict[str, list[Answer]]) -> None:
    keys = {"rfc", "dni_argentina", "rut", "cédula_colombia", "cédula_ecuador", "dni_perú"}
    seen = set()
    for lead in answers["loans_latam"]:
        given = {item["name"] for item in lead["field_data"]} & keys  # type: ignore[attr-defined]  # JSON
        assert len(given) == 1
        seen |= given
    assert seen == keys


@given(st.integers(0, 2**32))
def test_a_cpf_has_right_check_digits(seed: int) -> None:
    digits = [int(char) for char in cpf(chance_of(seed)) if char.isdigit()]
    for length in (9, 10):
        total = sum(digit * (length + 1 - place) for place, digit in enumerate(digits[:length]))
        assert total * 10 % 11 % 10 == digits[length]


@given(st.integers(0, 2**32))
def test_a_rut_has_a_right_check_character(seed: int) -> None:
    number, check = rut(chance_of(seed)).split("-")
    weights = [2, 3, 4, 5, 6, 7, 2, 3]
    rest = 11 - sum(int(digit) * weight for digit, weight in zip(reversed(number), weights, strict=False)) % 11
    assert check == {11: "0", 10: "K"}.get(rest, str(rest))


def test_the_same_lead_gets_the_same_answer_in_any_process(tmp_path: Path) -> None:
    """Written down once: a change of the invention would change what a running sandbox has announced."""
    state = State(tmp_path, seed=1, pages=3, history=0)
    state.make_leads(3, 1, start=1_795_000_000, end=1_795_000_000)
    answer = json.dumps(full_answer(state.lead(3, 0), seed=1), ensure_ascii=False)
    state.close()
    assert answer.startswith('{"id": "58')
    assert '"created_time": "2026-11-18T11:06:40+0000"' in answer


RUNS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 1000), st.integers(0, 1000)).map(
        lambda run: LeadsMade(form=0, count=run[0], start=min(run[1:]), end=max(run[1:]))
    ),
    max_size=8,
)


@given(runs=RUNS, deleted=st.sets(st.integers(0, 20)), now=st.integers(0, 1000))
def test_leads_are_listed_newest_first_without_the_deleted_and_the_expired(
    runs: list[LeadsMade], deleted: set[int], now: int
) -> None:
    leads = FormLeads()
    for run in runs:
        leads.add(run)
        leads.readable_between(0)  # ordered step by step, as it happens when somebody lists in between
    leads.deleted = {n for n in deleted if n < leads.count}
    clock = now + RETENTION
    expected = sorted(
        (n for n in range(leads.count) if n not in leads.deleted and leads.created(n) > now),
        key=lambda n: (leads.created(n), n),
    )
    low, high = leads.readable_between(clock)
    assert list(leads.newest_first(low, high)) == expected[::-1]
    assert list(leads.oldest_first(low, high)) == expected
    assert [n for n in range(leads.count + 1) if leads.is_readable(n, clock)] == sorted(expected)
    assert leads.expired(clock) == sum(leads.created(n) <= now for n in set(range(leads.count)) - leads.deleted)
    for n in expected:
        assert next(leads.oldest_first(leads.position_of(n), high)) == n


def test_a_run_of_a_million_leads_is_one_fact() -> None:
    leads = FormLeads()
    leads.add(LeadsMade(form=0, count=10**6, start=0, end=10**6))
    assert leads.count == 10**6
    assert leads.created(999_999) == 10**6
    assert leads.is_readable(500_000, 0)
