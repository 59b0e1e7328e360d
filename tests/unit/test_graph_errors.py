"""The class of a refusal, row by row of what is known about Meta's codes."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.errors import (
    AccessLost,
    BadAsk,
    Blocked,
    GraphError,
    Missing,
    OverBudget,
    Scope,
    Unavailable,
    classify,
    refusal,
)

TABLE: list[tuple[int, int | None, type[GraphError], Scope | None, str]] = [
    (1, None, Unavailable, None, "unknown-error"),
    (1, 99, Unavailable, None, "unknown-error"),
    (2, None, Unavailable, None, "service-down"),
    (3, None, AccessLost, "app", "capability"),
    (4, None, OverBudget, "app", "app-limit"),
    (10, None, AccessLost, "page", "permission"),
    (200, None, AccessLost, "page", "permission"),
    (230, None, AccessLost, "page", "permission"),
    (294, None, AccessLost, "page", "permission"),
    (299, None, AccessLost, "page", "permission"),
    (17, None, OverBudget, "token", "token-limit"),
    (17, 2446079, OverBudget, "token", "token-limit"),
    (32, None, OverBudget, "page", "page-limit"),
    (100, 33, Missing, None, "not-found"),
    (100, None, BadAsk, None, "bad-field"),
    (100, 2108006, BadAsk, None, "bad-field"),
    (105, None, BadAsk, None, "bad-ask"),
    (803, None, BadAsk, None, "bad-ask"),
    (2500, None, BadAsk, None, "bad-ask"),
    (2635, None, BadAsk, None, "bad-ask"),
    (102, None, AccessLost, "token", "session"),
    (102, 463, AccessLost, "token", "session"),
    (190, None, AccessLost, "token", "token-invalid"),
    (190, 458, AccessLost, "token", "app-not-installed"),
    (190, 459, AccessLost, "token", "checkpointed"),
    (190, 460, AccessLost, "token", "password-changed"),
    (190, 463, AccessLost, "token", "token-expired"),
    (190, 464, AccessLost, "token", "unconfirmed"),
    (190, 467, AccessLost, "token", "token-invalid"),
    (190, 492, AccessLost, "token", "page-role"),
    (341, None, OverBudget, "app", "app-limit"),
    (368, None, Blocked, None, "blocked"),
    (368, 1390008, Blocked, None, "blocked"),
    (506, None, BadAsk, None, "bad-ask"),
    (613, None, OverBudget, "token", "custom-limit"),
    (613, 1487742, OverBudget, "token", "custom-limit"),
    (613, 1996, OverBudget, "token", "custom-limit"),
    (80000, 2446079, OverBudget, "page", "business-limit"),
    (80001, None, OverBudget, "page", "business-limit"),
    (80002, None, OverBudget, "page", "business-limit"),
    (80003, 2446079, OverBudget, "page", "business-limit"),
    (80004, 2446079, OverBudget, "page", "business-limit"),
    (80005, None, OverBudget, "page", "business-limit"),
    (80006, None, OverBudget, "page", "business-limit"),
    (80008, None, OverBudget, "page", "business-limit"),
    (80009, None, OverBudget, "page", "business-limit"),
    (80014, None, OverBudget, "page", "business-limit"),
    (2200, None, BadAsk, None, "bad-ask"),
]


@pytest.mark.parametrize(("code", "subcode", "kind", "scope", "reason"), TABLE)
def test_every_known_code_has_its_class_scope_and_reason(
    code: int, subcode: int | None, kind: type[GraphError], scope: Scope | None, reason: str
) -> None:
    error = refusal({"code": code, "error_subcode": subcode, "message": "(#1) of no interest"}, 400)

    assert type(error) is classify(code, subcode, 400) is kind
    assert getattr(error, "scope", None) == scope
    assert error.reason == reason
    assert (error.code, error.subcode, error.http_status) == (code, subcode, 400)


@pytest.mark.parametrize("code", [5, 99, 101, 192, 300, 459, 80007, 999999, -1, None])
def test_a_code_that_nobody_lists_says_nothing_about_the_record(code: int | None) -> None:
    assert classify(code, None, 400) is Unavailable


@pytest.mark.parametrize("code", [1, 3, 10, 100, 190, 2500, 31337])
def test_what_meta_calls_transient_and_every_5xx_is_asked_again(code: int) -> None:
    assert classify(code, None, 400, is_transient=True) is Unavailable
    assert classify(code, None, 503) is Unavailable


@pytest.mark.parametrize(("code", "kind"), [(4, OverBudget), (80005, OverBudget), (368, Blocked)])
def test_what_asking_again_makes_worse_is_never_transient(code: int, kind: type[GraphError]) -> None:
    """Meta does send `is_transient: true` with code 4."""
    assert classify(code, None, 400, is_transient=True) is kind
    assert classify(code, None, 500) is kind


def test_a_wrong_app_secret_is_lost_access_and_not_a_bad_field() -> None:
    """The same code 100; only the envelope's type tells them apart."""
    field = refusal({"code": 100, "type": "OAuthException", "message": "(#100) Tried accessing nonexisting field"}, 400)
    proof = refusal({"code": 100, "type": "GraphMethodException", "message": "Invalid appsecret_proof provided"}, 400)
    gone = refusal({"code": 100, "error_subcode": 33, "type": "GraphMethodException"}, 400)

    assert type(field) is BadAsk
    assert isinstance(proof, AccessLost)
    assert (proof.scope, proof.reason) == ("token", "app-secret")
    assert type(gone) is Missing


def test_codes_written_as_strings_count() -> None:
    assert type(refusal({"code": "190", "error_subcode": "463"}, 400)) is AccessLost


@pytest.mark.parametrize("code", [True, 190.0, "", "190x", "9" * 5000, None, [], {}])
def test_a_code_that_is_no_number_is_no_code(code: object) -> None:
    error = refusal({"code": code}, 400)

    assert type(error) is Unavailable
    assert error.code is None


def test_an_error_shows_numbers_and_the_trace_for_metas_support() -> None:
    error = refusal({"code": 190, "error_subcode": 463, "fbtrace_id": "AtIG5F5d/wx_8+Lj2s-A="}, 400)

    assert str(error) == "token-expired (code 190, subcode 463, http 400, trace AtIG5F5d/wx_8+Lj2s-A=)"
    assert str(Unavailable("timeout")) == "timeout"


PLANTED = "EAAGplantedtoken"
envelopes = st.dictionaries(
    st.sampled_from(["code", "error_subcode", "type", "message", "fbtrace_id", "is_transient", "error_user_msg", "x"]),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.just(f"has {PLANTED} in it"),
        st.just([PLANTED]),
        st.just({"x": PLANTED}),
        st.sampled_from([1, 2, 4, 10, 33, 100, 190, 368, 463, 80005, "100"]),
    ),
)


@given(envelopes, st.integers(100, 599))
def test_any_envelope_is_an_error_that_quotes_nothing(envelope: dict[str, object], status: int) -> None:
    error = refusal(envelope, status)

    assert type(error) in {Unavailable, OverBudget, AccessLost, Missing, Blocked, BadAsk}
    assert PLANTED not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
