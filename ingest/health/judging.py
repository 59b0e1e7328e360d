"""Findings from what was seen of Meta. Performs no I/O; times are unix seconds but where they say milliseconds.

One cause is told once: what a dead token, a denied page or an app that Meta refuses explains is not told beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from ingest.health.finding import Finding
from ingest.health.page import NEAR, judge_page, refused, told
from ingest.health.seen import AppSeen, Evidence, Seen, is_no_answer
from ingest.health.wording import found
from ingest.meta.errors import AccessLost, GraphError, OverBudget, Unavailable
from ingest.meta.graph import Subscription

SKEW = 60.0  # seconds; a second or two are the way of the answer
_SOON = 90  # days before a version ends
# developers.facebook.com/docs/graph-api/changelog; a version that is not here is newer than this table, or over
_ENDS = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an answer is judged by: the time, the version that was asked for, and days before an expiry to alarm.

    `graph_url` is where Meta is: a Meta on this machine reaches callbacks here. `evidence` is None where the door's
    topics were not read.
    """

    now: float
    api_version: str
    alarm_days: float
    graph_url: str = "https://graph.facebook.com"
    evidence: Evidence | None = None


def judge(seen: Seen, given: Circumstances) -> list[Finding]:
    """Every finding there is, those about all first, then each app's, then each page's."""
    findings = [finding for app in seen.apps for finding in _judge_settings(app)]
    if error := _silence(seen):
        return [found("meta-unanswered", f"Meta does not answer at {given.graph_url} ({told(error)})."), *findings]
    findings = [*_judge_version(seen, given), *_judge_clock(seen), *findings]
    for app in seen.apps:
        findings += _judge_app(app, given)
    for app in seen.apps:
        for page in app.pages:
            findings += judge_page(app, page, now=given.now, alarm_days=given.alarm_days)
    return findings


def _judge_version(seen: Seen, given: Circumstances) -> Iterator[Finding]:
    asked = given.api_version
    for served in sorted(seen.versions - {asked}):
        what = f"Meta serves {served} in place of {asked}, which is over or not there yet."
        yield found("version-not-served", what, about=served)
    if asked in seen.versions:
        ends = _ENDS.get(asked)
        left = None if ends is None else (ends - datetime.fromtimestamp(given.now, tz=UTC).date()).days
        if left is not None and left <= _SOON:
            yield found("version-ends", f"{asked} of Meta's API ends on {ends}, in {left} days.", about=asked)
        else:
            yield found("version-served", f"Meta serves {asked}, which was asked for.", about=asked)


def _judge_clock(seen: Seen) -> Iterator[Finding]:
    if seen.skew is None:
        return
    if abs(seen.skew) > SKEW:
        side = "behind" if seen.skew > 0 else "ahead of"
        yield found("clock-skewed", f"This machine's clock is {abs(seen.skew):.0f} s {side} Meta's.")
    else:
        yield found("clock-right", f"This machine's clock is within {SKEW:.0f} s of Meta's.")


def _judge_settings(app: AppSeen) -> Iterator[Finding]:
    if app.app_id is None:
        what = f"META_PAGES_FILE does not say which app the token of {_pages(app)} is of."
        yield found("app-id-unknown", what)
    if not app.has_secret:
        what = f"META_APP_SECRETS has no secret of {_name(app)}."
        yield found("app-secret-missing", what, app_id=app.app_id)


def _judge_app(app: AppSeen, given: Circumstances) -> Iterator[Finding]:
    errors = list(_errors(app))
    if app.has_secret and any(isinstance(each, AccessLost) and each.reason == "app-secret" for each in errors):
        what = f"Meta refuses the proof made with the secret of {_name(app)}: it is another app's, or was replaced."
        yield found("app-secret-wrong", what, app_id=app.app_id)
    elif app.refused is not None and is_no_answer(app.refused):
        yield refused(app.refused, app_id=app.app_id, page_id=None)
    elif app.refused is not None:
        what = f"Meta does not take the own token of {_name(app)}, `<app id>|<secret>` ({told(app.refused)})."
        yield found("app-refused", what, app_id=app.app_id)
    if any(isinstance(each, AccessLost) and each.reason == "capability" for each in _errors_of_nodes(app)):
        what = f"Meta says that {_name(app)} was not granted a feature that a call needs (code 3)."
        yield found("capability-missing", what, app_id=app.app_id)
    yield from _judge_budget(app, errors)
    if app.app_id is not None and app.has_secret and app.refused is None:
        yield from _judge_subscription(app, app.app_id, given)
        yield from _judge_evidence(app, app.app_id, given)
        what = "Whether the app is Live or in development mode is in no answer of Meta's."
        yield found("app-mode-unknown", what, app_id=app.app_id)


def _judge_subscription(app: AppSeen, app_id: str, given: Circumstances) -> Iterator[Finding]:
    said = app.subscription
    if isinstance(said, GraphError) or said is None:
        if not isinstance(said, OverBudget):
            what = f"The app's subscription could not be read ({told(said)})."
            yield found("app-subscription-unread", what, app_id=app_id)
        return
    if not isinstance(said, Subscription):
        yield found("app-not-subscribed", "The app has no webhook for pages.", app_id=app_id)
        return
    where = (said.callback_url or "nowhere").partition("?")[0]  # what follows may be somebody's secret
    if said.is_active is False:
        yield found("app-inactive", f"The app's webhook, to {where}, is not active.", app_id=app_id)
    elif "leadgen" not in said.fields:
        fields = ", ".join(sorted(said.fields)) or "no field"
        what = f"The app's webhook, to {where}, is for {fields} and not for leadgen."
        yield found("app-without-leadgen", what, app_id=app_id)
    else:
        yield found("app-subscribed", f"The app's webhook for leadgen goes to {where}.", app_id=app_id)
    if why := _unreachable(said.callback_url, given.graph_url):
        yield found("callback-unreachable", f"Meta cannot reach {where}: {why}.", app_id=app_id)
        return
    if given.evidence is None:
        what = f"What came to the door, which should be at {where}, was not read."
        yield found("callback-unproven", what, app_id=app_id)
    elif (newest := _newest(app, given.evidence.with_values)) is None:
        what = f"Nothing of this app's pages came to the door lately, which should be at {where}."
        yield found("callback-unproven", what, app_id=app_id)
    else:
        what = f"The newest notification came to the door on {_moment(newest)}."
        yield found("callback-reached", what, app_id=app_id)


def _judge_evidence(app: AppSeen, app_id: str, given: Circumstances) -> Iterator[Finding]:
    """`Include Values` is in no answer of Meta's; what came to the door tells it, and the newest is right."""
    if given.evidence is None:
        what = "Whether values are included is in no answer of Meta's, and what came to the door was not read."
        yield found("values-unknown", what, app_id=app_id)
        return
    without, with_ = _newest(app, given.evidence.without_values), _newest(app, given.evidence.with_values)
    if without is not None and (with_ is None or with_ < without):
        what = f"The newest notification, of {_moment(without)}, came without values."
        yield found("values-switched-off", what, app_id=app_id)
    elif with_ is not None:
        yield found("values-arrive", "Notifications come with their values.", app_id=app_id)
    else:
        what = "Whether values are included shows in what comes to the door, and nothing has come lately."
        yield found("values-unknown", what, app_id=app_id)


def _judge_budget(app: AppSeen, errors: Sequence[GraphError]) -> Iterator[Finding]:
    over = next((each for each in errors if isinstance(each, OverBudget) and each.scope == "app"), None)
    if over is not None and over is not app.refused:  # which is told already
        yield refused(over, app_id=app.app_id, page_id=None)
    elif app.load is not None and app.load.fullest >= NEAR:
        what = f"{app.load.fullest:.0f} % of the app's budget of calls is used up."
        yield found("app-budget-near", what, app_id=app.app_id)


def _silence(seen: Seen) -> GraphError | None:
    """Why nobody was answered at all; None where somebody was."""
    errors = [error for app in seen.apps for error in _errors(app)]
    is_silent = all(isinstance(each, Unavailable) and is_no_answer(each) for each in errors)
    return errors[0] if errors and is_silent and not seen.versions else None


def _errors(app: AppSeen) -> Iterator[GraphError]:
    for each in (app.refused, app.subscription):
        if isinstance(each, GraphError):
            yield each
    for page in app.pages:
        yield from page.errors


def _errors_of_nodes(app: AppSeen) -> Iterator[GraphError]:
    """Of the pages alone: of a lead it can be a single field that is refused so."""
    return (page.node for page in app.pages if isinstance(page.node, GraphError))


def _unreachable(callback: str | None, graph_url: str) -> str | None:
    """Why Meta cannot reach it, where that is certain: it insists on HTTPS, and comes from outside."""
    parts = urlsplit(callback or "")
    if callback is None or _is_private(urlsplit(graph_url).hostname):
        return None
    if parts.scheme != "https":
        return "it is not HTTPS"
    return "it is an address of a private network" if _is_private(parts.hostname) else None


def _is_private(host: str | None) -> bool:
    try:
        return not ip_address(host or "").is_global
    except ValueError:
        return host == "localhost"


def _newest(app: AppSeen, at: Mapping[str, int]) -> int | None:
    """Of the app's pages the newest, in unix milliseconds."""
    return max((at[page.page.page_id] for page in app.pages if page.page.page_id in at), default=None)


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"


def _name(app: AppSeen) -> str:
    return "the app" if app.app_id is None else f"app {app.app_id}"


def _pages(app: AppSeen) -> str:
    ids = [page.page.page_id for page in app.pages]
    return f"page {ids[0]}" if len(ids) == 1 else f"{len(ids)} pages"
