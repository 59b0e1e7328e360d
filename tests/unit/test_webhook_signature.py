"""Who signed a delivery, and how a handshake is answered."""

import hashlib
import hmac
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest.meta.webhook import NotVerified, Unsigned, handshake, signature, verify

SECRET = SecretStr("0123456789abcdef0123456789abcdef")
OLD_SECRET = SecretStr("fedcba9876543210fedcba9876543210")
TOKEN = SecretStr("planted-verify-token")
# As Meta sends it: escaped, and written another way by any serialiser of ours.
BODY = rb'{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"about","value":"\u00e4\/\u003C\u0040"}]}]}'


def signed(body: bytes, secret: SecretStr = SECRET) -> str:
    return "sha256=" + hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()


def accepts(header: str | None, body: bytes, *secrets: SecretStr) -> bool:
    try:
        verify(signature(header), body, secrets or (SECRET,))
    except Unsigned:
        return False
    return True


def refusal(header: str | None, body: bytes = BODY) -> str:
    with pytest.raises(Unsigned) as refused:
        verify(signature(header), body, (SECRET,))
    return str(refused.value)


def test_the_bytes_that_were_signed_are_accepted() -> None:
    assert accepts(signed(BODY), BODY)


def test_upper_case_digits_are_accepted() -> None:
    assert accepts("sha256=" + signed(BODY).removeprefix("sha256=").upper(), BODY)


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_either_secret_is_accepted_while_one_is_rotated(secret: SecretStr) -> None:
    assert accepts(signed(BODY, secret), BODY, SECRET, OLD_SECRET)


def test_another_apps_secret_is_refused() -> None:
    assert refusal(signed(BODY, OLD_SECRET)) == "mismatch"


def test_without_a_signature_nothing_is_accepted() -> None:
    assert refusal(None) == "missing"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        signed(BODY)[:-1],
        signed(BODY) + "0",
        signed(BODY).removeprefix("sha256="),
        "sha256=" + "g" * 64,
        "sha256=" + "é" * 64,
        "sha256=" + " " * 64,
        "sha256=" + "ab " * 21 + "a",
        "sha512=" + "0" * 64,
        "sha1=" + hmac.new(SECRET.get_secret_value().encode(), BODY, hashlib.sha1).hexdigest(),
    ],
)
def test_a_signature_of_another_form_is_refused(header: str) -> None:
    assert refusal(header) == "malformed"


def test_nothing_is_accepted_with_no_secret_or_an_empty_one() -> None:
    """An empty key is a key that everybody has."""
    empty = SecretStr("")
    with pytest.raises(Unsigned):
        verify(signature(signed(BODY, empty)), BODY, (empty,))
    with pytest.raises(Unsigned):
        verify(signature(signed(BODY)), BODY, ())


def test_a_body_that_was_written_anew_is_refused() -> None:
    again = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    assert json.loads(again) == json.loads(BODY)
    assert refusal(signed(BODY), again) == "mismatch"


@given(st.binary(max_size=200), st.data())
@example(BODY, None)
def test_any_flipped_bit_is_refused(body: bytes, data: st.DataObject | None) -> None:
    """In the body or in the digest."""
    header = signed(body)
    whole = body + bytes.fromhex(header.removeprefix("sha256="))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1)) if data else 0
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    other_body, other_digest = bytes(flipped[: len(body)]), bytes(flipped[len(body) :])
    assert not accepts("sha256=" + other_digest.hex(), other_body)


@given(st.text())
def test_any_header_is_accepted_or_refused_by_name(header: str) -> None:
    assert not accepts(header, BODY)


def query(**changed: str) -> dict[str, str]:
    return {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": TOKEN.get_secret_value()} | {
        f"hub.{name}": value for name, value in changed.items()
    }


def not_verified(asked: dict[str, str], token: SecretStr = TOKEN) -> str:
    with pytest.raises(NotVerified) as refused:
        handshake(asked, token)
    assert TOKEN.get_secret_value() not in str(refused.value)
    return str(refused.value)


def test_the_challenge_is_answered_as_it_came() -> None:
    assert handshake(query(), TOKEN) == "1158201444"


@pytest.mark.parametrize("challenge", ["0001158201444", "99999999999999999999", "a b-c_d", "<script>"])
def test_a_challenge_is_opaque_text(challenge: str) -> None:
    assert handshake(query(challenge=challenge), TOKEN) == challenge


@pytest.mark.parametrize("challenge", ["", "1" * 257, "1\n2", "1\r\nSet-Cookie: a=b", "ä", "\x00"])
def test_a_challenge_that_is_not_short_and_plain_is_not_echoed(challenge: str) -> None:
    assert not_verified(query(challenge=challenge)) == "challenge"


@pytest.mark.parametrize("mode", ["unsubscribe", "", "Subscribe"])
def test_only_a_subscription_is_verified(mode: str) -> None:
    assert not_verified(query(mode=mode)) == "mode"


@pytest.mark.parametrize("given_token", ["", "another", TOKEN.get_secret_value() + "x", "ä", "\ud800"])
def test_another_token_is_refused(given_token: str) -> None:
    assert not_verified(query(verify_token=given_token)) == "token"


def test_an_empty_configured_token_never_matches() -> None:
    assert not_verified(query(verify_token=""), SecretStr("")) == "token"


def test_a_visitor_who_asks_nothing_is_refused() -> None:
    assert not_verified({}) == "mode"
