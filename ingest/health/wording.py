"""What each finding means for a person: how bad it is, what it causes, what to do. Performs no I/O.

One sentence each. What exactly was found is said by whoever judges it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.health.finding import Code, Finding, Severity

_NO_LEAD = (
    "No lead of this page can be read; they are parked and nothing is lost until Meta deletes them after 90 days."
)
_NO_WORD = "Meta tells us of no new lead: only `leadstream reconcile` finds them."
_ANOTHER = "Make a new token of this page and put it in META_PAGES_FILE; `leadstream pages add` walks you there."
_RETRY = "Run it again in a moment."
_HOOK = (
    "Run `leadstream pages subscribe --all --callback https://... --yes`, with the address where Meta reaches"
    " `leadstream serve`, or set it in the app's dashboard under Webhooks."
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    severity: Severity
    causes: str | None = None
    do: str | None = None


_FINE = _Meaning("fine")
_MEANINGS: Mapping[Code, _Meaning] = {
    "settings-unusable": _Meaning(
        "wrong", "Nothing can be asked with it.", "Set it right; .env.example lists every setting."
    ),
    "no-pages": _Meaning("warning", "No lead is fetched.", "Add a page with `leadstream pages add`."),
    "meta-unanswered": _Meaning(
        "wrong",
        "What was to be looked at is not known; if it lasts, leads wait.",
        "Look at the network and at META_GRAPH_URL, and at Meta's own status page, then run this again.",
    ),
    "version-not-served": _Meaning(
        "wrong",
        "Fields may be missing or mean something else without a word.",
        "Set META_API_VERSION to a version that lives (developers.facebook.com/docs/graph-api/changelog).",
    ),
    "version-ends": _Meaning(
        "warning",
        "From that day on Meta serves another version without a word.",
        "Set META_API_VERSION to a newer one before that.",
    ),
    "version-served": _FINE,
    "clock-skewed": _Meaning(
        "wrong",
        "Pauses, retries and expiries are counted wrongly, and TLS and Kafka may refuse us.",
        "Set this machine's clock by NTP.",
    ),
    "clock-right": _FINE,
    "app-id-unknown": _Meaning(
        "not-known",
        "Its tokens' expiry, their permissions and the app's subscription cannot be looked at without using a token.",
        "Give these pages an app_id in META_PAGES_FILE.",
    ),
    "app-secret-missing": _Meaning(
        "wrong",
        "Its webhooks are refused at the door with 401, and its tokens cannot be looked at.",
        "Add `<app id>:<secret>` to META_APP_SECRETS, from the app's dashboard under Settings, Basic.",
    ),
    "app-secret-wrong": _Meaning(
        "wrong",
        "Meta refuses every call for a page of this app, and the door refuses its webhooks with 401.",
        "Put the app's current secret first in META_APP_SECRETS, from the app's dashboard under Settings, Basic.",
    ),
    "app-refused": _Meaning(
        "wrong",
        "Its tokens' expiry, their permissions and the app's subscription cannot be looked at.",
        "Compare app_id in META_PAGES_FILE, and the secret beside it, with the app's dashboard.",
    ),
    "capability-missing": _Meaning(
        "wrong", "Meta refuses what needs it.", "Ask for the feature in the app's dashboard under App Review."
    ),
    "app-not-subscribed": _Meaning(
        "wrong",
        _NO_WORD,
        _HOOK,
    ),
    "app-inactive": _Meaning("wrong", _NO_WORD, _HOOK),
    "app-without-leadgen": _Meaning("wrong", _NO_WORD, _HOOK),
    "app-subscribed": _FINE,
    "app-subscription-unread": _Meaning("not-known", "Whether webhooks are sent at all is not known.", _RETRY),
    "callback-unreachable": _Meaning("wrong", _NO_WORD, _HOOK),
    "callback-unproven": _Meaning(
        "not-known",
        "From here it cannot be told whether Meta reaches it.",
        "Send a test from the app's dashboard under Webhooks, then run this again.",
    ),
    "callback-reached": _FINE,
    "values-switched-off": _Meaning(
        "wrong",
        "Notifications name no lead, so none can be fetched from them.",
        "Switch `Include Values` on in the app's dashboard under Webhooks, then run `leadstream reconcile`.",
    ),
    "values-arrive": _FINE,
    "values-unknown": _Meaning(
        "not-known", None, "Send a test from the app's dashboard under Webhooks, then run this again."
    ),
    "app-mode-suspected": _Meaning(
        "warning",
        "An app in development mode reads only leads of people with a role in the app.",
        "Look whether the app is Live in its dashboard, of type Business and in the page's Business Manager.",
    ),
    "app-mode-unknown": _Meaning("not-known", None, "Look in the app's dashboard whether it is Live."),
    "app-over-budget": _Meaning(
        "wrong", "Nothing can be asked for any page of this app; leads wait.", "Wait; calls until then make it longer."
    ),
    "app-budget-near": _Meaning(
        "warning", "When it is full, every page of this app waits.", "Run backfill and reconcile less often, or later."
    ),
    "token-app-removed": _Meaning("wrong", _NO_LEAD, f"Let the person authorise the app again. {_ANOTHER}"),
    "token-checkpointed": _Meaning(
        "wrong", _NO_LEAD, "Let the token's person log in at www.facebook.com and follow what is asked there."
    ),
    "token-password-changed": _Meaning("wrong", _NO_LEAD, _ANOTHER),
    "token-expired": _Meaning("wrong", _NO_LEAD, f"{_ANOTHER} Make it from a long-lived user or a system user."),
    "token-unconfirmed": _Meaning("wrong", _NO_LEAD, "Let the token's person confirm the account at www.facebook.com."),
    "token-logged-out": _Meaning("wrong", _NO_LEAD, _ANOTHER),
    "token-role-lost": _Meaning(
        "wrong", _NO_LEAD, "Give the token's person a role on the page again, or make a token of somebody who has one."
    ),
    "token-invalid": _Meaning("wrong", _NO_LEAD, _ANOTHER),
    "token-of-another-app": _Meaning(
        "wrong",
        "Calls carry a proof under the wrong secret, which Meta refuses.",
        "Set this page's app_id in META_PAGES_FILE to the token's app, or make the token for this app.",
    ),
    "token-of-another-page": _Meaning("wrong", _NO_LEAD, "Give each page in META_PAGES_FILE its own token."),
    "token-not-a-pages": _Meaning(
        "warning",
        "Calls are counted as the person's, and the page cannot be subscribed with it.",
        _ANOTHER,
    ),
    "token-short-lived": _Meaning(
        "wrong",
        "It was made from a short-lived user token and dies within hours.",
        "Exchange the user token for a long-lived one first; `leadstream pages add` does.",
    ),
    "token-expires": _Meaning("wrong", "From then on no lead of this page can be read.", _ANOTHER),
    "token-lives": _FINE,
    "token-unread": _Meaning("not-known", "Whether the token works is not known.", _RETRY),
    "data-access-expired": _Meaning(
        "wrong",
        "The token is valid, but Meta gives it no more data of its person's pages.",
        "Let the token's person authorise the app again, and make a new token.",
    ),
    "data-access-expires": _Meaning(
        "wrong",
        "From then on the token stays valid, but no lead can be read with it.",
        "Let the token's person authorise the app again before that.",
    ),
    "scope-missing": _Meaning("wrong"),  # by the scope: see SCOPES
    "scope-not-for-page": _Meaning("wrong"),
    "scopes-granted": _FINE,
    "page-not-visible": _Meaning(
        "wrong",
        _NO_LEAD,
        "Compare the page id with META_PAGES_FILE, and see whether the page was removed or unpublished.",
    ),
    "permission-refused": _Meaning(
        "wrong", _NO_LEAD, "Grant the app its permissions on this page again, and make a new token."
    ),
    "lead-access-denied": _Meaning(
        "wrong",
        "Webhooks arrive, but every lead of this page is refused and parked.",
        "Assign the app and the token's person in the page's Leads Access Manager (Business settings, Integrations).",
    ),
    "lead-access-granted": _FINE,
    "lead-access-unknown": _Meaning("not-known", None, "Look at the Leads Access Manager in Business settings."),
    "page-not-subscribed": _Meaning(
        "wrong", _NO_WORD, "Install the app on it with `leadstream pages subscribe --page ID --yes`."
    ),
    "page-without-leadgen": _Meaning(
        "wrong",
        _NO_WORD,
        "Add `leadgen` to what the app listens to there with `leadstream pages subscribe --page ID --yes`.",
    ),
    "page-subscribed": _FINE,
    "page-subscription-unread": _Meaning(
        "not-known", "Whether webhooks of this page are sent is not known.", "See to its other findings first."
    ),
    "leads-refused": _Meaning(
        "wrong",
        "Meta says that its leads may be read, and refuses them.",
        "Look at the Leads Access Manager and at the app's permissions, and whether the app is Live.",
    ),
    "lead-fields-refused": _Meaning(
        "warning",
        "Each lead costs a second call with fewer fields, and goes on without its ad, adset and campaign.",
        "Grant ads_management, and give the token's person advertiser access to the ad account.",
    ),
    "lead-fields-left-out": _Meaning(
        "warning",
        "Leads go on without the names of their ad, adset and campaign.",
        "Grant ads_management, and give the token's person advertiser access to the ad account.",
    ),
    "leads-read": _FINE,
    "leads-untried": _Meaning("not-known", None, "Make one with Meta's Lead Ads Testing Tool, then run this again."),
    "over-budget": _Meaning(
        "wrong", "Nothing can be asked for this page; its leads wait.", "Wait; calls until then make it longer."
    ),
    "budget-near": _Meaning(
        "warning",
        "What is left belongs to live leads: backfill and reconcile wait.",
        "Run backfill and reconcile less often, or later.",
    ),
    "blocked": _Meaning(
        "wrong", "Every further call makes it worse.", "Look at the app's dashboard and its alerts for what was broken."
    ),
    "ask-refused": _Meaning("not-known", None, "Compare META_API_VERSION with Meta's changelog."),
    "access-broken": _Meaning(
        "wrong",
        "Leads of it are parked and not asked for.",
        "Run `work retry`, which opens it at one of its looks, one each ACCESS_CHECK seconds; or"
        " `leadstream parked release`.",
    ),
    "access-doubtful": _Meaning(
        "warning",
        "Single leads of it are parked until another lead of it is read.",
        "Nothing by itself; `leadstream parked list` shows which.",
    ),
    "access-paused": _Meaning("warning", "Nothing is asked until then; leads wait.", "Wait: it goes on by itself."),
    "page-not-looked-at": _Meaning("not-known", None, None),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """A permission that lead ads need (developers.facebook.com, webhooks for leadgen), and what is missing without."""

    severity: Severity
    causes: str


SCOPES: Mapping[str, Scope] = {
    "leads_retrieval": Scope("wrong", "Meta refuses every lead of this page (#200)."),
    "pages_manage_metadata": Scope("wrong", "The app cannot be subscribed to this page, so no webhook is sent."),
    "pages_read_engagement": Scope("wrong", "The page and its forms may not be read: leads go on without labels."),
    "pages_show_list": Scope("warning", "The page is in no list of pages, so `leadstream pages add` does not find it."),
    "ads_management": Scope("warning", "Leads go on without the names of their ad, adset and campaign."),
}
GRANT = (
    "Grant {scope} to the app for this page when you log in, and make a new token; the app may need App Review for it."
)


def found(
    code: Code, what: str, *, app_id: str | None = None, page_id: str | None = None, about: str | None = None
) -> Finding:
    """The finding with what it means."""
    meaning = _MEANINGS[code]
    severity, causes, do = meaning.severity, meaning.causes, meaning.do
    if about is not None and (scope := SCOPES.get(about)) is not None:
        severity, causes, do = scope.severity, scope.causes, GRANT.format(scope=about)
    return Finding(
        code=code, severity=severity, what=what, causes=causes, do=do, app_id=app_id, page_id=page_id, about=about
    )
