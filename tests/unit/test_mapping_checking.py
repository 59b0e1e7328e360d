"""A mapping file held against forms: what nobody asks, what nobody takes, and codes that are missing."""

from typing import Any

import pytest

from processors.mapping.checking import check
from processors.mapping.findings import Finding
from processors.mapping.reading import read_mapping
from schemas.shapes import Form

HEAD = "target: sales\nowner: o\ndoc: d\nfields:\n"
BUDGET = {
    "type": "CUSTOM",
    "key": "budget",
    "label": "What is your budget?",
    "options": [{"key": "low", "value": "Up to 10"}, {"key": "high", "value": "More"}],
}
EMAIL = {"type": "EMAIL", "key": "mail", "label": "Your e-mail"}
PLATE = {"type": "CUSTOM", "key": "plate", "label": "Your plate"}


def form(*questions: dict[str, Any], form_id: str = "1", **said: Any) -> Form:
    node = {"id": form_id, "name": f"Form {form_id}", "locale": "en_US", "status": "ACTIVE", "questions": [*questions]}
    seen_at = said.pop("seen_at", 1)
    return {
        "form_id": form_id,
        "version": str(seen_at),
        "page_id": said.pop("page_id", "9"),
        "seen_at": seen_at,
        "form": node | said,
    }


def found(fields: str, *forms: Form, rest: str = "") -> list[Finding]:
    """`fields` from line 5 on."""
    return check(read_mapping(f"{HEAD}{fields}{rest}", file="s.yaml"), forms)


def told(findings: list[Finding]) -> list[tuple[str, int, str, str | None, str]]:
    return [(each.severity, each.line, each.field, each.form_id, each.message) for each in findings]


def the_only(findings: list[Finding]) -> str:
    [finding] = findings
    form = f" {finding.form_id}" if finding.form_id else ""
    return f"{finding.severity} {finding.line} {finding.field}{form}: {finding.message}"


def test_a_file_that_takes_all_that_is_asked_has_nothing_found() -> None:
    fields = (
        "  mail: {doc: d, from: [standard: email]}\n"
        "  plate: {doc: d, from: [question: ' your  PLATE']}\n"
        "  budget: {doc: d, from: [field: budget], transform: [trim, code: {table: {LOW: 1, More: 2}}]}\n"
        "  utm: {doc: d, from: [tracking: utm]}\n"
        "  ok: {doc: d, type: boolean, from: [disclaimer: ok]}\n"
    )
    legal = {"custom_disclaimer": {"checkboxes": [{"key": "ok", "text": "Yes."}]}}
    asked = form(EMAIL, PLATE, BUDGET, tracking_parameters=[{"key": "utm"}], legal_content=legal)
    assert found(fields, asked) == []


class TestWhatNobodyAsks:
    def test_a_question_that_no_form_has_is_an_error_that_names_what_is_similar(self) -> None:
        fields = "  mail: {doc: d, from: [standard: email]}\n  a: {doc: d, from: [field: budgett]}\nignore: [budget]\n"
        assert told(found(fields, form(EMAIL), form(BUDGET, form_id="2"))) == [
            (
                "error",
                6,
                "fields.a.from[0]",
                None,
                "`budgett` is no question of any form; form 2 (Form 2) has `budget`",
            )
        ]

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("question: 'Which plate?'", "error 6 fields.a.from[0]: “Which plate?” is no question of any form"),
            (
                "question: Your plates",
                "error 6 fields.a.from[0]: “Your plates” is no question of any form; form 1 (Form",
            ),
            ("standard: country", "warning 6 fields.a.from[0]: no question of any form asks for country"),
            ("lead: country", "warning 6 fields.a.from[0]: no question of any form asks for country"),
            ("tracking: utm", "warning 6 fields.a.from[0]: `utm` is no tracking parameter of any form"),
            ("tracking: plate", "warning 6 fields.a.from[0]: `plate` is no tracking parameter of any form: on form 1"),
            ("disclaimer: ok", "error 6 fields.a.from[0]: `ok` is no checkbox of any form"),
            (
                "field: Your plate",
                "error 6 fields.a.from[0]: `Your plate` is no question of any form: on form 1 (Form 1)",
            ),
        ],
    )
    def test_so_is_what_is_named_in_another_way_where_it_can_be_certain(self, source: str, said: str) -> None:
        fields = f"  plate: {{doc: d, from: [field: plate]}}\n  a: {{doc: d, from: [{source}]}}\n"
        assert the_only(found(fields, form(PLATE))).startswith(said)

    def test_a_question_takes_its_key_from_a_tracking_parameter_of_the_same(self) -> None:
        asked = form(PLATE, tracking_parameters=[{"key": "plate"}])
        fields = "  plate: {doc: d, from: [field: plate]}\n  a: {doc: d, from: [tracking: plate]}\n"
        assert the_only(found(fields, asked)).startswith("warning 6 fields.a.from[0]: `plate` is no tracking parameter")

    @pytest.mark.parametrize("place", ["field.plat", "standard.email", "tracking.utm", "lead.email"])
    def test_a_template_names_too(self, place: str) -> None:
        fields = f"  plate: {{doc: d, from: [field: plate]}}\n  a: {{doc: d, transform: [template: '{{{place}}}']}}\n"
        assert the_only(found(fields, form(PLATE))).split(" of any form")[0].split(": ")[0].endswith("transform[0]")

    def test_what_comes_from_no_form_is_not_looked_for(self) -> None:
        fields = (
            "  a: {doc: d, from: [lead: form_name, constant: x]}\n"
            "  b: {doc: d, from: [standard: phone_verified, field: phone_number_verified]}\n"
        )
        assert found(fields, form()) == []

    def test_one_form_that_has_it_is_enough_unless_it_is_said_for_another(self) -> None:
        fields = "  a: {doc: d, from: [field: plate], forms: {2: {from: [field: plate]}}}\n"
        assert the_only(found(fields, form(PLATE), form(form_id="2"))) == (
            "error 5 fields.a.forms.2.from[0] 2: `plate` is no question of form 2 (Form 2); form 1 (Form 1) has `plate`"
        )

    def test_followers_of_a_conditional_question_are_asked_and_their_choices_are_options(self) -> None:
        make = {
            "type": "CUSTOM",
            "key": "make",
            "label": "Which make?",
            "conditional_questions_choices": [
                {
                    "customized_token": "honda",
                    "value": "Honda",
                    "next_question_choices": [{"customized_token": "jazz", "value": "Jazz"}, {"value": "Other"}],
                }
            ],
            "dependent_conditional_questions": [{"field_key": "model", "name": "Which model?"}],
        }
        fields = (
            "  make: {doc: d, from: [field: make]}\n"
            "  model: {doc: d, from: [question: 'which model?'], transform: [code: {table: {jazz: 1}}]}\n"
        )
        assert the_only(found(fields, form(make))).startswith(
            "error 6 fields.model.transform[0].code.table 1: field `model` of form 1 (Form 1) has the option `Other`"
            " without a code: a lead with one is a dead letter"
        )

    def test_a_required_field_of_which_a_form_asks_nothing_would_kill_all_its_leads(self) -> None:
        fields = "  a: {doc: d, from: [standard: email, field: plate], required: true}\n"
        asked = [form(EMAIL), form(PLATE, form_id="2"), form(form_id="3"), form(form_id="4", status="ARCHIVED")]
        assert the_only(found(fields, *asked)).startswith(
            "error 5 fields.a.required 3: form 3 (Form 3) asks nothing that this field reads: all its leads would be"
        )
        for helped in ("forms: {3: {required: false}}", "forms: {3: {from: [lead: form_id]}}", "default: x"):
            assert not [
                each for each in found(fields.replace("required", f"{helped}, required"), *asked) if each.form_id
            ]

    def test_a_default_makes_required_say_nothing(self) -> None:
        fields = "  a: {doc: d, from: [standard: email], required: true, default: x}\n"
        assert (
            the_only(found(fields, form(EMAIL))) == "warning 5 fields.a.required: says nothing, as there is a default"
        )


class TestWhatNobodyTakes:
    def test_what_an_active_form_asks_and_no_field_takes_is_a_warning(self) -> None:
        fields = "  a: {doc: d, from: [standard: email]}\n"
        legal = {"custom_disclaimer": {"checkboxes": [{"key": "ok", "text": "Yes."}]}}
        asked = form(EMAIL, PLATE, tracking_parameters=[{"key": "utm"}], legal_content=legal)
        findings = found(fields, asked, form(PLATE, form_id="2", status="ARCHIVED"))
        assert [each.message.split(" of ")[0] for each in findings] == [
            "no field takes the question `plate`",
            "no field takes the tracking parameter `utm`",
            "no field takes the checkbox `ok`",
        ]
        assert {(each.severity, each.line, each.field, each.form_id) for each in findings} == {
            ("warning", 4, "fields", "1")
        }
        assert found(fields, asked, rest="ignore: [plate, utm, ok]\n") == []

    def test_what_is_taken_for_another_form_only_is_not_taken(self) -> None:
        fields = "  a: {doc: d, from: [field: plate], forms: {2: {from: [lead: form_id]}}}\n"
        assert "`plate` of form 2" in the_only(found(fields, form(PLATE), form(PLATE, form_id="2")))


class TestCodes:
    TABLE = "  a: {doc: d, from: [field: budget], transform: [code: {table: {low: 1}}]%s}\n"

    def test_an_option_without_a_code_would_be_a_dead_letter(self) -> None:
        assert the_only(found(self.TABLE % "", form(BUDGET))) == (
            "error 5 fields.a.transform[0].code.table 1: field `budget` of form 1 (Form 1) has the option `high`"
            " without a code: a lead with one is a dead letter; add a code for each, or `otherwise`"
        )

    @pytest.mark.parametrize(
        ("what", "severity"),
        [(", if_invalid: default", "warning"), (", forms: {1: {transform: [code: {table: {low: 1}}]}}", "error")],
    )
    def test_unless_it_is_said_what_becomes_of_it(self, what: str, severity: str) -> None:
        [finding] = found(self.TABLE % what, form(BUDGET))
        assert finding.severity == severity
        assert finding.field.startswith("fields.a.forms.1" if "forms" in what else "fields.a.transform")

    def test_otherwise_is_a_code_for_all(self) -> None:
        assert found((self.TABLE % "").replace("{low: 1}", "{low: 1}, otherwise: 0"), form(BUDGET)) == []

    def test_of_a_form_that_is_no_longer_active_it_is_a_warning(self) -> None:
        assert the_only(found(self.TABLE % "", form(BUDGET, status="ARCHIVED"))).startswith(
            "warning 5 fields.a.transform"
        )

    def test_an_entry_that_is_no_option_is_a_warning_with_its_own_line(self) -> None:
        fields = (
            "  a:\n    doc: d\n    from: [field: budget]\n    transform:\n    - code:\n        table:\n"
            "          low: 1\n          MORE: 2\n          hihg: 3\n"
        )
        assert the_only(found(fields, form(BUDGET))) == (
            "warning 13 fields.a.transform[0].code.table.hihg: `hihg` is no option of any form"
        )

    def test_not_where_any_text_may_come_in(self) -> None:
        fields = (
            "  a: {doc: d, from: [field: plate, field: budget], transform: [code: {table: {low: 1, more: 2, x: 3}}]}\n"
        )
        assert found(fields, form(BUDGET, PLATE)) == []

    def test_after_option_text_the_text_alone_is_looked_up(self) -> None:
        fields = (self.TABLE % "").replace(
            "[code: {table: {low: 1}}]", "[option_text, code: {table: {low: 1, more: 2}}]"
        )
        assert [(each.severity, each.message.split(" has ")[-1][:26]) for each in found(fields, form(BUDGET))] == [
            ("warning", "`low` is no option of any "),
            ("error", "the option `low` without a"),
        ]

    def test_after_what_changes_the_answer_nothing_is_claimed(self) -> None:
        fields = (self.TABLE % "").replace("[code", "[split: x, code")
        assert found(fields, form(BUDGET)) == []

    def test_a_box_that_is_ticked_or_not_needs_two_codes(self) -> None:
        fields = "  a: {doc: d, from: [disclaimer: ok], transform: [code: {table: {true: J}}]}\n"
        legal = {"custom_disclaimer": {"checkboxes": [{"key": "ok", "text": "Yes."}]}}
        assert "disclaimer `ok` of form 1 (Form 1) has the option `false`" in the_only(
            found(fields, form(legal_content=legal))
        )


class TestScope:
    FIELDS = "  a: {doc: d, from: [standard: email]}\n"

    def test_forms_that_the_filter_leaves_out_do_not_count(self) -> None:
        forms = [form(EMAIL), form(PLATE, form_id="2"), form(PLATE, form_id="3", page_id="8")]
        assert len(found(self.FIELDS, *forms)) == 2
        assert found(self.FIELDS, *forms, rest="filter: {forms: [1]}\n") == []
        assert [each.form_id for each in found(self.FIELDS, *forms, rest="filter: {pages: [9]}\n")] == ["2"]

    def test_a_form_counts_as_it_was_seen_last(self) -> None:
        versions = [form(EMAIL, PLATE, seen_at=1), form(EMAIL, seen_at=3), form(PLATE, seen_at=2)]
        assert found(self.FIELDS, *versions) == []

    def test_forms_and_pages_that_nobody_knows_are_warnings(self) -> None:
        rest = "filter: {forms: [1, 7], pages: [9, 6]}\n"
        fields = "  a: {doc: d, from: [standard: email], forms: {7: {default: x}}}\n"
        assert [str(each[-1]) for each in told(found(fields, form(EMAIL), rest=rest))] == [
            "no form of page 6 is known here",
            "form 7 is not known here",
        ]
        fields = "  a: {doc: d, from: [standard: email], forms: {7: {default: x}}}\n"
        assert the_only(found(fields, form(EMAIL))) == "warning 5 fields.a.forms.7 7: this form is not known here"

    def test_where_no_form_is_known_that_is_said_and_nothing_else(self) -> None:
        fields = "  a: {doc: d, from: [field: x]}\n"
        assert the_only(found(fields)).startswith("warning 1 : no form is known, so this was held against none")
        assert [each.message[:38] for each in found(fields, form(EMAIL), rest="filter: {pages: [1]}\n")] == [
            "no form of page 1 is known here",
            "the filter takes none of the forms tha",
        ]
