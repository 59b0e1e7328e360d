"""What can go wrong when Meta is asked, cut by what the caller does next. Performs no I/O of its own.

    GraphError
    ├── Unavailable    no answer, or none that can be read: ask again, with growing pauses
    ├── OverBudget     an app, token or page has asked too often: pause it until `regain_after`, do not probe
    ├── AccessLost     an app, token or page may not read this: park, and tell an operator
    ├── Missing        not there, or not for this token: wait out the delivery race, then park this record alone
    ├── Blocked        the actor broke a policy: stop it for hours
    └── BadAsk         this ask can never be answered: once with fewer fields, then give up

The class is decided from Meta's numbers, never from its sentences. An error never carries Meta's message, a URL or a
header: each of them may quote a token, an id or an answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict, Unpack

Scope = Literal["app", "token", "page"]

Reason = Literal[
    # Unavailable
    "no-connection",  # refused, reset, no route, no name, no handshake
    "timeout",
    "truncated",  # the connection ended inside the answer
    "redirected",  # Graph does not redirect; a token is not carried to another address
    "empty",
    "not-utf8",
    "not-json",
    "not-an-object",  # JSON, but not of the shape that was asked for
    "another-object",  # an answer about something that was not asked for
    "server-error",  # 5xx
    "no-envelope",  # a failing status without Meta's error envelope: some proxy's words
    "transient",  # Meta says so itself
    "unknown-error",  # code 1
    "service-down",  # code 2
    "unknown-code",  # a number that no source names
    "not-answered",  # an item of a batch that Meta left out
    # OverBudget
    "app-limit",
    "token-limit",
    "page-limit",
    "custom-limit",
    "business-limit",
    # AccessLost
    "capability",  # the app was not granted a feature
    "permission",  # a permission was not granted, or was taken back
    "session",
    "token-invalid",
    "token-expired",
    "app-not-installed",
    "checkpointed",  # the token's person must log in and pass a check
    "password-changed",
    "unconfirmed",
    "page-role",  # the token's person has no role on the page any more
    "app-secret",  # the appsecret_proof is missing or made with another app's secret
    # Missing, Blocked, BadAsk
    "too-large",  # more bytes than any answer of this kind has
    "not-found",
    "blocked",
    "bad-field",  # a field or parameter that does not exist, or that this token may not name
    "bad-ask",
    "bad-id",  # not an id: nothing was asked
]


class Said(TypedDict):
    """What Meta said in numbers. `trace` is its fbtrace_id, which its support asks for."""

    code: NotRequired[int | None]
    subcode: NotRequired[int | None]
    http_status: NotRequired[int | None]
    trace: NotRequired[str | None]
    is_transient: NotRequired[bool]


class GraphError(Exception):
    """Meta did not answer as asked; `reason` is a word from a closed list, fit for logs, metrics and headers."""

    def __init__(self, reason: Reason, **said: Unpack[Said]) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.code = said.get("code")
        self.subcode = said.get("subcode")
        self.http_status = said.get("http_status")
        self.trace = said.get("trace")
        self.is_transient = said.get("is_transient", False)

    def __str__(self) -> str:
        numbers = {"code": self.code, "subcode": self.subcode, "http": self.http_status, "trace": self.trace}
        told = ", ".join(f"{name} {value}" for name, value in numbers.items() if value is not None)
        return f"{self.reason} ({told})" if told else self.reason


class Unavailable(GraphError):
    """Says nothing about the record: the same ask may be answered in a moment."""


class OverBudget(GraphError):
    """`scope` may not be asked for `regain_after` seconds; None where Meta gave no estimate."""

    def __init__(
        self, reason: Reason, *, scope: Scope, regain_after: float | None = None, **said: Unpack[Said]
    ) -> None:
        super().__init__(reason, **said)
        self.scope: Scope = scope
        self.regain_after = regain_after


class AccessLost(GraphError):
    """`scope` may not read this until a person repairs it; asking again changes nothing."""

    def __init__(self, reason: Reason, *, scope: Scope, **said: Unpack[Said]) -> None:
        super().__init__(reason, **said)
        self.scope: Scope = scope


class Missing(GraphError):
    """No such object, or none that this token may see: Meta does not say which (100/33)."""


class Blocked(GraphError):
    """Whoever the token stands for was blocked for policy; every further call makes it worse."""


class BadAsk(GraphError):
    """Wrong in itself: a field, a parameter, an alias, a version. The same ask fails for ever."""


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: type[GraphError]
    reason: Reason
    scope: Scope = "page"  # means something for OverBudget and AccessLost only


# developers.facebook.com/docs/graph-api/guides/error-handling and .../overview/rate-limiting
_BY_CODE: Mapping[int, _Rule] = {
    1: _Rule(Unavailable, "unknown-error"),
    2: _Rule(Unavailable, "service-down"),
    3: _Rule(AccessLost, "capability", "app"),
    4: _Rule(OverBudget, "app-limit", "app"),
    10: _Rule(AccessLost, "permission", "page"),
    17: _Rule(OverBudget, "token-limit", "token"),
    32: _Rule(OverBudget, "page-limit", "page"),
    100: _Rule(BadAsk, "bad-field"),
    102: _Rule(AccessLost, "session", "token"),
    105: _Rule(BadAsk, "bad-ask"),
    190: _Rule(AccessLost, "token-invalid", "token"),
    **{code: _Rule(AccessLost, "permission", "page") for code in range(200, 300)},
    341: _Rule(OverBudget, "app-limit", "app"),
    368: _Rule(Blocked, "blocked"),
    506: _Rule(BadAsk, "bad-ask"),
    613: _Rule(OverBudget, "custom-limit", "token"),
    803: _Rule(BadAsk, "bad-ask"),
    2200: _Rule(BadAsk, "bad-ask"),
    2500: _Rule(BadAsk, "bad-ask"),
    2635: _Rule(BadAsk, "bad-ask"),
    # Whichever object ran out, all we can pause is the page whose lead was asked for.
    **{
        code: _Rule(OverBudget, "business-limit", "page")
        for code in (80000, 80001, 80002, 80003, 80004, 80005, 80006, 80008, 80009, 80014)
    },
}
# The subcodes of a dead token differ in what a person must repair, not in what the caller does.
_BY_SUBCODE: Mapping[tuple[int, int], _Rule] = {
    (100, 33): _Rule(Missing, "not-found"),
    (190, 458): _Rule(AccessLost, "app-not-installed", "token"),
    (190, 459): _Rule(AccessLost, "checkpointed", "token"),
    (190, 460): _Rule(AccessLost, "password-changed", "token"),
    (190, 463): _Rule(AccessLost, "token-expired", "token"),
    (190, 464): _Rule(AccessLost, "unconfirmed", "token"),
    (190, 492): _Rule(AccessLost, "page-role", "token"),
}
# Seen live as {"type": "GraphMethodException", "code": 100} without a subcode (facebook-python-business-sdk#528), where
# a bad field has the type OAuthException. Taken for a bad field, one wrong app secret would give up every lead.
_WRONG_PROOF = _Rule(AccessLost, "app-secret", "token")
# A number nobody listed says nothing about the record. Unavailable loses nothing: it is tried again and ends parked,
# where a person finds it; a dead letter would be wrong for every lead on the day Meta invents a code.
_UNKNOWN = _Rule(Unavailable, "unknown-code")


def classify(
    code: int | None,
    subcode: int | None = None,
    http_status: int | None = None,
    is_transient: bool = False,
    type_: str | None = None,
) -> type[GraphError]:
    """The class of a refusal. `type_` is the envelope's `type`, read only where a code has two meanings."""
    return _rule(code, subcode, http_status, is_transient, type_).kind


def refusal(envelope: Mapping[str, object], http_status: int, regain_after: float | None = None) -> GraphError:
    """The error that Meta's `error` object stands for, whatever it holds; `regain_after` in seconds, from headers."""
    code, subcode = _whole(envelope.get("code")), _whole(envelope.get("error_subcode"))
    is_transient = envelope.get("is_transient") is True
    type_, trace = envelope.get("type"), envelope.get("fbtrace_id")
    said = Said(
        code=code,
        subcode=subcode,
        http_status=http_status,
        trace=trace if isinstance(trace, str) and re.fullmatch(r"[\w/+=-]{1,64}", trace, re.ASCII) else None,
        is_transient=is_transient,
    )
    rule = _rule(code, subcode, http_status, is_transient, type_ if isinstance(type_, str) else None)
    if rule.kind is OverBudget:
        return OverBudget(rule.reason, scope=rule.scope, regain_after=regain_after, **said)
    if rule.kind is AccessLost:
        return AccessLost(rule.reason, scope=rule.scope, **said)
    return rule.kind(rule.reason, **said)


def _rule(
    code: int | None, subcode: int | None, http_status: int | None, is_transient: bool, type_: str | None
) -> _Rule:
    rule = _UNKNOWN
    if code is not None:
        rule = _BY_SUBCODE.get((code, subcode or 0)) or _BY_CODE.get(code, _UNKNOWN)
    # A known number comes before the status and before Meta's own `is_transient`: code 4 is called transient too (seen
    # live), and a pause must not be spent asking again. What is unavailable anyway keeps the better reason.
    if rule.kind in (OverBudget, Blocked, Unavailable) and rule is not _UNKNOWN:
        return rule
    if is_transient:
        return _Rule(Unavailable, "transient")
    if http_status is not None and http_status >= 500:  # noqa: PLR2004  HTTP's own boundary
        return _Rule(Unavailable, "server-error")
    if code == 100 and not subcode and type_ == "GraphMethodException":  # noqa: PLR2004  Meta's "invalid parameter"
        return _WRONG_PROOF
    return rule


def _whole(value: object) -> int | None:
    """An integer, also where it was written as a string; a code of ten digits is none."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
