"""Asking about access itself: what is asked, and that an odd answer says nothing instead of anything wrong."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from pydantic import SecretStr

from ingest.meta.errors import BadAsk, Unavailable
from ingest.meta.graph import (
    Answer,
    Ask,
    Installed,
    Key,
    LeadAccess,
    PageNode,
    Sample,
    Subscription,
    TokenFacts,
    app_key,
    appsecret_proof,
    ask_batch,
    ask_form_with_leads,
    ask_lead_access,
    ask_page_node,
    ask_sample,
    ask_subscribed_apps,
    ask_subscriptions,
    ask_token,
    read_answer,
    read_batch,
    read_form_with_leads,
    read_lead_access,
    read_page_node,
    read_sample,
    read_subscribed_apps,
    read_subscriptions,
    read_token,
    read_token_facts,
)

TOKEN, SECRET = SecretStr("inspected"), SecretStr("app secret")
APP_TOKEN = SecretStr("7|app secret")


def answer(parsed: object) -> Answer:
    return read_answer(200, {}, json.dumps(parsed).encode())


def test_a_token_is_asked_about_with_the_apps_own_in_a_body() -> None:
    posted = dict(parse_qsl(ask_batch([(ask_token(TOKEN), app_key("7", SECRET))])))
    [item] = json.loads(posted["batch"])
    parts = urlsplit(item["relative_url"])
    assert (item["method"], parts.path) == ("GET", "debug_token")
    assert parse_qs(parts.query) == {
        "input_token": ["inspected"],
        "access_token": ["7|app secret"],
        "appsecret_proof": [appsecret_proof(APP_TOKEN, SECRET)],
    }
    assert posted["access_token"] == "7|app secret"


def test_a_batch_is_opened_by_the_key_that_is_given_for_it() -> None:
    """Meta answers nothing of a batch that a dead token opens."""
    ask = (ask_lead_access("1"), Key(token=TOKEN))
    posted = dict(parse_qsl(ask_batch([ask], opened_by=app_key("7", SECRET))))
    assert posted["access_token"] == "7|app secret"
    assert posted["appsecret_proof"] == appsecret_proof(APP_TOKEN, SECRET)
    assert "access_token=inspected" in json.loads(posted["batch"])[0]["relative_url"]
    assert dict(parse_qsl(ask_batch([ask])))["access_token"] == "inspected"


def test_what_is_asked_about_a_token_does_not_show_it() -> None:
    assert TOKEN.get_secret_value() not in repr(ask_token(TOKEN))


@pytest.mark.parametrize("valid", [True, False])
def test_a_token_is_valid_or_not(valid: bool) -> None:
    data = {"is_valid": valid, "expires_at": 0, "error": {"code": 190, "subcode": 460}}
    assert read_token(answer({"data": data})) is valid


@pytest.mark.parametrize("said", [{}, {"data": None}, {"data": []}, {"data": {}}, {"data": {"is_valid": "yes"}}])
def test_an_odd_answer_about_a_token_says_nothing(said: object) -> None:
    assert read_token(answer(said)) is None


def test_a_page_is_asked_whether_its_leads_may_be_read() -> None:
    ask = ask_lead_access("102")
    assert (ask.path, dict(ask.params)) == ("102", {"fields": "has_lead_access"})


@pytest.mark.parametrize("page_id", ["", "me", "102/leads", "102?x=1", "\u0661"])
def test_what_is_no_id_becomes_no_path(page_id: str) -> None:
    with pytest.raises(BadAsk):
        ask_lead_access(page_id)


@pytest.mark.parametrize("may", [True, False])
def test_leads_may_be_read_or_not(may: bool) -> None:
    access = {"can_access_lead": may, "failure_reason": "x", "failure_resolution": "y"}
    assert read_lead_access(answer({"id": "102", "has_lead_access": access})) is may


@pytest.mark.parametrize("said", [{}, {"has_lead_access": None}, {"has_lead_access": {"page_id": "102"}}])
def test_an_odd_answer_about_a_page_says_nothing(said: dict[str, object]) -> None:
    assert read_lead_access(answer({"id": "102"} | said)) is None


def test_what_meta_says_of_a_token_is_read_as_it_is_documented() -> None:
    data = {
        "app_id": "7",
        "type": "PAGE",
        "profile_id": 102,
        "is_valid": True,
        "issued_at": 5,
        "expires_at": 0,
        "data_access_expires_at": 9,
        "scopes": ["leads_retrieval", "pages_show_list"],
        "granular_scopes": [{"scope": "leads_retrieval", "target_ids": ["102", 103]}, {"scope": "pages_show_list"}],
    }
    facts = read_token_facts(answer({"data": data}))
    assert facts == TokenFacts(
        is_valid=True,
        kind="PAGE",
        app_id="7",
        profile_id="102",
        issued_at=5,
        expires_at=0,
        data_access_expires_at=9,
        scopes=frozenset({"leads_retrieval", "pages_show_list"}),
        targets={"leads_retrieval": frozenset({"102", "103"})},
    )
    assert (facts.grants("leads_retrieval", "102"), facts.grants("leads_retrieval", "104")) == (True, False)
    assert (facts.grants("pages_show_list", "104"), facts.grants("ads_management", "102")) == (True, False)


def test_why_a_token_is_dead_is_read_in_numbers() -> None:
    facts = read_token_facts(
        answer({"data": {"is_valid": False, "error": {"code": 190, "subcode": 460, "message": "x"}}})
    )
    assert facts == TokenFacts(is_valid=False, code=190, subcode=460)


@pytest.mark.parametrize(
    "data",
    [
        {"is_valid": True, "scopes": "all", "granular_scopes": {"scope": "x"}, "expires_at": "soon", "app_id": True},
        {"is_valid": True, "granular_scopes": [1, {"scope": 5, "target_ids": []}, {"target_ids": []}], "type": ""},
        {"is_valid": True, "expires_at": True, "profile_id": "me/leads", "error": []},
    ],
)
def test_what_is_odd_about_a_token_says_nothing(data: dict[str, object]) -> None:
    assert read_token_facts(answer({"data": data})) == TokenFacts(is_valid=True)


def test_a_token_of_which_it_is_not_said_whether_it_is_valid_has_no_facts() -> None:
    assert read_token_facts(answer({"data": {"app_id": "7"}})) is None
    assert TokenFacts(is_valid=True).grants("leads_retrieval", "1")


def test_a_pages_own_words_on_who_may_read_its_leads() -> None:
    access = {"can_access_lead": False, "app_has_leads_permission": True, "failure_reason": "why", "user_id": "5"}
    node = read_page_node(answer({"id": "102", "name": "Harbor", "has_lead_access": access}))
    expected = LeadAccess(can_access_lead=False, app_has_leads_permission=True, failure_reason="why")
    assert node == PageNode(name="Harbor", access=expected)
    assert read_page_node(answer({"id": "102", "has_lead_access": "yes"})) == PageNode(name=None, access=LeadAccess())


@pytest.mark.parametrize(
    "ask", [ask_page_node, ask_subscriptions, ask_subscribed_apps, ask_form_with_leads, ask_sample]
)
@pytest.mark.parametrize("node_id", ["", "me", "102/leads", "102?x=1"])
def test_no_other_ask_makes_a_path_of_what_is_no_id(ask: Callable[[str], Ask], node_id: str) -> None:
    with pytest.raises(BadAsk):
        ask(node_id)


def test_where_an_apps_webhooks_go() -> None:
    said = {
        "data": [
            {
                "object": "user",
                "callback_url": "https://else.example.com",
                "active": True,
                "fields": [{"name": "leadgen"}],
            },
            {
                "object": "page",
                "callback_url": "https://leads.example.com/webhook",
                "active": True,
                "fields": [{"name": "leadgen", "version": "v13.0"}, {"name": "feed", "version": "v13.0"}, 5],
            },
        ]
    }
    assert read_subscriptions(answer(said)) == Subscription(
        callback_url="https://leads.example.com/webhook", is_active=True, fields=frozenset({"leadgen", "feed"})
    )
    assert read_subscriptions(answer({"data": []})) is None


def test_which_apps_are_installed_on_a_page() -> None:
    said = {"data": [{"id": "7", "name": "x", "subscribed_fields": ["leadgen"]}, {"id": 8}, {"name": "no id"}]}
    assert read_subscribed_apps(answer(said)) == (
        Installed(app_id="7", fields=frozenset({"leadgen"})),
        Installed(app_id="8", fields=frozenset()),
    )


@pytest.mark.parametrize("read", [read_subscriptions, read_subscribed_apps, read_form_with_leads, read_sample])
def test_what_is_no_list_is_no_answer(read: Callable[[Answer], object]) -> None:
    with pytest.raises(Unavailable):
        read(answer({"id": "7"}))


def test_the_form_with_most_readable_leads_is_tried_and_no_answer_is_asked_for() -> None:
    forms = [
        {"id": "10", "leads_count": 50, "expired_leads_count": 49},
        {"id": "11", "leads_count": 3},
        {"id": "12", "leads_count": "many"},
    ]
    assert read_form_with_leads(answer({"data": forms})) == "11"
    assert read_form_with_leads(answer({"data": forms[2:]})) is None
    ask = ask_sample("11")
    assert ask.path == "11/leads"
    assert "field_data" not in dict(ask.params)["fields"].split(",")
    assert {"ad_name", "post_submission_check_result"} <= set(dict(ask.params)["fields"].split(","))


def test_names_that_no_lead_of_an_ad_has_are_left_out_and_organic_leads_owe_none() -> None:
    organic = {"id": "1", "is_organic": True}
    paid = {"id": "2", "ad_id": "5", "ad_name": "a", "adset_id": "6", "adset_name": "b", "campaign_id": "7"}
    assert read_sample(answer({"data": [organic]})) == Sample(leads=1)
    assert read_sample(answer({"data": [organic, paid]})) == Sample(leads=2, left_out=("campaign_name",))


def test_an_item_of_a_batch_has_the_clock_and_the_version_of_its_batch_where_it_has_none() -> None:
    headers = {"Date": "Tue, 24 Nov 2026 12:00:00 GMT", "facebook-api-version": "v25.0"}
    own = {"code": 200, "headers": [{"name": "Facebook-API-Version", "value": "v21.0"}], "body": "{}"}
    body = json.dumps([{"code": 200, "body": "{}"}, own]).encode()
    asks = [ask_lead_access("1"), ask_lead_access("2")]
    said = [each for each in read_batch(200, headers, body, asks) if isinstance(each, Answer)]
    assert [(each.version, each.date) for each in said] == [("v25.0", 1795521600), ("v21.0", 1795521600)]


@pytest.mark.parametrize("date", ["", "tomorrow", "Tue, 99 Nov 2026 12:00:00 GMT"])
def test_a_date_that_is_none_costs_no_answer(date: str) -> None:
    assert read_answer(200, {"Date": date}, b"{}").date is None
