"""What is asked, what opens it, and that no secret shows."""

import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from pydantic import SecretStr

from ingest.meta.errors import BadAsk
from ingest.meta.graph import (
    BATCH_SIZE,
    FORM_FIELDS,
    FORMS_AT_ONCE,
    LEAD_FIELDS,
    REDUCED_LEAD_FIELDS,
    Ask,
    Key,
    appsecret_proof,
    ask_batch,
    ask_form,
    ask_forms,
    ask_lead,
)


def key(token: str, secret: str | None = None) -> Key:
    return Key(token=SecretStr(token), secret=None if secret is None else SecretStr(secret))


def test_fields_are_always_asked_for_by_name() -> None:
    ask = ask_lead("55459717045641545")

    assert ask.path == ask.about == "55459717045641545"
    assert dict(ask.params)["fields"] == ",".join(LEAD_FIELDS)


def test_the_reduced_set_still_has_the_answers_and_the_consent() -> None:
    assert set(REDUCED_LEAD_FIELDS) < set(LEAD_FIELDS)
    assert {"id", "created_time", "field_data", "custom_disclaimer_responses"} <= set(REDUCED_LEAD_FIELDS)


def test_a_form_is_asked_for_without_its_counters() -> None:
    assert not any("count" in name for name in FORM_FIELDS)
    assert dict(ask_form("7").params)["fields"] == ",".join(FORM_FIELDS)


def test_a_page_is_asked_for_its_forms_as_a_form_is_a_few_at_a_time() -> None:
    ask = ask_forms("7", "cursor=")

    assert (ask.path, ask.about) == ("7/leadgen_forms", None)
    assert dict(ask.params) == {"fields": ",".join(FORM_FIELDS), "limit": str(FORMS_AT_ONCE), "after": "cursor="}
    assert FORMS_AT_ONCE <= 100
    assert "after" not in dict(ask_forms("7").params)


@pytest.mark.parametrize("wrong", ["", "me", "1/leads", "../1", "1?fields=x", "-1", "1 ", "١٢٣", "1" * 33, "1\n"])
def test_what_is_no_id_never_becomes_a_path(wrong: str) -> None:
    for ask in (ask_lead, ask_forms):
        with pytest.raises(BadAsk) as raised:
            ask(wrong)
        assert raised.value.reason == "bad-id"


def test_the_proof_is_the_hmac_that_meta_computes() -> None:
    """RFC 4231, test case 2: key Jefe, data as in the token's place."""
    proof = appsecret_proof(SecretStr("what do ya want for nothing?"), SecretStr("Jefe"))

    assert proof == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_a_token_of_a_foreign_app_goes_without_a_proof() -> None:
    assert key("token").proof() == ()
    assert dict(key("token", "secret").proof()).keys() == {"appsecret_proof"}


def test_a_batch_opens_each_item_with_its_own_token_and_proof() -> None:
    form = dict(parse_qsl(ask_batch([(ask_lead("1"), key("token-a", "s")), (ask_lead("2"), key("token&b", None))])))
    first, second = json.loads(form["batch"])
    opened = [parse_qs(urlsplit(item["relative_url"]).query) for item in (first, second)]

    assert (first["method"], urlsplit(first["relative_url"]).path) == ("GET", "1")
    assert opened[0]["access_token"] == ["token-a"]
    assert opened[0]["appsecret_proof"] == [appsecret_proof(SecretStr("token-a"), SecretStr("s"))]
    assert opened[0]["fields"] == [",".join(LEAD_FIELDS)]
    assert opened[1]["access_token"] == ["token&b"]
    assert "appsecret_proof" not in opened[1]
    assert form["access_token"] == "token-a"
    assert form["appsecret_proof"] == opened[0]["appsecret_proof"][0]
    assert form["include_headers"] == "true"


def test_what_stands_in_a_path_or_a_parameter_stays_what_it_is_in_a_batch() -> None:
    odd = Ask(method="POST", path='a"b\\c/ä&d', params=(("x", 'ü&"%+ __path__'),), about=None)
    posted = dict(parse_qsl(ask_batch([(ask_lead("1"), key("t")), (odd, key("t")), (ask_lead("2"), key("u"))])))
    urls = [urlsplit(item["relative_url"]) for item in json.loads(posted["batch"])]

    assert [url.path for url in urls] == ["1", 'a"b\\c/ä&d', "2"]
    assert parse_qs(urls[1].query) == {"x": ['ü&"%+ __path__'], "access_token": ["t"]}
    assert [parse_qs(url.query)["access_token"] for url in urls] == [["t"], ["t"], ["u"]]


def test_a_batch_holds_one_to_fifty() -> None:
    one = (ask_lead("1"), key("token"))

    assert len(json.loads(dict(parse_qsl(ask_batch([one] * BATCH_SIZE)))["batch"])) == BATCH_SIZE
    for wrong in (0, BATCH_SIZE + 1):
        with pytest.raises(ValueError, match="a batch holds 1 to 50"):
            ask_batch([one] * wrong)


def test_a_key_shows_nothing() -> None:
    assert "planted" not in repr(key("planted-token", "planted-secret"))
