"""A row of a file as Graph would have answered: the same keys and shapes, nothing guessed and nothing lost."""

import json
from typing import Any

import pytest

from ingest.details import lead_details
from ingest.export import Row, answer_of, asked_of
from ingest.meta.graph import JsonObject, snapshot
from processors.lead import map_lead
from schemas.shapes import Lead

FORM: JsonObject = {
    "id": "12312312312",
    "name": "Probefahrt",
    "locale": "de_DE",
    "questions": [
        {"key": "wer", "label": "Ihr Name", "type": "FULL_NAME"},
        {"key": "telefon", "label": "Telefon", "type": "PHONE"},
        {
            "key": "welches_modell?",
            "label": "Welches Modell?",
            "type": "CUSTOM",
            "options": [{"key": "civic", "value": "Honda Civic"}, {"key": "jazz", "value": "Honda Jazz"}],
        },
        {"key": "warum_1", "label": "Warum?", "type": "CUSTOM"},
        {
            "key": "warum_2",
            "label": "Warum?",
            "type": "CUSTOM",
            "options": [
                {"key": "a", "value": "Darum"},
                {"key": "b", "value": "Darum"},
                {"key": "c", "value": "Rot, gelb"},
                {"key": "d", "value": "Rot"},
            ],
        },
        {
            "key": "marke",
            "label": "Marke",
            "type": "CUSTOM",
            "options": [{"key": "vw", "value": "Volkswagen"}, {"key": "opel", "value": "Opel"}],
            "conditional_questions_choices": [{"customized_token": "vw", "value": "Volkswagen"}],
            "dependent_conditional_questions": [
                {"field_key": "reihe", "name": "Welche Reihe?"},
                {"field_key": "farbe", "name": "Welche Farbe?"},
            ],
        },
        {"key": "farbe", "label": "Welche Farbe?", "type": "CUSTOM", "options": [{"key": "r", "value": "Rot"}]},
    ],
    "tracking_parameters": [{"key": "utm_source", "value": "facebook"}],
}
ASKED = asked_of(FORM)


def row(*questions: tuple[str, str], extras: tuple[tuple[str, str], ...] = (), **told: Any) -> Row:  # fields of Row
    return Row(
        line=2,
        last_line=2,
        lead_id="55459717045641545",
        created_time=1795504791,
        questions=questions,
        extras=extras,
        **told,
    )


def answer(lead: Row, *, known: bool = True) -> dict[str, Any]:  # JSON
    parsed: dict[str, Any] = json.loads(answer_of(lead, ASKED if known else None))
    return parsed


def given(*questions: tuple[str, str], known: bool = True) -> list[tuple[str, list[str]]]:
    return [(item["name"], item["values"]) for item in answer(row(*questions), known=known)["field_data"]]


def mapped(lead: Row) -> Lead:
    return map_lead(
        lead_details(
            lead_id=lead.lead_id,
            page_id="153125381133",
            form_id="12312312312",
            answer=answer_of(lead, ASKED),
            completeness="EXPORT",
            missing_fields=(),
            source="import",
            api_version=None,
            form=snapshot(FORM),
            fetched_at=1795504999000,
        )
    )


def test_an_answer_is_what_graph_would_have_said() -> None:
    lead = row(
        ("email", "r@example.com"), ad_id="12021", ad_name="Herbst ✨", form_id="12312", is_organic=False, platform="ig"
    )
    assert answer_of(lead) == (
        '{"id":"55459717045641545","created_time":"2026-11-24T07:19:51+0000","ad_id":"12021","ad_name":"Herbst ✨",'
        '"form_id":"12312","is_organic":false,"platform":"ig",'
        '"field_data":[{"name":"email","values":["r@example.com"]}]}'
    )


def test_what_the_file_does_not_tell_is_left_out() -> None:
    assert answer(row()) == {"id": "55459717045641545", "created_time": "2026-11-24T07:19:51+0000", "field_data": []}


def test_without_a_form_a_question_goes_by_its_column() -> None:
    assert given(("Ihr Name", "Rosa"), ("why?", "a"), ("why?", "b"), known=False) == [
        ("Ihr Name", ["Rosa"]),
        ("why?", ["a"]),
        ("why?", ["b"]),
    ]


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("wer", "wer"),
        ("Ihr Name", "wer"),
        ("ihr name", "wer"),
        ("ihr_name", "wer"),
        ("Welches  Modell?", "welches_modell?"),
        ("utm_source", "utm_source"),
        ("reihe", "reihe"),
        ("Welche Reihe?", "reihe"),
        ("warum?", "warum?"),  # of which of the two is not known
        ("nicht mehr gefragt", "nicht mehr gefragt"),
    ],
)
def test_a_column_is_known_by_key_or_label_or_else_keeps_its_name(column: str, key: str) -> None:
    assert given((column, "x")) == [(key, ["x"])]


def test_two_columns_of_one_name_are_the_two_questions_of_that_label_in_order() -> None:
    assert given(("Warum?", "x"), ("Warum?", "y"), ("Warum?", "z")) == [
        ("warum_1", ["x"]),
        ("warum_2", ["y"]),
        ("Warum?", ["z"]),
    ]


@pytest.mark.parametrize(
    ("column", "cell", "values"),
    [
        ("welches_modell?", "civic", ["civic"]),
        ("welches_modell?", "Honda Jazz", ["jazz"]),
        ("welches_modell?", "Honda Civic; Honda Jazz", ["civic", "jazz"]),
        ("welches_modell?", "civic,jazz", ["civic", "jazz"]),
        ("welches_modell?", "Honda Civic; Opel", ["Honda Civic; Opel"]),
        ("welches_modell?", "Opel", ["Opel"]),
        ("warum_2", "Darum", ["Darum"]),  # two options say so
        ("warum_2", "Rot, gelb", ["c"]),
        ("marke", "Volkswagen", ["vw"]),
        ("farbe", "Rot", ["r"]),
        ("wer", "Müller, Anna; Dr.", ["Müller, Anna; Dr."]),
    ],
)
def test_options_become_their_keys_only_where_nothing_else_can_be_meant(
    column: str, cell: str, values: list[str]
) -> None:
    assert given((column, cell)) == [(column, values)]


def test_an_extra_column_that_the_form_asks_is_an_answer() -> None:
    """As where people moved a question before Meta's columns."""
    told = answer(row(extras=(("Ihr Name", "Rosa"), ("Qualified", "yes"))))
    assert told["field_data"] == [{"name": "wer", "values": ["Rosa"]}]
    assert told["export"] == {"Qualified": "yes"}


def test_what_is_no_answer_stands_apart_and_nothing_of_it_is_lost() -> None:
    told = answer(
        row(extras=(("lead_status", "CREATED"), ("", "x"), ("", "y"), ("form_name", "z")), form_name="Probefahrt")
    )
    assert told["export"] == {
        "form_name": "Probefahrt",
        "lead_status": "CREATED",
        "": "x",
        " (2)": "y",
        "form_name (2)": "z",
    }


def test_a_form_of_any_shape_asks_what_can_be_read_of_it() -> None:
    odd: JsonObject = {
        "questions": [
            None,
            "x",
            {"key": 7},
            {"key": "a", "options": {"x": 1}},
            {"key": "b", "label": 5, "options": [None]},
        ],
        "tracking_parameters": "none",
    }
    asked = asked_of(odd)
    assert answer_of(row(("a", "1"), ("b", "2")), asked).endswith(
        '"field_data":[{"name":"a","values":["1"]},{"name":"b","values":["2"]}]}'
    )


def test_the_lead_of_a_row_is_typed_as_that_of_an_answer() -> None:
    lead = mapped(
        row(
            ("Ihr Name", "Rosa Beispiel"),
            ("telefon", "+4930123456"),
            ("Welches Modell?", "Honda Civic; Honda Jazz"),
            ("utm_source", "fb"),
            extras=(("lead_status", "CREATED"),),
            form_name="Probefahrt",
            campaign_id="12023",
            is_organic=False,
            platform="ig",
        )
    )
    assert lead["problems"] == []
    assert (lead["completeness"], lead["source"], lead["is_test"]) == ("EXPORT", "import", False)
    assert (lead["full_name"], lead["phone"], lead["campaign_id"]) == ("Rosa Beispiel", "+4930123456", "12023")
    assert lead["answers"][2]["values"] == ["civic", "jazz"]
    assert lead["answers"][2]["option_texts"] == ["Honda Civic", "Honda Jazz"]
    assert lead["answers"][3]["is_tracking"]
    assert lead["other_fields"] == '{"export":{"form_name":"Probefahrt","lead_status":"CREATED"}}'


def test_a_test_lead_is_known_as_one() -> None:
    assert mapped(row(("wer", "<test lead: dummy data for full_name>")))["is_test"]
