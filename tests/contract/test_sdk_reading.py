"""Meta's own SDK reads leads and forms from the Graph double and cannot tell the difference."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.lead import Lead
from facebook_business.adobjects.leadgenform import LeadgenForm
from facebook_business.adobjects.page import Page
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.shapes import FormInfo, PageInfo
from deploy.sandbox.graph.thread import running_in_thread

DAY = 24 * 3600.0


class Peer:
    """The double, its admin, and the SDK pointed at it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = GraphAdmin(url)
        self.app = self.admin.app()

    def page(self, number: int = 0) -> PageInfo:
        return self.admin.pages()[number]

    def form(self, template: str) -> FormInfo:
        return next(form for form in self.admin.forms() if form.template == template)

    def token_of(self, form: FormInfo) -> str:
        return next(page.token for page in self.admin.pages() if page.page_id == form.page_id)

    def api(self, token: str, *, secret: str | None = None, version: str = "v25.0") -> FacebookAdsApi:
        session = FacebookSession(app_id=self.app.app_id, app_secret=secret or self.app.secret, access_token=token)
        session.GRAPH = self.url  # the SDK's own place for the host
        return FacebookAdsApi(session, api_version=version)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with running_in_thread(tmp_path_factory.mktemp("graph"), history=0) as url:
        yield Peer(url)


@pytest.fixture
def peer(double: Peer) -> Peer:
    double.admin.reset(history=0)
    return double


def test_a_lead_is_read_by_its_id_with_the_fields_asked_for(peer: Peer) -> None:
    form = peer.form("test_drive")
    ids = peer.admin.make_leads(form.form_id, 7)
    api = peer.api(peer.token_of(form))
    for lead_id in ids:
        lead = Lead(lead_id, api=api).api_get(fields=[Lead.Field.ad_id, Lead.Field.field_data, Lead.Field.is_organic])
        expected = peer.admin.lead(lead_id)
        assert lead.export_all_data() == {
            key: expected[key] for key in ("id", "ad_id", "field_data", "is_organic") if key in expected
        }


def test_every_lead_field_of_the_sdk_can_be_asked_for(peer: Peer) -> None:
    form = peer.form("test_drive")
    names = [name for key, name in vars(Lead.Field).items() if not key.startswith("_") and isinstance(name, str)]
    (paid,) = peer.admin.make_leads(form.form_id, 2)[1:]
    lead = Lead(paid, api=peer.api(peer.token_of(form))).api_get(fields=names)
    assert lead.export_all_data() == peer.admin.lead(paid)
    assert {"campaign_name", "vehicle", "post_submission_check_result", "platform"} <= lead.export_all_data().keys()


def test_without_fields_only_the_three_defaults_come_back(peer: Peer) -> None:
    form = peer.form("newsletter")
    (lead_id,) = peer.admin.make_leads(form.form_id, 1)
    lead = Lead(lead_id, api=peer.api(peer.token_of(form))).api_get()
    assert set(lead.export_all_data()) == {"created_time", "id", "field_data"}


def test_every_form_field_of_the_sdk_can_be_asked_for(peer: Peer) -> None:
    names = [n for key, n in vars(LeadgenForm.Field).items() if not key.startswith("_") and isinstance(n, str)]
    readable = [name for name in names if name in LeadgenForm._field_types]  # noqa: SLF001 - the rest is for creating
    for info in peer.admin.forms():
        form = LeadgenForm(info.form_id, api=peer.api(peer.token_of(info))).api_get(fields=readable)
        assert form["page_id"] == info.page_id
        assert {"key", "label", "type", "id"} <= form["questions"][0].keys()
        assert form["legal_content"]["privacy_policy"]["url"] == form["privacy_policy_url"]


def test_paging_visits_every_lead_of_a_form_once(peer: Peer) -> None:
    form = peer.form("solar")
    ids = peer.admin.make_leads(form.form_id, 107, over=50 * DAY)
    cursor = LeadgenForm(form.form_id, api=peer.api(peer.token_of(form))).get_leads(fields=["id", "created_time"])
    found = [lead["id"] for lead in cursor]
    assert found == list(reversed(ids))
    assert peer.admin.calls(endpoint="leads").total == 5, "25 to a page when no limit is given"


def test_paging_obeys_the_limit(peer: Peer) -> None:
    form = peer.form("solar")
    ids = peer.admin.make_leads(form.form_id, 20)
    api = peer.api(peer.token_of(form))
    cursor = LeadgenForm(form.form_id, api=api).get_leads(fields=["id"], params={"limit": 10})
    assert len(cursor) == 10
    assert {lead["id"] for lead in cursor} == set(ids)
    assert peer.admin.calls(endpoint="leads").total == 2, "the second page is the last and says so"


def test_a_form_without_leads_is_an_empty_page(peer: Peer) -> None:
    form = peer.form("b2b")
    assert list(LeadgenForm(form.form_id, api=peer.api(peer.token_of(form))).get_leads(fields=["id"])) == []


@pytest.mark.parametrize(
    ("operator", "expected"), [("GREATER_THAN", 4), ("GREATER_THAN_OR_EQUAL", 5), ("LESS_THAN", 5)]
)
def test_time_created_filters_on_the_second(peer: Peer, operator: str, expected: int) -> None:
    form = peer.form("solar")
    ids = peer.admin.make_leads(form.form_id, 10, over=900)
    api = peer.api(peer.token_of(form))
    middle = Lead(ids[5], api=api).api_get(fields=["created_time"])["created_time"]
    second = int(datetime.strptime(middle, "%Y-%m-%dT%H:%M:%S%z").timestamp())
    filtering = [{"field": "time_created", "operator": operator, "value": second}]
    cursor = LeadgenForm(form.form_id, api=api).get_leads(fields=["id"], params={"filtering": filtering, "limit": 3})
    found = [lead["id"] for lead in cursor]
    assert len(found) == expected
    assert (ids[5] in found) == (operator == "GREATER_THAN_OR_EQUAL")


@pytest.mark.parametrize(
    "item",
    [
        {"field": "created_time", "operator": "GREATER_THAN", "value": 4102444800},
        {"field": "time_created", "operator": "GREATER_THAN", "value": "2099-01-01"},
    ],
)
def test_a_filter_with_the_wrong_name_or_a_date_is_ignored_silently(peer: Peer, item: dict[str, object]) -> None:
    form = peer.form("solar")
    peer.admin.make_leads(form.form_id, 3)
    api = peer.api(peer.token_of(form))
    cursor = LeadgenForm(form.form_id, api=api).get_leads(fields=["id"], params={"filtering": [item]})
    assert len(list(cursor)) == 3


def test_an_ad_shows_its_own_leads_and_no_organic_ones(peer: Peer) -> None:
    form = peer.form("test_drive")
    ids = peer.admin.make_leads(form.form_id, 70)
    by_ad: dict[str | None, set[str]] = {}
    for lead_id in ids:
        by_ad.setdefault(peer.admin.lead(lead_id).get("ad_id"), set()).add(lead_id)
    api = peer.api(peer.token_of(form))
    for ad_id in form.ad_ids:
        found = Ad(ad_id, api=api).get_leads(fields=["id", "ad_id"], params={"limit": 7})
        assert {lead["id"] for lead in found} == by_ad[ad_id]
    assert by_ad[None], "some leads are organic, and no ad shows them"


def test_the_forms_of_a_page_are_listed_with_their_counters(peer: Peer) -> None:
    page = peer.page(2)
    peer.admin.make_leads(page.form_ids[0], 5, age=100 * DAY)
    ids = peer.admin.make_leads(page.form_ids[0], 14)
    organic = sum(peer.admin.lead(lead)["is_organic"] for lead in ids)
    fields = ["id", "status", "leads_count", "expired_leads_count", "organic_leads_count"]
    forms = Page(page.page_id, api=peer.api(page.token)).get_lead_gen_forms(fields=fields, params={"limit": 2})
    counted = {form["id"]: form for form in forms}
    assert set(counted) == set(page.form_ids)
    first = counted[page.form_ids[0]]
    assert (first["leads_count"], first["expired_leads_count"]) == (19, 5)
    assert organic <= first["organic_leads_count"] <= organic + 5


def test_leads_older_than_90_days_are_gone(peer: Peer) -> None:
    form = peer.form("b2b")
    (old,) = peer.admin.make_leads(form.form_id, 1, age=90 * DAY + 60)
    (young,) = peer.admin.make_leads(form.form_id, 1, age=90 * DAY - 60)
    api = peer.api(peer.token_of(form))
    assert [lead["id"] for lead in LeadgenForm(form.form_id, api=api).get_leads(fields=["id"])] == [young]
    with pytest.raises(FacebookRequestError) as refused:
        Lead(old, api=api).api_get(fields=["id"])
    assert (refused.value.api_error_code(), refused.value.api_error_subcode()) == (100, 33)


def test_too_large_a_page_of_forms_is_a_server_error(peer: Peer) -> None:
    page = peer.page()
    with pytest.raises(FacebookRequestError) as refused:
        Page(page.page_id, api=peer.api(page.token)).get_lead_gen_forms(params={"limit": 15000})
    assert refused.value.http_status() == 500


def test_an_edited_form_asks_new_questions_and_keeps_old_answers(peer: Peer) -> None:
    form = peer.form("newsletter")
    (before,) = peer.admin.make_leads(form.form_id, 1)
    old_answer = peer.admin.lead(before)
    questions = [*peer.admin.questions(form.form_id), {"type": "CUSTOM", "key": "shoe_size", "label": "Shoe size?"}]
    peer.admin.edit_form(form.form_id, questions=questions)
    (after,) = peer.admin.make_leads(form.form_id, 1)
    api = peer.api(peer.token_of(form))
    served = LeadgenForm(form.form_id, api=api).api_get(fields=["questions"])["questions"]
    assert served[-1]["key"] == "shoe_size"
    assert Lead(before, api=api).api_get(fields=["field_data"])["field_data"] == old_answer["field_data"]
    new = Lead(after, api=api).api_get(fields=["field_data"])["field_data"]
    assert "shoe_size" in [answer["name"] for answer in new]


@pytest.mark.parametrize(
    ("requested", "served"), [("v26.0", "v26.0"), ("v25.0", "v25.0"), ("v20.0", "v21.0"), ("v99.0", "v21.0")]
)
def test_a_version_that_is_over_or_unknown_is_served_by_another(peer: Peer, requested: str, served: str) -> None:
    peer.admin.set_clock(datetime(2026, 11, 24, tzinfo=UTC).timestamp() - time.time())
    page = peer.page()
    response = peer.api(page.token, version=requested).call("GET", (page.page_id,))
    assert response.headers()["facebook-api-version"] == served
