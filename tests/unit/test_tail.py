"""What `leadstream tail` shows of a record."""

import json
from datetime import UTC, datetime

from typer.testing import CliRunner

from deploy.cli import app
from deploy.tail import in_a_line, in_json, lead_row
from ingest.codec import Damaged
from ingest.records import DEAD, LEADS, RAW, Headers, Received, headers
from processors.lead import map_lead
from schemas.shapes import Lead

LEAD = "55459717045641545"


def lead(**answer: object) -> Lead:
    return map_lead(
        {
            "lead_id": LEAD,
            "page_id": "153125381133",
            "form_id": "12312312312",
            "answer": json.dumps({"id": LEAD, "created_time": "2026-11-24T08:00:00+0000"} | answer),
            "completeness": "FULL",
            "missing_fields": [],
            "source": "webhook",
            "api_version": "v25.0",
            "change": None,
            "form": None,
            "form_version": None,
            "received_at": None,
            "fetched_at": datetime(2026, 11, 24, 8, tzinfo=UTC),
        }
    )


def answers(**said: str) -> list[dict[str, object]]:
    return [{"name": name, "values": [value]} for name, value in said.items()]


def received(value: bytes | None = b"", topic: str = LEADS, said: Headers = ()) -> Received:
    return Received(
        topic=topic, partition=3, offset=41, key=LEAD.encode(), value=value, headers=said, timestamp=1_795_500_000_123
    )


def test_a_row_has_who_it_is_and_how_to_reach_them() -> None:
    ada = lead(
        field_data=answers(
            first_name="Ada", last_name="Lovelace", email="ada@Example.com", phone_number="+441614960936"
        ),
        platform="ig",
        is_organic=False,
        ad_id="120",
    )
    assert lead_row(ada) == (
        LEAD,
        "12312312312",
        "Ada Lovelace",
        "ada@example.com",
        "+441614960936",
        "ig ad",
    )


def test_where_a_lead_came_from_is_said_in_a_word() -> None:
    assert lead_row(lead(is_organic=True, platform="fb"))[-1] == "fb organic"
    assert lead_row(lead())[-1] == "no ad"
    assert lead_row(lead(field_data=answers(full_name="<test lead: dummy data for full_name>")))[-1] == "test"


def test_a_line_of_leads_has_the_same_columns_as_a_row() -> None:
    ada = lead(field_data=answers(full_name="Ada"))
    line = in_a_line(LEADS, lambda _: ada)(received())
    assert line.split() == [text for cell in lead_row(ada) for text in cell.split()]


def test_an_erased_lead_is_told_as_one() -> None:
    assert in_a_line(LEADS, lambda _: {})(received(None)).endswith(f"{LEAD}  erased")


def test_a_record_that_cannot_be_decoded_is_shown_with_the_reason_and_ends_nothing() -> None:
    def damaged(_: bytes) -> object:
        raise Damaged("the bytes are not a record of schema 7")

    assert "the bytes are not a record of schema 7" in in_a_line(LEADS, damaged)(received())


def test_a_dead_letter_is_shown_with_its_reason_and_as_it_was() -> None:
    letter = received(b"\xff{", DEAD, headers({"fate-reason": "not-found"}))
    line = in_a_line(DEAD, lambda value: value.decode("utf-8", "backslashreplace"))(letter)
    assert line == f"2026-11-24 06:00:00.123+00:00      3@41  {LEAD}  not-found  \\xff{{"


def test_json_has_the_place_the_headers_and_the_whole_value() -> None:
    ada = lead(field_data=answers(full_name="Ada"))
    shown = json.loads(in_json(LEADS, lambda _: ada)(received(said=headers({"origin": "1@2"}))))
    assert shown["value"]["full_name"] == "Ada"
    assert shown["value"]["created_at"] == "2026-11-24T08:00:00+00:00"
    del shown["value"]
    assert shown == {
        "topic": LEADS,
        "partition": 3,
        "offset": 41,
        "timestamp": "2026-11-24T06:00:00.123000+00:00",
        "key": LEAD,
        "headers": {"origin": "1@2"},
    }


def test_ids_beyond_2_to_the_53_are_shown_as_they_are() -> None:
    line = in_a_line(RAW, json.loads)(received(f'{{"leadgen_id": {LEAD}}}'.encode(), RAW))
    assert line.endswith(f'{{"leadgen_id": {LEAD}}}')


def test_a_topic_that_is_not_declared_is_used_wrongly() -> None:
    result = CliRunner().invoke(app, ["tail", "--topic", "nonsense"])
    assert result.exit_code == 2
    assert "leads.v1" in result.stderr


def test_the_help_has_an_example() -> None:
    assert "Example: leadstream tail" in CliRunner().invoke(app, ["tail", "--help"]).stdout
