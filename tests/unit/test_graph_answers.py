"""Reading whatever comes back: an answer kept as it was, or one of our errors and nothing else."""

import json
import traceback
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.meta.errors import (
    AccessLost,
    GraphError,
    Missing,
    OverBudget,
    Unavailable,
)
from ingest.meta.graph import Answer, Ask, Json, ask_lead, read_answer, read_batch, read_page

LEAD = '{ "id" : "55459717045641545","field_data":[{"name":"\\u00e4","values":["ä"]}]}'


def test_a_lead_is_kept_exactly_as_meta_wrote_it() -> None:
    answer = read_answer(200, {"Facebook-API-Version": "v25.0"}, LEAD.encode(), about="55459717045641545")

    assert answer.body.encode() == LEAD.encode()
    assert answer.parsed["id"] == "55459717045641545"
    assert answer.version == "v25.0"


def test_an_integer_id_above_2_to_the_53_stays_exact() -> None:
    answer = read_answer(
        200, {}, b'{"id":55459717045641545,"ad_id":123456789012345678901234567890}', about="55459717045641545"
    )

    assert answer.parsed["ad_id"] == 123456789012345678901234567890


def test_an_answer_never_shows_what_a_person_answered() -> None:
    assert "ä" not in repr(read_answer(200, {}, LEAD.encode()))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"", "empty"),
        (200, b"  \n", "empty"),
        (200, b"Service Unavailable", "not-json"),
        (200, b"<html><body>Sorry, something went wrong.</body></html>", "not-json"),
        (200, LEAD.encode()[:-30], "not-json"),
        (200, LEAD.encode() + b"}", "not-json"),
        (200, b'{"id":NaN}', "not-json"),
        (200, b'{"id":1e999}', "not-json"),
        (200, b"[" * 100_000, "not-json"),
        (200, b"null", "not-json"),
        (200, b'{"id":"\xff"}', "not-utf8"),
        (200, LEAD.encode("utf-16"), "not-utf8"),
        (200, b'"Service Unavailable"', "not-an-object"),
        (200, b'{"Service Unavailable":1}', "not-an-object"),
        (200, b"[]", "not-an-object"),
        (200, b"true", "not-an-object"),
        (200, b'{"error":"unknown"}', "not-an-object"),
        (200, b"{}", "another-object"),
        (200, b'{"id":"2"}', "another-object"),
        (200, b'{"id":null}', "another-object"),
        (404, b"<html>no such page</html>", "not-json"),
        (403, b'{"denied":"by a proxy"}', "no-envelope"),
        (302, b"{}", "no-envelope"),
        (500, b"", "server-error"),
        (502, b"<html>Bad Gateway</html>", "server-error"),
        (503, b'{"id":"1"}', "server-error"),
        (400, b'{"error":{}}', "unknown-code"),
        (400, b'{"error":{"message":"without a code"}}', "unknown-code"),
    ],
)
def test_what_is_no_answer_is_unavailable(status: int, body: bytes, reason: str) -> None:
    with pytest.raises(Unavailable) as raised:
        read_answer(status, {}, body, about="1")

    assert raised.value.reason == reason
    assert raised.value.http_status == status


def test_a_person_may_answer_service_unavailable() -> None:
    """It is a failure as a key only: a value is somebody's words."""
    body = b'{"id":"1","field_data":[{"name":"why","values":["Service Unavailable"]}]}'

    assert read_answer(200, {}, body).body == body.decode()


def test_an_error_inside_a_200_is_an_error() -> None:
    with pytest.raises(AccessLost):
        read_answer(200, {}, b'{"error":{"code":190}}')


def test_what_follows_in_the_chain_of_an_error_holds_no_answer() -> None:
    """A JSON or UTF-8 decoder's exception carries the whole text; it must not become the context of ours."""
    for body in (b'{"id":"1","field_data":"planted', b'{"id":"planted\xff"}'):
        with pytest.raises(Unavailable) as raised:
            read_answer(200, {}, body)
        assert raised.value.__context__ is None
        assert "planted" not in "".join(traceback.format_exception(raised.value))


headers = st.dictionaries(
    st.sampled_from(
        [
            "X-App-Usage",
            "X-Page-Usage",
            "x-business-use-case-usage",
            "X-Ad-Account-Usage",
            "facebook-api-version",
            "Content-Type",
        ]
    ),
    st.one_of(
        st.text(),
        st.sampled_from(
            [
                '{"call_count":28,"total_time":25,"total_cputime":25}',
                '{"1":[{"type":"leadgen","call_count":100,"estimated_time_to_regain_access":5}]}',
                "[" * 5000,
                "v25.0",
            ]
        ),
    ),
)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "error_subcode", "id", "body", "headers", "data"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
bodies = st.binary() | json_values.map(lambda value: json.dumps(value).encode())


@given(st.integers(0, 999), headers, bodies)
@example(200, {}, b'{"error":' * 2000)
@example(200, {"x-app-usage": '{"call_count":1e400}'}, b'{"id":"1"}')
def test_any_answer_is_read_or_is_one_of_our_errors(status: int, told: Mapping[str, str], body: bytes) -> None:
    try:
        answer = read_answer(status, told, body)
    except GraphError:
        return
    assert answer.body.encode() == body


@given(st.integers(0, 999), headers, bodies, st.integers(1, 3))
def test_any_batch_is_read_or_is_one_of_our_errors(
    status: int, told: Mapping[str, str], body: bytes, size: int
) -> None:
    try:
        items = read_batch(status, told, body, [ask_lead("1")] * size)
    except GraphError:
        return
    assert len(items) == size


# Batches


def asks(*ids: str) -> list[Ask]:
    return [ask_lead(each) for each in ids]


def test_a_batch_is_read_in_the_order_it_was_asked() -> None:
    """What fails, fails for itself; what Meta left out is to be asked again; each body is kept as it was."""
    lead = '{"id" : "1", "field_data":[{"name":"\\u00e4","values":["\\/"]}]}'
    limited = {"error": {"message": "too many", "code": 80005}}
    body = [
        {"code": 200, "headers": [{"name": "facebook-api-version", "value": "v25.0"}], "body": lead},
        {"code": 400, "body": json.dumps({"error": {"code": 100, "error_subcode": 33}})},
        None,
        {
            "code": 400,
            "headers": [
                {
                    "name": "X-Business-Use-Case-Usage",
                    "value": '{"7":[{"type":"leadgen","call_count":101,"estimated_time_to_regain_access":2}]}',
                }
            ],
            "body": json.dumps(limited),
        },
    ]
    found, gone, left_out, over = read_batch(200, {}, json.dumps(body).encode(), asks("1", "2", "3", "4"))

    assert isinstance(found, Answer)
    assert (found.body, found.version) == (lead, "v25.0")
    assert isinstance(gone, Missing)
    assert isinstance(left_out, Unavailable)
    assert left_out.reason == "not-answered"
    assert isinstance(over, OverBudget)
    assert over.regain_after == 120.0


def test_an_item_that_is_no_unicode_costs_no_other_and_the_digits_of_a_long_id_stay() -> None:
    long = '{"id":"1","form_id":184467440737095516170}'
    items: list[Json] = [{"code": 200, "body": '{"id":"1","x":"\ud800"}'}, {"code": 200, "body": long}]
    [_, found] = read_batch(200, {}, json.dumps(items).encode(), asks("1", "1"))
    [_, same] = read_batch(200, {}, json.dumps([None, items[1]]).encode(), asks("1", "1"))

    assert isinstance(found, Answer)
    assert found.parsed["form_id"] == 184467440737095516170
    assert same == found


def test_headers_nested_a_thousand_deep_cost_no_item_its_answer() -> None:
    item = f'{{"code":200,"headers":{"[" * 1000}{"]" * 1000},"body":"{{\\"id\\":\\"1\\"}}"}}'
    found = read_batch(200, {}, f"[{item},{item}]".encode(), asks("1", "1"))
    assert [type(each) for each in found] == [Answer, Answer]


def test_an_item_says_itself_what_it_uses_up_and_its_batch_the_rest() -> None:
    told: list[Json] = [{"name": "X-App-Usage", "value": '{"call_count":7}'}, {"name": "Date", "value": "nonsense"}]
    items: list[Json] = [{"code": 200, "headers": told, "body": '{"id":"1"}'}, {"code": 200, "body": '{"id":"2"}'}]
    common = {"Date": "Mon, 30 Nov 2026 22:00:00 GMT", "facebook-api-version": "v25.0", "X-App-Usage": "{}"}
    first, second = read_batch(200, common, json.dumps(items).encode(), asks("1", "2"))

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.usage.app is not None
    assert (first.usage.app.calls, first.date, first.version) == (7.0, None, "v25.0")
    assert (second.usage.app, second.date) == (None, 1796076000)


@pytest.mark.parametrize(
    "item",
    [
        "x",
        7,
        {},
        {"code": 200},
        {"code": "200", "body": "{}"},
        {"code": 200, "body": {"id": "1"}},
        {"code": 200, "body": ""},
        {"code": 200, "body": '{"id":"2"}'},
        {"code": 200, "body": '{"id":"1","x":"\ud800"}'},
        {"code": 200, "headers": "none", "body": "[]"},
    ],
)
def test_an_item_that_makes_no_sense_is_asked_again(item: Json) -> None:
    [became] = read_batch(200, {}, json.dumps([item]).encode(), asks("1"))

    assert isinstance(became, Unavailable)


@pytest.mark.parametrize("body", [b"[]", b"[null]", b"[null,null,null]"])
def test_a_batch_with_another_number_of_items_tells_nothing(body: bytes) -> None:
    with pytest.raises(Unavailable):
        read_batch(200, {}, body, asks("1", "2"))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"code":190}}', AccessLost),
        (200, b'{"error":{"code":4}}', OverBudget),
        (200, b'{"id":"1"}', Unavailable),
        (500, b"[null]", Unavailable),
        (200, b"", Unavailable),
    ],
)
def test_a_batch_can_fail_as_a_whole(status: int, body: bytes, kind: type[GraphError]) -> None:
    with pytest.raises(kind):
        read_batch(status, {}, body, asks("1"))


# Pages of an edge


def page_of(text: str) -> Answer:
    return read_answer(200, {}, text.encode())


def test_an_edge_ends_where_next_is_missing_though_after_is_there() -> None:
    page = read_page(page_of('{"data":[{"id":"1"}],"paging":{"cursors":{"before":"a","after":"b"}}}'))

    assert [item["id"] for item in page.items] == ["1"]
    assert page.after is None


def test_the_next_page_is_a_cursor_and_never_the_url_that_holds_the_token() -> None:
    page = read_page(
        page_of('{"data":[],"paging":{"cursors":{"after":"b"},"next":"https://graph/?access_token=planted"}}')
    )

    assert page.after == "b"
    assert "planted" not in repr(page)


@pytest.mark.parametrize("text", ['{"data":[]}', '{"data":[],"paging":null}', '{"data":[],"paging":{"next":null}}'])
def test_an_edge_without_paging_has_one_page(text: str) -> None:
    assert read_page(page_of(text)).after is None


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"data":{}}',
        '{"data":[1]}',
        '{"data":[],"paging":{"next":"more"}}',
        '{"data":[],"paging":{"next":"more","cursors":{"after":""}}}',
    ],
)
def test_an_edge_with_more_behind_it_and_no_way_to_it_is_no_end(text: str) -> None:
    with pytest.raises(Unavailable):
        read_page(page_of(text))
