"""The admin of the Graph double over HTTP: what it makes go wrong goes wrong for exactly the calls it named."""

import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import Any

import pytest

from deploy.sandbox.graph.admin import GraphAdmin, GraphAdminError
from deploy.sandbox.graph.thread import running_in_thread


class Double:
    """The double, its admin, and plain calls to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = GraphAdmin(url)

    def call(self, path: str, *, body: str | None = None, **headers: str) -> "Reply":
        """One call; a POST when there is a body. A full URL may stand for the path."""
        connection = HTTPConnection(urllib.parse.urlsplit(self.url).netloc, timeout=5.0)
        try:
            connection.request("GET" if body is None else "POST", path.removeprefix(self.url), body, headers)
            response = connection.getresponse()
            return Reply(status=response.status, json=json.load(response), headers=response.headers)
        finally:
            connection.close()

    def get(self, path: str, token: str, **params: str) -> "Reply":
        """Read something with a token."""
        return self.call(f"/v25.0/{path}?{urllib.parse.urlencode({'access_token': token, **params})}")

    def batch(self, token: str, items: list[dict[str, str]]) -> Any:
        """The answer to a batch."""
        return self.call("/", body=urllib.parse.urlencode({"access_token": token, "batch": json.dumps(items)})).json


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    json: Any  # Any: JSON
    headers: Message

    @property
    def code(self) -> int:
        """Graph's error code, 0 for an answer."""
        return int(self.json["error"]["code"]) if "error" in self.json else 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Double]:
    with running_in_thread(tmp_path_factory.mktemp("graph"), history=0) as url:
        yield Double(url)


@pytest.fixture
def double(running: Double) -> Double:
    running.admin.reset(history=0)
    return running


def test_a_fault_meets_only_the_calls_it_names(double: Double) -> None:
    one, other = double.admin.pages()[:2]
    (lead,) = double.admin.make_leads(one.form_ids[0], 1)
    (sibling,) = double.admin.make_leads(one.form_ids[1], 1)
    (foreign,) = double.admin.make_leads(other.form_ids[0], 1)
    for filters in (
        {"lead": lead},
        {"form": one.form_ids[0], "endpoint": "lead"},
        {"token": one.token, "form": one.form_ids[0]},
        {"page": one.page_id, "app": one.app_id, "form": one.form_ids[0]},
    ):
        fault = double.admin.fault("error", code=2, **filters)
        assert double.get(lead, one.token).code == 2
        assert double.get(sibling, one.token).code == 0
        assert double.get(foreign, other.token).code == 0
        assert double.admin.met(fault) == 1
        assert double.admin.lift(fault) == 1
        assert double.get(lead, one.token).code == 0


def test_a_fault_for_a_number_of_calls_ends_by_itself(double: Double) -> None:
    page = double.admin.pages()[0]
    fault = double.admin.fault("error", code=4, page=page.page_id, calls=2)
    assert [double.get(page.page_id, page.token).code for _ in range(4)] == [4, 4, 0, 0]
    assert double.admin.met(fault) == 2


def test_a_fault_with_a_share_meets_about_that_many(double: Double) -> None:
    page = double.admin.pages()[0]
    double.admin.fault("error", code=2, page=page.page_id, share=0.5)
    met = sum(double.get(page.page_id, page.token).code == 2 for _ in range(60))
    assert 15 <= met <= 45


def test_headers_can_be_forced_damaged_and_removed(double: Double) -> None:
    page = double.admin.pages()[0]
    double.admin.fault(
        "headers",
        headers={"X-Business-Use-Case-Usage": "{not json", "X-App-Usage": None, "facebook-api-version": "v21.0"},
    )
    reply = double.get(page.page_id, page.token)
    headers = reply.headers
    assert (reply.status, reply.code) == (200, 0)
    assert headers["X-Business-Use-Case-Usage"] == "{not json"
    assert "X-App-Usage" not in headers
    assert headers["facebook-api-version"] == "v21.0"


def test_latency_is_per_endpoint_and_a_batch_takes_as_long_as_its_slowest_item(double: Double) -> None:
    page = double.admin.pages()[0]
    (lead,) = double.admin.make_leads(page.form_ids[0], 1)
    double.admin.set_latency(0.08, endpoint="lead")

    def seconds(path: str) -> float:
        started = time.monotonic()
        double.get(path, page.token)
        return time.monotonic() - started

    assert seconds(lead) >= 0.08
    assert seconds(page.page_id) < 0.08
    started = time.monotonic()
    double.batch(page.token, [{"method": "GET", "relative_url": lead}] * 10)
    assert 0.08 <= time.monotonic() - started < 0.8


def test_broken_items_of_a_batch_are_null_and_refused_ones_have_their_code(double: Double) -> None:
    page = double.admin.pages()[0]
    leads = double.admin.make_leads(page.form_ids[0], 5)
    double.admin.fault("null", lead=leads[0])
    double.admin.fault("hang", lead=leads[1])
    double.admin.fault("reset", lead=leads[2])
    double.admin.fault("html", lead=leads[3])
    items = [{"method": "GET", "relative_url": f"v25.0/{lead}?fields=id"} for lead in leads]
    answers = double.batch(page.token, items)
    assert answers[:3] == [None] * 3
    assert (answers[3]["code"], answers[3]["body"][:9]) == (502, "<!DOCTYPE")
    assert json.loads(answers[4]["body"])["id"] == leads[4]


def test_a_batch_can_go_wrong_as_a_whole(double: Double) -> None:
    page = double.admin.pages()[0]
    items = [{"method": "GET", "relative_url": page.page_id}]
    double.admin.fault("error", endpoint="batch", code=2, calls=1)
    assert double.batch(page.token, items)["error"]["code"] == 2
    double.admin.fault("truncated", endpoint="batch", calls=1)
    with pytest.raises(json.JSONDecodeError):
        double.batch(page.token, items)
    assert double.batch(page.token, items)[0]["code"] == 200
    codes = double.admin.calls(endpoint="batch").by_code
    assert codes == {"2": 1, "-1": 1, "0": 1}


def test_each_item_of_a_batch_tells_the_version_that_served_it(double: Double) -> None:
    page = double.admin.pages()[0]
    items = [{"method": "GET", "relative_url": f"{version}/{page.page_id}"} for version in ("v26.0", "v25.0")]
    answers = double.batch(page.token, items)
    served = [{h["name"]: h["value"] for h in answer["headers"]}["facebook-api-version"] for answer in answers]
    assert served == ["v26.0", "v25.0"]


def test_a_batch_is_one_call_and_its_items_are_calls_too(double: Double) -> None:
    one, other = double.admin.pages()[:2]
    leads = [double.admin.make_leads(page.form_ids[0], 1)[0] for page in (one, other)]
    before = time.time()
    double.batch(
        one.token,
        [
            {"method": "GET", "relative_url": leads[0]},
            {"method": "GET", "relative_url": leads[1], "access_token": other.token},
            {"method": "GET", "relative_url": leads[0]},
        ],
    )
    after = time.time()
    calls = double.admin.calls()
    assert (calls.total, calls.in_batches, calls.by_endpoint) == (4, 3, {"batch": 1, "lead": 3})
    assert calls.by_page == {"": 1, one.page_id: 2, other.page_id: 1}
    assert double.admin.lead_calls() == {leads[0]: 2, leads[1]: 1}
    assert double.admin.calls(page=other.page_id, since=before, until=after).total == 1
    assert double.admin.calls(page=other.page_id, since=after + 0.001).total == 0
    assert double.admin.calls(page=other.page_id, until=before).total == 0


def test_the_call_log_never_holds_a_token(double: Double) -> None:
    page = double.admin.pages()[0]
    double.get(page.page_id, page.token)
    double.get(page.page_id, "EAAsomebodyelses")
    names = double.admin.calls().by_token
    assert names == {f"page:{page.page_id}#0": 1, "unknown": 1}


@pytest.mark.parametrize("where", ["query", "form", "json", "header"])
def test_a_token_is_taken_from_wherever_it_stands(double: Double, where: str) -> None:
    page = double.admin.pages()[0]
    path, token = f"/{page.page_id}?fields=name", {"access_token": page.token}
    if where == "query":
        reply = double.call(f"{path}&{urllib.parse.urlencode(token)}")
    elif where == "header":
        reply = double.call(path, Authorization=f"Bearer {page.token}")
    elif where == "form":
        reply = double.call(path, body=urllib.parse.urlencode({**token, "method": "GET"}))
    else:
        kind = {"Content-Type": "application/json"}
        reply = double.call(path, body=json.dumps({**token, "method": "get"}), **kind)
    assert reply.json["name"] == page.name


def test_next_carries_the_token_and_leads_to_the_rest(double: Double) -> None:
    page = double.admin.pages()[0]
    made = double.admin.make_leads(page.form_ids[0], 5)
    first = double.get(f"{page.form_ids[0]}/leads", page.token, limit="3", fields="id").json
    link = first["paging"]["next"]
    assert page.token in link
    second = double.call(link).json
    assert [lead["id"] for lead in first["data"] + second["data"]] == made[::-1]
    assert "next" not in second["paging"]
    assert set(second["paging"]["cursors"]) == {"before", "after"}
    assert double.call(second["paging"]["previous"]).json["data"] == first["data"]


def test_a_cursor_holds_its_place_while_leads_come_and_go(double: Double) -> None:
    page = double.admin.pages()[0]
    form = page.form_ids[0]
    made = double.admin.make_leads(form, 6, over=600)
    first = double.get(f"{form}/leads", page.token, limit="2", fields="id").json
    double.admin.make_leads(form, 3)
    double.admin.delete_lead(made[4])
    after = first["paging"]["cursors"]["after"]
    second = double.get(f"{form}/leads", page.token, limit="10", fields="id", after=after).json
    assert [lead["id"] for lead in second["data"]] == made[3::-1]


def test_a_crafted_lead_has_exactly_the_fields_given(double: Double) -> None:
    page = double.admin.pages()[0]
    lead = double.admin.make_lead(page.form_ids[0], {"field_data": None, "platform": "ig", "partner_name": "acme"})
    answer = double.get(lead, page.token, fields="field_data,platform,partner_name").json
    assert answer == {"platform": "ig", "partner_name": "acme", "id": lead}


def test_added_pages_and_forms_can_be_read_with_their_tokens(double: Double) -> None:
    pages = double.admin.add_pages(47)
    assert len(double.admin.pages()) == 50
    form = double.admin.add_form(pages[-1].page_id, "b2b", name="One more")
    (lead,) = double.admin.make_leads(form.form_id, 1)
    assert double.get(lead, pages[-1].token).code == 0
    assert double.get(lead, pages[0].token).code == 100
    forms = double.get(f"{pages[-1].page_id}/leadgen_forms", pages[-1].token, fields="name").json
    assert "One more" in [found["name"] for found in forms["data"]]


def test_an_archived_form_keeps_its_leads(double: Double) -> None:
    page = double.admin.pages()[0]
    made = double.admin.make_leads(page.form_ids[0], 2)
    double.admin.edit_form(page.form_ids[0], status="ARCHIVED")
    assert double.get(page.form_ids[0], page.token, fields="status").json["status"] == "ARCHIVED"
    assert double.admin.lead_ids(page.form_ids[0]) == made[::-1]


def test_the_clock_can_run_ahead_and_leads_grow_old(double: Double) -> None:
    page = double.admin.pages()[0]
    (lead,) = double.admin.make_leads(page.form_ids[0], 1)
    double.admin.set_clock(91 * 24 * 3600.0)
    reply = double.get(lead, page.token)
    assert reply.code == 100
    ahead = parsedate_to_datetime(reply.headers["Date"]) - datetime.now().astimezone()
    assert ahead.days in (90, 91), "the Date header tells of the double's clock"


def test_a_download_is_as_ads_manager_makes_it(double: Double) -> None:
    form = next(form for form in double.admin.forms() if form.template == "homes_india")
    double.admin.make_leads(form.form_id, 3)
    content = double.admin.download(form.form_id)
    assert content.startswith(b"\xff\xfe")
    header, first, *_ = content[2:].decode("utf-16-le").split("\n")
    cells = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    assert cells["id"].startswith("l:")
    assert cells["form_id"] == f"f:{form.form_id}"
    assert cells["फ़ोन_नंबर"].startswith("p:")
    assert cells["is_organic"] in ("true", "false")
    assert cells["created_time"].endswith("+05:30")


@pytest.mark.parametrize(
    ("verb", "arguments", "reason"),
    [
        ("nonsense", {}, "no such verb"),
        ("forms", {"page": "1"}, "there is no page 1"),
        ("delete_lead", {"lead": "444444444444"}, "there never was a lead"),
        ("progress", {"job": 99}, "there is no delivery 99"),
        ("set_fault", {"kind": "error", "bogus": 1}, "bogus"),
    ],
)
def test_what_the_admin_gets_wrong_is_told(double: Double, verb: str, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(GraphAdminError, match=reason):
        double.admin._ask(verb, **arguments)  # noqa: SLF001 - what no method of the client lets one say


def test_a_reset_begins_the_world_again(double: Double) -> None:
    page = double.admin.pages()[0]
    double.admin.kill_token(page.page_id)
    double.admin.fault("error")
    double.admin.throttle(page.page_id, seconds=100)
    double.admin.make_leads(page.form_ids[0], 3)
    double.admin.reset(pages=2, history=1)
    assert len(double.admin.pages()) == 2
    assert [form.leads for form in double.admin.forms()] == [1] * 5
    assert double.get(page.page_id, page.token).code == 0
    assert double.admin.calls().total == 1


def test_a_token_that_a_reset_took_back_is_dead(double: Double) -> None:
    page = double.admin.pages()[0]
    replaced = double.admin.replace_token(page.page_id)
    assert double.get(page.page_id, replaced).code == 0
    double.admin.reset(history=0)
    assert double.get(page.page_id, replaced).code == 190
    assert double.get(page.page_id, page.token).code == 0
