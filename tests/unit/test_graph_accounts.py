"""Setting pages up: what is asked, each secret in a body, and that an odd answer is never taken for a good one."""

import json

import pytest
from pydantic import SecretStr

from ingest.meta.errors import BadAsk, Unavailable
from ingest.meta.graph import (
    Account,
    Answer,
    Ask,
    ask_accounts,
    ask_callback,
    ask_exchange,
    ask_install,
    read_accounts,
    read_answer,
    read_exchange,
    read_page,
    read_success,
)

TOKEN, SECRET = SecretStr("EAAGperson"), SecretStr("app secret")


def answer(parsed: object) -> Answer:
    return read_answer(200, {}, json.dumps(parsed).encode())


def accounts(*items: object) -> tuple[Account, ...]:
    return read_accounts(read_page(answer({"data": items})))


def test_a_persons_token_is_exchanged_with_the_secret_in_a_body() -> None:
    ask = ask_exchange("7", SECRET, TOKEN)
    assert (ask.method, ask.path) == ("POST", "oauth/access_token")
    assert dict(ask.params) == {
        "grant_type": "fb_exchange_token",
        "client_id": "7",
        "client_secret": "app secret",
        "fb_exchange_token": "EAAGperson",
    }


@pytest.mark.parametrize(
    "ask", [ask_exchange("7", SECRET, TOKEN), ask_callback("7", "https://here", ["leadgen"], SecretStr("verify me"))]
)
def test_what_is_asked_shows_no_secret(ask: Ask) -> None:
    assert not any(secret in repr(ask) for secret in ("EAAGperson", "app secret", "verify me"))


def test_the_long_lived_token_is_read_and_not_shown() -> None:
    token = read_exchange(answer({"access_token": "EAAGlong", "token_type": "bearer", "expires_in": 5184000}))
    assert (token.get_secret_value(), "EAAGlong" in repr(token)) == ("EAAGlong", False)


@pytest.mark.parametrize("said", [{}, {"access_token": None}, {"access_token": ""}, {"access_token": "two words"}])
def test_an_exchange_without_a_token_is_none(said: object) -> None:
    with pytest.raises(Unavailable):
        read_exchange(answer(said))


def test_a_persons_pages_come_with_their_tasks_and_the_next_are_asked_for_from_a_cursor() -> None:
    first = dict(ask_accounts().params)
    assert first == {"fields": "id,name,access_token,tasks", "limit": "100"}
    assert dict(ask_accounts("next").params) == first | {"after": "next"}


def test_a_page_is_read_with_its_token_and_what_its_person_may_do_there() -> None:
    [account] = accounts({"id": "102", "name": "Harbor", "access_token": "EAAGpage", "tasks": ["ADVERTISE", "ANALYZE"]})
    assert (account.page_id, account.name, account.tasks) == ("102", "Harbor", frozenset({"ADVERTISE", "ANALYZE"}))
    assert account.token is not None
    assert account.token.get_secret_value() == "EAAGpage"
    assert "EAAGpage" not in repr(account)


def test_a_page_of_which_little_is_said_is_a_page_all_the_same() -> None:
    """A person may have a page's ANALYZE task and no token of it; an id may come as a number."""
    assert accounts({"id": 2**60 + 1}) == (Account(page_id=str(2**60 + 1), name=None, token=None, tasks=None),)


@pytest.mark.parametrize("item", [{}, {"id": "me"}, {"id": True}, {"id": "10 2"}])
def test_a_page_without_an_id_is_none(item: object) -> None:
    with pytest.raises(Unavailable):
        accounts(item)


def test_an_app_is_installed_with_all_that_it_is_to_hear() -> None:
    ask = ask_install("102", {"leadgen", "feed"})
    assert (ask.method, ask.path) == ("POST", "102/subscribed_apps")
    assert dict(ask.params) == {"subscribed_fields": "feed,leadgen"}


def test_a_callback_is_set_with_values_included() -> None:
    ask = ask_callback("7", "https://here/webhook", {"leadgen", "feed"}, SecretStr("verify me"))
    assert (ask.method, ask.path) == ("POST", "7/subscriptions")
    assert dict(ask.params) == {
        "object": "page",
        "callback_url": "https://here/webhook",
        "fields": "feed,leadgen",
        "include_values": "true",
        "verify_token": "verify me",
    }


@pytest.mark.parametrize("object_id", ["", "me", "102/leads", "102?x=1", "\u0661"])
def test_what_is_no_id_becomes_no_path(object_id: str) -> None:
    with pytest.raises(BadAsk):
        ask_install(object_id, ["leadgen"])
    with pytest.raises(BadAsk):
        ask_callback(object_id, "https://here", ["leadgen"], SecretStr("verify me"))
    with pytest.raises(BadAsk):
        ask_exchange(object_id, SECRET, TOKEN)


@pytest.mark.parametrize("said", [True, "true"])
def test_success_comes_as_a_boolean_or_as_a_word(said: object) -> None:
    read_success(answer({"success": said}))


@pytest.mark.parametrize("said", [{}, {"success": False}, {"success": "false"}, {"success": 1.5}, {"result": True}])
def test_anything_else_is_no_success(said: object) -> None:
    with pytest.raises(Unavailable):
        read_success(answer(said))
