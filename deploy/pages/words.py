"""What a person reads while pages are set up: each refusal of Meta as a sentence that says what to do.

None of them shows a token: Meta's errors hold numbers and words of ours. What is wrong with a page that was looked at,
`ingest.health` says.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ingest.health import Code, Finding
from ingest.meta.errors import Blocked, GraphError, OverBudget, Reason, Unavailable
from ingest.meta.graph import TokenFacts

_ANOTHER = "make another one and run `leadstream pages add` with it"
_ADVICE: Mapping[Reason, str] = {
    "token-invalid": f"the token is not valid: {_ANOTHER}",
    "token-expired": f"the token has expired: {_ANOTHER}",
    "session": f"the token's session is over: {_ANOTHER}",
    "password-changed": f"the token died as its person's password was changed, or their session ended: {_ANOTHER}",
    "app-not-installed": f"the token's person has removed the app: let them grant it again, and {_ANOTHER}",
    "checkpointed": "the token's person has to log in at www.facebook.com and pass a check there first",
    "unconfirmed": "the token's person has to confirm their account at www.facebook.com first",
    "page-role": "the token's person has no role on the page any more: give them one, or use another person's token",
    "app-secret": (
        "META_APP_SECRETS has no secret of the app that this token was made for: take it from that app's dashboard,"
        " under Settings, Basic, or make the token for the app whose secret is there"
    ),
    "capability": "the app was not granted a feature that this needs: ask for it in its dashboard under App Review",
    "permission": (
        "the token may not do this: make another one with pages_manage_metadata and leads_retrieval, of a person with"
        " the tasks MANAGE and ADVERTISE on the page, and run `leadstream pages add` with it"
    ),
    "not-found": "Meta shows this token no such thing: look at the id, and at who may see the page",
    "no-connection": "Meta cannot be reached: look at the network, and at META_GRAPH_URL",
    "redirected": "what answers at META_GRAPH_URL is not the Graph API: look at its address",
}
# Nobody knows whether something is wrong there, and it is no page that can be relied on.
_UNREAD: frozenset[Code] = frozenset(
    {"token-unread", "page-subscription-unread", "app-subscription-unread", "ask-refused"}
)
_HANDSHAKE_FAILED = 2200  # FBS cheat sheet: (#2200) Callback verification failed


def explained(error: GraphError, *, callback: str | None = None) -> str:
    """What to do about it, and the numbers that Meta's support asks for. `callback` is what Meta was to call."""
    return f"{_advice(error, callback)} ({error})"


def wrong(findings: Iterable[Finding]) -> list[str]:
    """Of each that is, or that Meta did not say: what, what it causes, and what to do."""
    return [
        " ".join(part for part in (each.what, each.causes, each.do) if part)
        for each in findings
        if each.severity == "wrong" or each.code in _UNREAD
    ]


def ends(token: TokenFacts) -> str:
    """When a token does, in UTC."""
    if token.expires_at is None:
        return "not said"
    if token.expires_at == 0:
        return "never"
    try:
        return f"{datetime.fromtimestamp(token.expires_at, tz=UTC):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return "far away"


def printable(text: str) -> str:
    """What others wrote, without what a terminal would act on."""
    return "".join(each if each.isprintable() else " " for each in text)


def _advice(error: GraphError, callback: str | None) -> str:
    if error.code == _HANDSHAKE_FAILED and callback is not None:
        return (
            f"Meta called {callback} and did not get back what it sent. Is `leadstream serve` up? Does this address"
            " lead to its path /webhook, from outside too, by HTTPS with a certificate that is valid and not"
            " self-signed? Was it started with the META_VERIFY_TOKEN that this command has? Then try again"
        )
    match error:
        case OverBudget(regain_after=seconds):
            wait = "an hour" if seconds is None else f"{max(1, round(seconds / 60))} minutes"
            return f"Meta was asked too often: try again in {wait}, as calls until then make it longer"
        case Blocked():
            return "Meta has blocked the token's actor for policy: look at the app's dashboard and its alerts"
        case _ if error.reason in _ADVICE:
            return _ADVICE[error.reason]
        case Unavailable():
            return "Meta did not answer as it should: try again in a moment"
        case _:
            return "Meta does not take what was asked: compare META_API_VERSION with its changelog"
