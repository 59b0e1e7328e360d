"""Asking about access itself: what is asked, and that an odd answer says nothing instead of anything wrong."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from ingest.meta.errors import BadAsk
from ingest.meta.graph import (
    Answer,
    app_key,
    appsecret_proof,
    ask_batch,
    ask_lead_access,
    ask_token,
    read_answer,
    read_lead_access,
    read_token,
)

TOKEN, SECRET = SecretStr("inspected"), SecretStr("app secret")
APP_TOKEN = SecretStr("7|app secret")


def answer(parsed: object) -> Answer:
    return read_answer(200, {}, json.dumps(parsed).encode())


def test_a_token_is_asked_about_with_the_apps_own_in_a_body() -> None:
    posted = ask_batch([(ask_token(TOKEN), app_key("7", SECRET))])
    [item] = json.loads(posted["batch"])
    parts = urlsplit(item["relative_url"])
    assert (item["method"], parts.path) == ("GET", "debug_token")
    assert parse_qs(parts.query) == {
        "input_token": ["inspected"],
        "access_token": ["7|app secret"],
        "appsecret_proof": [appsecret_proof(APP_TOKEN, SECRET)],
    }
    assert posted["access_token"] == "7|app secret"


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
