"""The files of the Graph double, as its endpoint and its Ads Manager make them, hold the leads that its API answers."""

import json
from collections.abc import Iterator
from itertools import starmap

import pytest

from deploy.sandbox.graph.auth import Caller
from deploy.sandbox.graph.export import Style, download, export_leads
from deploy.sandbox.graph.leads import full_answer
from deploy.sandbox.graph.state import State
from ingest.export import Row, answer_of, asked_of, read_export

FORMS = range(8)
LEADS = 60
NOT_IN_A_FILE = {
    "custom_disclaimer_responses",
    "home_listing",
    "post_submission_check_result",
    "retailer_item_id",
    "vehicle",
}
SEVERAL = "; "  # how the double writes several options into one cell

Told = dict[str, object]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    state = State(tmp_path_factory.mktemp("graph"), seed=1, pages=3, history=0)
    now = int(state.now())
    for form in FORMS:
        state.make_leads(form, LEADS, start=now - 50_000, end=now - 1_000)
    yield state
    state.close()


def made_by(state: State, form: int, style: Style) -> bytes:
    """The endpoint's answer to a page's token, or what a person downloads."""
    if style != "endpoint":
        return download(state, form, style)
    caller = Caller(kind="page", app_id="1", page=state.form(form).page)
    return export_leads(state, caller, {"id": state.form(form).form_id, "type": "form"}).encode()


def at_meta(state: State, form: int) -> list[Told]:
    """Newest first, as a file has them, without what a file has no column for."""
    questions = {question["key"] for question in state.form(form).questions}
    leads = []
    for n in reversed(range(LEADS)):
        answer = full_answer(state.lead(form, n), seed=1)
        answered = [*map(dict, answer["field_data"])]  # type: ignore[call-overload]  # JSON
        leads.append(
            {name: value for name, value in answer.items() if name not in {*NOT_IN_A_FILE, "field_data"}}
            | {"field_data": _without_empty(answered, questions)}
        )
    return leads


def _without_empty(answered: list[Told], questions: set[str]) -> dict[str, object]:
    told = {str(item["name"]): item.get("values") for item in answered if item["name"] in questions}
    return {name: values for name, values in told.items() if values and any(values)}  # type: ignore[arg-type]  # JSON


def in_file(state: State, form: int, content: bytes) -> list[Told]:
    asked = asked_of(json.loads(json.dumps(state.form(form).node)))
    leads = []
    for row in read_export(content[at : at + 1000] for at in range(0, len(content), 1000)):
        assert isinstance(row, Row)
        told = json.loads(answer_of(row, asked))
        told["field_data"] = {item["name"]: item["values"] for item in told["field_data"]}
        told.pop("export")
        leads.append(told)
    return leads


@pytest.mark.parametrize("style", ["endpoint", "ads_manager", "ads_manager_csv"])
@pytest.mark.parametrize("form", FORMS)
def test_a_file_holds_the_leads_that_the_api_answers(state: State, style: Style, form: int) -> None:
    found = in_file(state, form, made_by(state, form, style))
    expected = at_meta(state, form)
    assert [lead["id"] for lead in found] == [lead["id"] for lead in expected]
    assert [*starmap(differences, zip(found, expected, strict=True))] == [{}] * LEADS


def differences(found: Told, expected: Told) -> Told:
    """Fields that are not alike; several answers that are no options' keys may stand as the one text of a cell."""
    odd: Told = {name: (found.get(name), expected.get(name)) for name in {*found, *expected} - {"field_data"}}
    odd = {name: pair for name, pair in odd.items() if pair[0] != pair[1]}  # type: ignore[index]  # a pair
    answered, meant = found["field_data"], expected["field_data"]
    assert isinstance(answered, dict)
    assert isinstance(meant, dict)
    for key in {*answered, *meant}:
        if answered.get(key) not in (meant.get(key), [SEVERAL.join(meant.get(key) or ())]):
            odd[key] = (answered.get(key), meant.get(key))
    return odd
