"""The demo's mapping file, held against the forms of the double and the leads that it invents."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.demo.sales import FIELD, SHIPPED, TOPIC, grow, lay_out
from deploy.sandbox.graph.leads import full_answer
from deploy.sandbox.graph.state import State
from deploy.topics.differences import schema_changes
from processors.lead import map_lead
from processors.mapping.avro import avro_schema
from processors.mapping.checking import check
from processors.mapping.file import UNMAPPED
from processors.mapping.reading import Loaded, read_file
from processors.mapping.target import Target
from schemas.shapes import Form, Lead

FORMS = range(8)  # those of the three pages
NOW = 1_795_000_000


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    state = State(tmp_path_factory.mktemp("graph"), seed=1, pages=3, history=0)
    yield state
    state.close()


@pytest.fixture(scope="module")
def leads(state: State) -> list[Lead]:
    """A hundred of every form."""
    return [
        a_lead(state, full_answer(state.lead(form, n), seed=1), form)
        for form in FORMS
        for n in state.make_leads(form, 100, start=NOW, end=NOW)
    ]


@pytest.fixture
def grown(tmp_path: Path) -> Loaded:
    file = lay_out(tmp_path / "mappings")
    grow(file)
    return read_file(file)


def a_lead(state: State, answer: dict[str, object], number: int) -> Lead:
    form = state.form(number)
    moment = datetime.fromtimestamp(NOW, tz=UTC)
    return map_lead(
        {
            "lead_id": str(answer["id"]),
            "page_id": state.world.page(form.page).page_id,
            "form_id": form.form_id,
            "answer": json.dumps(answer),
            "completeness": "FULL",
            "missing_fields": [],
            "source": "webhook",
            "api_version": "v25.0",
            "change": None,
            "form": json.dumps(form.node),
            "form_version": "f" * 64,
            "received_at": moment,
            "fetched_at": moment,
        }
    )


def test_it_makes_the_topic_that_the_demo_reads(grown: Loaded) -> None:
    assert read_file(SHIPPED).mapping.topic == grown.mapping.topic == TOPIC


def test_all_that_it_names_is_on_a_form_of_the_double_and_every_option_has_its_code(
    state: State, grown: Loaded
) -> None:
    forms: list[Form] = [
        {
            "form_id": form.form_id,
            "version": "1",
            "page_id": state.world.page(form.page).page_id,
            "seen_at": NOW,
            "form": dict(form.node),
        }
        for form in map(state.form, FORMS)
    ]
    found = check(grown, forms)
    # That there are questions which no field takes is what the demo shows.
    assert [each.message for each in found if "stays in unmapped" not in each.message] == []


def test_no_lead_of_the_double_fails_for_it_and_each_field_has_its_use(leads: list[Lead], grown: Loaded) -> None:
    target = Target(grown.mapping)
    mapped = [target.map(lead) for lead in leads]
    assert [failure for each in mapped for failure in each.failures] == []
    records = [each.record for each in mapped]
    assert {name for record in records for name, value in record.items() if value is not None} == records[0].keys()
    assert all(record["name"] and record["created_at"] for record in records)
    assert all(str(record["phone"]).startswith("+") for record in records if record["phone"])


def test_ids_that_sales_is_not_to_see_are_nowhere(leads: list[Lead], grown: Loaded) -> None:
    """All that the double's leads hold of official ids is in `ignore`."""
    asked = {answer["key"] for lead in leads for answer in lead["answers"] if (answer["type"] or "").startswith("ID_")}
    assert asked == set(grown.mapping.ignore)
    target = Target(grown.mapping)
    kept = {
        key for lead in leads for key in json.loads(str(target.map(lead).record[UNMAPPED] or "{}")).get("answers", {})
    }
    assert kept
    assert not kept & asked


def test_every_record_of_the_grown_file_has_the_field_and_else_is_as_before(leads: list[Lead], grown: Loaded) -> None:
    shipped = read_file(SHIPPED)
    before, after = Target(shipped.mapping), Target(grown.mapping)
    assert schema_changes(avro_schema(shipped.mapping), avro_schema(grown.mapping)) == (f"+ {FIELD} (string)",)
    brands = {after.map(lead).record.pop(FIELD) for lead in leads}
    assert brands == {"HARBOR", "SOLARWERK", "CASA"}
    for lead in leads:
        record = after.map(lead).record
        del record[FIELD]
        assert record == before.map(lead).record


def test_it_is_laid_out_as_shipped_however_it_was_left(tmp_path: Path) -> None:
    file = lay_out(tmp_path / "mappings")
    grow(file)
    assert file.read_bytes() != SHIPPED.read_bytes()
    assert lay_out(tmp_path / "mappings").read_bytes() == SHIPPED.read_bytes()
    assert [entry.name for entry in file.parent.iterdir()] == [SHIPPED.name]
