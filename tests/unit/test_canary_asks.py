"""A form's test lead: how it is asked for, made and deleted, and how Meta's answers are read."""

import json
from collections.abc import Callable

import pytest

from ingest.meta.errors import BadAsk, GraphError, Unavailable
from ingest.meta.graph import Answer, Ask, Json, read_answer
from ingest.meta.graph.test_leads import (
    TestLead,
    ask_test_leads,
    ask_to_delete_lead,
    ask_to_make_test_lead,
    read_made,
    read_test_leads,
)


def answer(said: object) -> Answer:
    return read_answer(200, {}, json.dumps(said).encode())


def test_it_is_listed_made_and_deleted() -> None:
    fields = (("fields", "id,created_time,field_data"),)
    assert ask_test_leads("12") == Ask(path="12/test_leads", params=fields, about=None)
    assert ask_to_make_test_lead("12") == Ask(method="POST", path="12/test_leads", about=None)
    assert ask_to_delete_lead("34") == Ask(method="DELETE", path="34", about=None)


@pytest.mark.parametrize("ask", [ask_test_leads, ask_to_make_test_lead, ask_to_delete_lead])
@pytest.mark.parametrize("wrong", ["", "me", "1/leads", "1?fields=id", "²"])
def test_what_is_no_id_never_becomes_a_path(ask: Callable[[str], Ask], wrong: str) -> None:
    with pytest.raises(BadAsk):
        ask(wrong)


def test_those_there_are_are_read_whatever_shape_their_answers_have() -> None:
    data: list[Json] = [{"name": "email", "values": ["test@meta.com"]}]
    listed = [
        {"id": "55459717045641545", "created_time": "2026-11-24T08:49:14+0000", "field_data": data},
        {"id": 7, "created_time": "yesterday", "field_data": "none"},
    ]
    assert read_test_leads(answer({"data": listed})) == (
        TestLead(lead_id="55459717045641545", created_at=1_795_510_154, field_data=tuple(data)),
        TestLead(lead_id="7", created_at=None, field_data=()),
    )
    assert read_test_leads(answer({"data": []})) == ()


def test_a_test_lead_never_shows_its_answers() -> None:
    lead = TestLead(lead_id="7", created_at=None, field_data=("secret",))
    assert "secret" not in repr(lead)


def test_the_one_that_was_made_is_known_by_its_id() -> None:
    assert read_made(answer({"id": "55459717045641545"})) == "55459717045641545"


@pytest.mark.parametrize("said", [{}, {"id": None}, {"id": "new"}, {"id": ""}, {"success": True}])
def test_an_answer_without_an_id_is_none(said: object) -> None:
    for read, shape in ((read_made, said), (read_test_leads, {"data": [said]})):
        with pytest.raises(GraphError) as raised:
            read(answer(shape))
        assert type(raised.value) is Unavailable
