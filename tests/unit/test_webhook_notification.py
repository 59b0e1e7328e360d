"""What one change says of a lead."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.notification import BadChange, NotAnId, Notification, coerce_id, is_sample, opened

LEAD = 55459717045641545  # beyond 2^53: a double would say ...544
VALUE: dict[str, Any] = {
    "created_time": 1528214400,
    "leadgen_id": LEAD,
    "page_id": 153125381133,
    "form_id": 1234567890123456,
    "ad_id": 0,
    "adgroup_id": "0",
}


def read(value: object, page_id: str | None = None) -> Notification:
    return Notification.read(json.dumps({"field": "leadgen", "value": value}).encode(), page_id=page_id)


def reason(change: bytes, page_id: str | None = None) -> str:
    with pytest.raises(BadChange) as bad:
        Notification.read(change, page_id=page_id)
    return bad.value.reason


def test_a_notification_is_read() -> None:
    assert read(VALUE) == Notification(
        lead_id="55459717045641545",
        page_id="153125381133",
        form_id="1234567890123456",
        ad_id=None,
        adgroup_id=None,
        created_time=1528214400,
        sample=False,
        value=json.dumps(VALUE),
    )


def test_ids_that_are_text_are_the_same_ids() -> None:
    as_text = {name: str(value) for name, value in VALUE.items()}
    assert read(as_text).lead_id == read(VALUE).lead_id
    assert read(as_text).created_time == read(VALUE).created_time


def test_the_value_keeps_the_text_that_meta_sent() -> None:
    r"""Whitespace, escapes, order, unknown keys, and a number that no double holds."""
    text = r'{ "new_key":{"a":[1.10, 20000000000000000000001]}, "page_id":1,"x":"\u00e4\/\ud800", "leadgen_id":"2"}'
    assert Notification.read(f'{{"value": {text} , "field":"leadgen"}}'.encode()).value == text


@pytest.mark.parametrize(
    "change",
    [
        '{"field":"leadgen","value":%s}',
        '{"value":%s,"field":"leadgen"}',
        '{ "value" : %s , "field" : "leadgen" }',
        ' {"x":1,"field":"leadgen","value":%s}',
    ],
)
def test_a_change_says_the_same_however_it_is_laid_out(change: str) -> None:
    text = '{"page_id":1, "leadgen_id":2,"x":"}"}'
    assert opened((change % text).encode()) == ("leadgen", {"page_id": 1, "leadgen_id": 2, "x": "}"}, text)


@pytest.mark.parametrize(
    "change",
    [
        b'{"field":"leadgen","value":{"leadgen_id":1,"page_id":1},"value":{"leadgen_id":2,"page_id":1}}',
        b'{"value":{"leadgen_id":1,"page_id":1},"value":{"leadgen_id":2,"page_id":1},"field":"leadgen"}',
        b'{"value":{"leadgen_id":1,"page_id":1}}{"value":{},"field":"leadgen"}',
        b'{"field":"leadgen","value":{"leadgen_id":1,"page_id":1}}{}',
    ],
)
def test_of_two_values_none_is_chosen(change: bytes) -> None:
    with pytest.raises(BadChange) as raised:
        opened(change)
    assert raised.value.reason == "not-json"


def test_a_change_that_names_no_page_is_of_the_page_it_came_under() -> None:
    assert read({"leadgen_id": "2"}, page_id="1").page_id == "1"


def test_the_page_that_a_change_names_counts_before_the_one_it_came_under() -> None:
    assert read(VALUE, page_id="1").page_id == "153125381133"


@pytest.mark.parametrize("name", ["form_id", "ad_id", "adgroup_id", "created_time"])
@pytest.mark.parametrize("nothing", [None, "", 0, "0", True, 1.5, "x", [], -1, 10**70])
def test_what_a_lead_can_do_without_does_not_cost_it(name: str, nothing: object) -> None:
    assert getattr(read(VALUE | {name: nothing}), name) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"\xff", "not-json"),
        (b'{"value":{"leadgen_id":1,"page_id":NaN}}', "not-json"),
        (b'{"value":{"leadgen_id":1,"page_id":1},\x0b"field":"leadgen"}', "not-json"),
        (b"[]", "change-not-an-object"),
        (b"{}", "value-not-an-object"),
        (b'{"value":null}', "value-not-an-object"),
        (b'{"value":[{"leadgen_id":1}]}', "value-not-an-object"),
        (b'{"value":{}}', "lead-id-missing"),
        (b'{"value":{"leadgen_id":0,"page_id":1}}', "lead-id-missing"),
        (b'{"value":{"leadgen_id":5.5459717045641545e16,"page_id":1}}', "lead-id-not-an-id"),
        (b'{"value":{"leadgen_id":true,"page_id":1}}', "lead-id-not-an-id"),
        (b'{"value":{"leadgen_id":"me/accounts","page_id":1}}', "lead-id-not-an-id"),
        (b'{"value":{"leadgen_id":1}}', "page-id-missing"),
        (b'{"value":{"leadgen_id":1,"page_id":1.0}}', "page-id-not-an-id"),
    ],
)
def test_a_change_that_is_no_lead_is_named(change: bytes, expected: str) -> None:
    assert reason(change) == expected


@pytest.mark.parametrize("lead", [444444444444, "444444444444"])
def test_the_dashboards_sample_lead_is_recognised(lead: object) -> None:
    assert is_sample({"leadgen_id": lead})
    assert read(VALUE | {"leadgen_id": lead}).sample


@pytest.mark.parametrize("lead", [LEAD, "4444444444444", 44444444444, None, [], {}])
def test_another_lead_is_no_sample(lead: object) -> None:
    assert not is_sample({"leadgen_id": lead})


@pytest.mark.parametrize("nothing", [None, 0, "0", "", "00"])
def test_what_means_no_id_is_none(nothing: object) -> None:
    assert coerce_id(nothing) is None


@pytest.mark.parametrize("value", [True, False, 0.0, 1.0, 5.5e16, -1, "-1", "1.0", " 1", "1 ", "x", "²", "१", [], {}])
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(NotAnId):
        coerce_id(value)


@given(st.integers(1, 10**64 - 1))
def test_an_id_is_the_same_sent_as_a_number_or_as_text(number: int) -> None:
    assert coerce_id(number) == coerce_id(str(number)) == str(number)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(anything)
def test_any_value_is_an_id_or_none_or_refused_by_name(value: object) -> None:
    try:
        found = coerce_id(value)
    except NotAnId:
        return
    assert found is None or found.isdigit()


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_notification_or_refused_by_name(change: bytes) -> None:
    try:
        Notification.read(change)
    except BadChange:
        return
    raise AssertionError("nothing here names a lead")
