"""What a signed delivery becomes: one record for each change, byte for byte."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.webhook import Delivery, FlatLead, Unreadable, read
from ingest.records import DEAD, OTHER, RAW, UPDATES, Record, header

LEAD = 55459717045641545


def deliver(body: object) -> Delivery:
    """As Meta writes it: without spaces."""
    return reading(json.dumps(body, separators=(",", ":")).encode())


def reading(body: bytes) -> Delivery:
    return read(body, delivery="d1", received_at=1728000000123)


def page(*changes: object, **more: object) -> dict[str, object]:
    return {"object": "page", "entry": [entry(*changes) | more]}


def entry(*changes: object) -> dict[str, object]:
    return {"id": "153125381133", "time": 1728000001, "changes": list(changes)}


def leadgen(**value: object) -> dict[str, object]:
    return {"field": "leadgen", "value": {"leadgen_id": LEAD, "page_id": 153125381133, "form_id": 7} | value}


def placed(delivery: Delivery) -> list[tuple[str, bytes | None]]:
    return [(record.topic, record.key) for record in delivery.records]


def only(delivery: Delivery) -> Record:
    (record,) = delivery.records
    return record


def values(delivery: Delivery) -> list[Any]:
    return [json.loads(record.value or b"") for record in delivery.records]


# What Meta and those who captured its traffic show.
DOCUMENTED = b"""{"object":"page","entry":[{"id":153125381133,"time":1438292065,"changes":[{"field":"leadgen","value":
  {"leadgen_id":123123123123,"page_id":123123123,"form_id":12312312312,"adgroup_id":12312312312,"ad_id":12312312312,
  "created_time":1440120384}}]}]}"""
DELIVERED_IN_2017 = (
    b'{"object":"page","entry":[{"id":"153125381133","time":1500000000,"changes":[{"field":"leadgen",'
    b'"value":{"ad_id":0,"form_id":1234567890,"leadgen_id":55459717045641545,"created_time":1500000000,'
    b'"page_id":153125381133,"adgroup_id":0}}]}]}'
)
DASHBOARD_SAMPLE = (
    b'{"entry":[{"id":"0","time":1728000000,"changes":['
    b'{"field":"leadgen","value":{"ad_id":"444444444","form_id":"444444444444","leadgen_id":"444444444444",'
    b'"created_time":1728000000,"page_id":"444444444444","adgroup_id":"44444444444"}},'
    b'{"field":"leadgen","value":{"ad_id":"444444444","form_id":"444444444444","leadgen_id":"444444444444",'
    b'"created_time":1728000000,"page_id":"444444444444","adgroup_id":"44444444444"}}]}],"object":"page"}'
)
UPDATE_SAMPLE = (
    b'{"entry":[{"id":0,"time":1773000000,"changes":[{"field":"leadgen_update","value":{"leadgen_id":444444444444,'
    b'"page_id":444444444444,"form_id":444444444444,"ad_id":444444444444,"adgroup_id":44444444444,'
    b'"updated_time":"1773000000","area":"ai_agent_updates","event":"qualification_status_change",'
    b'"updated_fields":["qualification_details","qualification_status"]}}]}],"object":"page"}'
)


def test_the_documented_example_is_a_lead_of_the_page_that_its_value_names() -> None:
    assert placed(reading(DOCUMENTED)) == [(RAW, b"123123123")]


def test_an_ad_id_of_zero_is_still_a_lead() -> None:
    assert placed(reading(DELIVERED_IN_2017)) == [(RAW, b"153125381133")]


def test_the_dashboards_sample_is_on_raw_like_any_lead_and_counted() -> None:
    """Twice the same lead in one POST: each change is a record."""
    sample = reading(DASHBOARD_SAMPLE)
    assert placed(sample) == [(RAW, b"444444444444")] * 2
    assert sample.samples == 2


def test_an_update_is_no_new_lead() -> None:
    assert placed(reading(UPDATE_SAMPLE)) == [(UPDATES, b"444444444444")]
    assert reading(UPDATE_SAMPLE).samples == 0


def test_a_record_says_where_it_comes_from() -> None:
    said = only(deliver(page(leadgen()))).headers
    assert said == (
        ("source", b"webhook"),
        ("delivery", b"d1"),
        ("received-at", b"1728000000123"),
        ("entry-id", b"153125381133"),
        ("entry-time", b"1728000001"),
    )


@pytest.mark.parametrize("nonsense", [None, 1.5, True, "soon", {}, -1])
def test_an_entry_whose_id_and_time_are_nonsense_costs_no_lead(nonsense: object) -> None:
    record = only(deliver(page(leadgen(), id=nonsense, time=nonsense)))
    assert (record.topic, record.key) == (RAW, b"153125381133")
    assert header(record.headers, "entry-id") is None
    assert header(record.headers, "entry-time") is None


def test_a_change_that_names_no_page_is_of_its_entrys() -> None:
    assert placed(deliver(page({"field": "leadgen", "value": {"leadgen_id": "1"}}))) == [(RAW, b"153125381133")]


@pytest.mark.parametrize("lead", [LEAD, str(LEAD), "0055459717045641545"])
@pytest.mark.parametrize("of", [153125381133, "153125381133", None, 0])
def test_an_unusual_change_beside_usual_ones_changes_nothing_for_them(lead: object, of: object) -> None:
    """Deliveries of nothing but leads take a shorter way."""
    leads = page(leadgen(leadgen_id=lead, page_id=of), leadgen(leadgen_id=1))
    other = page(leadgen(leadgen_id=lead, page_id=of), leadgen(leadgen_id=1), {"field": "feed"})
    usual, beside = deliver(leads).records, deliver(other).records
    assert usual == beside[:-1]
    assert placed(deliver(leads)) == [(RAW, b"153125381133")] * 2
    assert usual[0].headers == beside[-1].headers


@pytest.mark.parametrize("then", ["1", 1, 1.0, True, "01", "0", 0, "", None, "2", 2])
@pytest.mark.parametrize("first", ["1", 1, True, None])
@pytest.mark.parametrize("apart", [True, False])
def test_pages_that_look_alike_are_not_taken_for_one_another(first: object, then: object, apart: bool) -> None:
    """The shorter way reads a page once for all its leads; a change of another kind makes it the longer one."""
    leads = [leadgen(page_id=first), leadgen(page_id=then)]
    entries = [entry(lead) for lead in leads] if apart else [entry(*leads)]
    usual = deliver({"object": "page", "entry": entries}).records
    beside = deliver({"object": "page", "entry": [*entries, entry({"field": "feed"})]}).records
    assert usual == beside[:-1]


@pytest.mark.parametrize(
    ("plain", "sent"),
    [
        ('"field":"leadgen"', '"field":"leadgen","field":"leadgen"'),
        ('"field":"leadgen"', '"field": "leadgen"'),
        ('"field":"leadgen"', '"field":"lead\\u0067en"'),
        ('"leadgen_id":', '"created_time":1.0e1,"leadgen_id":'),
        ('"leadgen_id":', '"created_time":36893488147419103232,"leadgen_id":'),
    ],
)
def test_what_would_be_written_otherwise_is_kept_as_it_was_signed(plain: str, sent: str) -> None:
    whole = json.dumps(page(leadgen(leadgen_id="1")), separators=(",", ":"))
    change = json.dumps(leadgen(leadgen_id="1"), separators=(",", ":"))
    assert change in whole
    [record] = reading(whole.replace(plain, sent).encode()).records
    assert (record.topic, record.value) == (RAW, change.replace(plain, sent).encode())


def test_pages_that_share_a_post_are_told_apart() -> None:
    body = {
        "object": "page",
        "entry": [
            {"id": str(number), "time": number, "changes": [leadgen(page_id=number), leadgen(page_id=number)]}
            for number in range(1, 4)
        ],
    }
    assert placed(deliver(body)) == [(RAW, str(number).encode()) for number in (1, 1, 2, 2, 3, 3)]


@pytest.mark.parametrize(
    "change",
    [
        {"field": "leadgen_fat", "value": {"leadgen_id": LEAD, "field_data": []}},
        {"field": "feed", "value": "text"},
        {"field": "Leadgen", "value": {"leadgen_id": LEAD}},
        {"field": ["leadgen"]},
        {"value": {"leadgen_id": LEAD}},
        {},
    ],
)
def test_a_field_we_do_not_read_is_kept_unread(change: object) -> None:
    delivery = deliver(page(change))
    assert placed(delivery) == [(OTHER, b"153125381133")]
    assert values(delivery) == [change]


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "5", "time": 1728000000123, "messaging": [{"sender": {"id": "1"}}]},
        {"id": "5", "time": 1},
        {"id": 5, "standby": []},
    ],
)
def test_an_entry_without_changes_is_kept_whole(entry: object) -> None:
    delivery = deliver({"object": "page", "entry": [entry]})
    assert placed(delivery) == [(OTHER, b"5")]
    assert values(delivery) == [entry]
    assert delivery.values_switched_off == 0


def test_values_that_are_switched_off_are_noticed() -> None:
    entry = {"id": "5", "time": 1, "changed_fields": ["leadgen"]}
    delivery = deliver({"object": "page", "entry": [entry, entry]})
    assert placed(delivery) == [(OTHER, b"5")] * 2
    assert delivery.values_switched_off == 2


def test_what_an_entry_says_beside_its_changes_is_not_dropped() -> None:
    delivery = deliver(page(leadgen(), messaging=[{"text": "hello"}]))
    assert [topic for topic, _ in placed(delivery)] == [OTHER, RAW]
    assert values(delivery)[0]["messaging"] == [{"text": "hello"}]


@pytest.mark.parametrize("other", ["instagram", "user", "Page", 1, None])
def test_an_object_that_is_no_page_is_kept_by_entry(other: object) -> None:
    """A lead id there is not one that a page's token can fetch."""
    body = page(leadgen(), leadgen()) | {"object": other}
    assert placed(deliver(body)) == [(OTHER, b"153125381133")]


BAD_CHANGES: list[tuple[object, str]] = [
    (5, "change-not-an-object"),
    (None, "change-not-an-object"),
    ("leadgen", "change-not-an-object"),
    ([], "change-not-an-object"),
    ({"field": "leadgen"}, "value-not-an-object"),
    ({"field": "leadgen", "value": []}, "value-not-an-object"),
    ({"field": "leadgen", "value": {}}, "lead-id-missing"),
    (leadgen(leadgen_id=0), "lead-id-missing"),
    (leadgen(leadgen_id=5.5459717045641545e16), "lead-id-not-an-id"),
    (leadgen(leadgen_id=True), "lead-id-not-an-id"),
    (leadgen(leadgen_id="x"), "lead-id-not-an-id"),
    (leadgen(page_id=1.0), "page-id-not-an-id"),
    ({"field": "leadgen_update", "value": {}}, "lead-id-missing"),
    ({"field": "leadgen_update"}, "value-not-an-object"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_CHANGES)
def test_a_bad_change_is_a_dead_letter_and_costs_its_siblings_nothing(bad: object, reason: str) -> None:
    delivery = deliver(page(leadgen(), bad, leadgen()))
    assert [topic for topic, _ in placed(delivery)] == [RAW, DEAD, RAW]
    assert delivery.dead == [reason]
    dead = delivery.records[1]
    assert json.loads(dead.value or b"") == bad
    assert header(dead.headers, "stage") == header(dead.headers, "__connect.errors.stage") == "ingest"
    assert header(dead.headers, "fate-reason") == reason
    assert header(dead.headers, "delivery") == "d1"
    assert header(dead.headers, "entry-id") == "153125381133"


def test_a_lead_of_no_page_is_a_dead_letter() -> None:
    delivery = deliver(page({"field": "leadgen", "value": {"leadgen_id": "1"}}, id="0"))
    assert delivery.dead == ["page-id-missing"]
    assert placed(delivery) == [(DEAD, None)]


@pytest.mark.parametrize("entry", [5, None, "x", [{"field": "leadgen"}]])
def test_a_bad_entry_is_a_dead_letter_and_costs_its_siblings_nothing(entry: object) -> None:
    good = {"id": "153125381133", "changes": [leadgen()]}
    delivery = deliver({"object": "page", "entry": [entry, good]})
    assert delivery.dead == ["entry-not-an-object"]
    assert values(delivery)[0] == entry
    assert placed(delivery)[1:] == [(RAW, b"153125381133")]


@pytest.mark.parametrize("changes", [None, {}, "x", 5])
def test_changes_that_are_no_list_are_a_dead_letter(changes: object) -> None:
    delivery = deliver(page(changes=changes))
    assert delivery.dead == ["changes-not-a-list"]
    assert values(delivery)[0]["changes"] == changes


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        pytest.param(r'{ "value" : {"leadgen_id":1 , "page_id":2} , "field":"leadgen" }', RAW, id="spaces"),
        pytest.param(r'{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":"\u00e4\/"}}', RAW, id="escapes"),
        pytest.param(r'{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":"\ud800"}}', RAW, id="surrogate"),
        pytest.param(r'{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":1.10}}', RAW, id="float"),
        pytest.param(r'{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":1e999}}', RAW, id="infinity"),
        pytest.param(r'{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":1,"x":2}}', RAW, id="twice"),
        pytest.param(
            r'{"field":"leadgen","value":{"leadgen_id":18446744073709551617,"page_id":2}}', RAW, id="beyond 64 bits"
        ),
        pytest.param(
            '{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":' + "7" * 5000 + "}}", RAW, id="5000 digits"
        ),
        pytest.param(r'{"field":"leadgen","value":{"leadgen_id":5.5459717045641545e16}}', DEAD, id="float id"),
        pytest.param(r'"a\u0062c"', DEAD, id="no object"),
    ],
)
def test_a_change_is_kept_byte_for_byte(text: str, topic: str) -> None:
    """Also what a JSON library would lose when it reads and writes: it is cut out of what was signed."""
    body = '{"object":"page","entry":[{"id":"2","time":1,"changes":[%s,{"field":"about"}]}]}' % text  # noqa: UP031  braces
    delivery = reading(body.encode())
    assert [(record.topic, record.value) for record in delivery.records] == [
        (topic, text.encode()),
        (OTHER, b'{"field":"about"}'),
    ]


def test_bytes_that_are_no_text_of_their_own_are_kept_too() -> None:
    """A surrogate in UTF-8: Python's json takes it, and so does this."""
    change = b'{"field":"leadgen","value":{"leadgen_id":1,"page_id":2,"x":"\xed\xa0\x80"}}'
    assert only(reading(b'{"object":"page","entry":[{"changes":[' + change + b"]}]}")).value == change


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not-json"),
        (b" ", "not-json"),
        (b"hub.mode=subscribe", "not-json"),
        (b'{"object":"page","entry":[', "not-json"),
        (b'{"object":"page","entry":[]', "not-json"),
        (b'{"object":"page","entry":[]}}', "not-json"),
        (b'{"object":"page","entry":[{}],}', "not-json"),
        (b'{"object":"page","entry":[{},]}', "not-json"),
        (b'{"object":"page" "entry":[]}', "not-json"),
        (b'{"object":"page",entry:[]}', "not-json"),
        (b'{"object":"page","entry":[{"changes":[{"field":"about","value":NaN}]}]}', "not-json"),
        (b'{"object":"page","entry":[{"changes":[{"field":"about","value":-Infinity}]}]}', "not-json"),
        (b'{"object":"page","entry":[],"entry":[{}]}', "not-json"),
        (b'{"object":"page","entry":["\xff"]}', "not-json"),
        (b"\xef\xbb\xbf{}", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b'{"object":"page","entry":[' + b"[" * 5000 + b"]" * 5000 + b"]}", "not-json"),
        (b"null", "not-an-object"),
        (b"[]", "not-an-object"),
        (b"[ ]", "not-an-object"),
        (b'{"object":"page"}', "no-entries"),
        (b'{ "object":"page","entry":{} }', "no-entries"),
        (b'{"object":"page","entry":{}}', "no-entries"),
        (b"{}", "no-entries"),
    ],
)
def test_what_is_no_delivery_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as refused:
        reading(body)
    assert str(refused.value) == reason


def test_the_crm_setups_flat_lead_is_refused_by_name() -> None:
    with pytest.raises(FlatLead):
        deliver({"facebook_lead_id": ["1"], "created_time": ["02/01/2025 10:20"], "email": ["planted@example.com"]})


def test_a_delivery_of_nothing_is_nothing() -> None:
    assert deliver({"object": "page", "entry": []}) == Delivery()
    assert deliver(page()) == Delivery()


keys = (
    st.sampled_from(["object", "entry", "changes", "field", "value", "leadgen_id", "page_id", "id", "time"]) | st.text()
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None))
    | st.sampled_from(["leadgen", "leadgen_update", "page", "0"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
changes = (
    st.fixed_dictionaries(
        {"field": st.sampled_from(["leadgen", "leadgen_update", "about"])},
        optional={"value": st.dictionaries(keys, anything, max_size=5), "more": anything},
    )
    | anything
)
entries = st.fixed_dictionaries({"changes": st.lists(changes, max_size=5)}, optional={"id": scalars, "time": scalars})
bodies = st.fixed_dictionaries({"object": st.just("page"), "entry": st.lists(entries, max_size=4)})
layouts = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")])


@given(bodies, layouts)
def test_every_change_that_comes_in_is_one_record_in_its_order(body: dict[str, Any], layout: tuple[str, str]) -> None:
    delivery = reading(json.dumps(body, separators=layout).encode())
    sent = [change for entry in body["entry"] for change in entry["changes"]]
    assert values(delivery) == sent
    assert [record.value for record in delivery.records] == [
        json.dumps(change, separators=layout).encode() for change in sent
    ]


@given(st.lists(st.integers(2**53, 2**63), min_size=1), st.booleans())
def test_ids_beyond_what_a_double_holds_survive(ids: list[int], as_text: bool) -> None:
    sent = [str(number) if as_text else number for number in ids]
    delivery = deliver(page(*(leadgen(page_id=number, leadgen_id=number) for number in sent)))
    assert placed(delivery) == [(RAW, str(number).encode()) for number in ids]


@given(anything, layouts, st.booleans())
def test_any_json_is_records_or_refused_by_name(value: object, layout: tuple[str, str], escaped: bool) -> None:
    text = json.dumps(value, separators=layout, ensure_ascii=escaped)
    refused_or_read(text.encode("utf-8", "surrogatepass"))


@given(st.binary())
def test_any_bytes_are_refused_by_name(body: bytes) -> None:
    refused_or_read(body)


@given(bodies, st.data())
def test_a_delivery_cut_short_is_refused(body: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps(body).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Unreadable):
        reading(whole[:cut])


def refused_or_read(body: bytes) -> None:
    try:
        delivery = reading(body)
    except (Unreadable, FlatLead):
        return
    assert Counter(record.topic for record in delivery.records)[DEAD] == len(delivery.dead)
