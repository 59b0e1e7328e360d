"""What is asked of a form's leads, and that each lead of the answer is had in the text it was sent as."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.errors import BadAsk, Unavailable
from ingest.meta.graph import Answer, Json, Usage
from ingest.meta.graph.bulk import ask_counted_forms, ask_leads, read_counted_form, read_leads
from ingest.meta.graph.text import parse

FORM = "616180339887499"


def answered(body: str) -> Answer:
    parsed = parse(body)
    assert isinstance(parsed, dict)
    return Answer(body=body, parsed=parsed, version="v25.0", usage=Usage())


def test_leads_are_asked_for_by_cursor_with_a_filter_in_seconds() -> None:
    ask = ask_leads(FORM, fields=("id", "created_time"), since=1_790_000_000, until=1_790_000_100, limit=7, after="c1")
    asked = dict(ask.params)
    assert ask.path == f"{FORM}/leads"
    assert json.loads(asked.pop("filtering")) == [
        {"field": "time_created", "operator": "GREATER_THAN", "value": 1_789_999_999},
        {"field": "time_created", "operator": "LESS_THAN", "value": 1_790_000_100},
    ]
    assert asked == {"fields": "id,created_time", "limit": "7", "after": "c1"}


def test_all_leads_are_asked_for_without_a_filter() -> None:
    ask = ask_leads(FORM, fields=("id",), since=None, until=None, limit=7, after=None)
    assert dict(ask.params) == {"fields": "id", "limit": "7"}


def test_what_is_no_id_is_not_asked_for() -> None:
    with pytest.raises(BadAsk):
        ask_leads("me/accounts?x=", fields=("id",), since=None, until=None, limit=1, after=None)


def test_a_lead_keeps_every_letter_of_its_text() -> None:
    texts = (
        r'{ "id":"1",  "created_time":"2026-11-24T08:00:00+0000", "n": 12345678901234567890.5, "e":"\ud83d\/\u00e4" }',
        '{"created_time":1790000000,"id":55459717045641545,"a":[1.0,1e2],"a":null}',
    )
    page = read_leads(answered('{"data": [' + " , ".join(texts) + '] , "paging":{"cursors":{"after":"x"}}}'))
    assert [lead.text for lead in page.leads] == list(texts)
    assert [lead.lead_id for lead in page.leads] == ["1", "55459717045641545"]
    assert [lead.created_time for lead in page.leads] == [1_795_507_200, 1_790_000_000]
    assert page.after is None, "a cursor without a next page leads nowhere"


def test_only_the_cursor_of_the_next_page_is_read() -> None:
    paging = {"cursors": {"after": "c9"}, "next": "https://graph.example/x?access_token=SECRET"}
    page = read_leads(answered(json.dumps({"data": [], "paging": paging})))
    assert page.after == "c9"
    assert "SECRET" not in repr(page)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    leads=st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
def test_texts_and_what_they_say_belong_together(
    leads: list[dict[str, Json]], indent: int | None, ascii_only: bool
) -> None:
    nodes = [lead | {"id": str(1 + number), "created_time": 1 + number} for number, lead in enumerate(leads)]
    body = json.dumps({"data": nodes}, indent=indent, ensure_ascii=ascii_only)
    page = read_leads(answered(body))
    assert [json.loads(lead.text) for lead in page.leads] == [lead.parsed for lead in page.leads] == nodes
    assert all(lead.text in body for lead in page.leads)


@pytest.mark.parametrize(
    "node",
    [
        {"created_time": "2026-11-24T08:00:00+0000"},
        {"id": "1"},
        {"id": "1", "created_time": "yesterday"},
        {"id": "1", "created_time": "2026-11-24T08:00:00"},
        {"id": "1", "created_time": True},
        {"id": {}, "created_time": 1},
    ],
)
def test_an_element_without_an_id_or_a_time_is_counted_and_costs_no_other(node: dict[str, Json]) -> None:
    good: dict[str, Json] = {"id": "2", "created_time": 1}
    page = read_leads(answered(json.dumps({"data": [node, good]})))
    assert ([lead.lead_id for lead in page.leads], page.unreadable) == (["2"], 1)


@pytest.mark.parametrize("body", ['{"data": {}}', '{"data": [1]}', '{"data": [], "data": []}', "{}"])
def test_what_is_no_page_of_leads_is_asked_for_again(body: str) -> None:
    with pytest.raises(Unavailable):
        read_leads(answered(body))


def test_forms_are_listed_with_their_counters() -> None:
    asked = dict(ask_counted_forms("104880339887499", "c1", limit=50).params)
    assert {"leads_count", "organic_leads_count", "expired_leads_count"} <= set(asked["fields"].split(","))
    assert (asked["limit"], asked["after"]) == ("50", "c1")


def test_counters_that_meta_leaves_out_are_not_zero() -> None:
    form = read_counted_form({"id": FORM, "leads_count": 12, "expired_leads_count": 3})
    assert form is not None
    assert (form.readable, form.organic) == (9, None)
    silent = read_counted_form({"id": FORM, "leads_count": "12"})
    assert silent is not None
    assert silent.readable is None
    assert read_counted_form({"name": "no id"}) is None
