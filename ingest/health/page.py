"""Findings about one page, from what was seen of it. Performs no I/O; times are unix seconds.

They are told in the order of their causes: what one explains is not told after it.
"""

import re
from collections.abc import Iterator

from ingest.health.finding import Code, Finding
from ingest.health.seen import AppSeen, PageSeen
from ingest.health.tokens import dead, judge_token
from ingest.health.wording import found
from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import LeadAccess, PageNode, Sample, TokenFacts

NEAR = 75.0  # percent of a budget; what is left belongs to live leads


def judge_page(app: AppSeen, seen: PageSeen, *, now: float, alarm_days: float) -> Iterator[Finding]:
    """What is wrong with the page, what is about to be, and what is fine."""
    page_id = seen.page.page_id
    if isinstance(seen.token, GraphError):
        yield from _judge_refused_token(app, seen, seen.token)
    elif seen.token is not None:
        yield from judge_token(seen.page, seen.token, now=now, alarm_days=alarm_days)
    elif app.app_id is not None and app.has_secret and app.refused is None:
        yield found("token-unread", "Meta does not say whether the token is valid.", page_id=page_id)
    # A page whose token is dead, or not its own, was asked nothing.
    if isinstance(seen.node, GraphError):
        if not _is_the_apps(seen.node):
            yield refused(seen.node, app_id=None, page_id=page_id)
    elif seen.node is not None:
        yield from _judge_access(seen, seen.node)
        yield from _judge_subscription(app, seen)
    yield from _judge_budget(seen)


def refused(error: GraphError, *, app_id: str | None, page_id: str | None) -> Finding:
    """What a refused call means for the page, or for the app where no page is named."""
    code: Code
    whose = "this page" if page_id is not None else "the app"
    match error:
        case OverBudget(regain_after=wait):
            code = "over-budget" if page_id is not None else "app-over-budget"
            until = "" if wait is None else f" for another {max(1, round(wait / 60))} minutes, by its estimate"
            what = f"Meta refuses calls for {whose}{until} ({told(error)})."
        case Blocked():
            code, what = "blocked", f"Meta has blocked whoever the token stands for, for policy ({told(error)})."
        case AccessLost(scope="token"):
            code, why = dead(error.subcode)
            what = f"The token is dead: {why} ({told(error)})."
        case AccessLost():
            code = "permission-refused"
            what = f"Meta says that a permission on {whose} was not granted, or was taken back ({told(error)})."
        case Missing():
            code, what = "page-not-visible", f"With this token Meta shows no page {page_id} ({told(error)})."
        case Unavailable():
            code, what = "meta-unanswered", f"Meta did not answer about {whose} ({told(error)})."
        case _:
            code, what = "ask-refused", f"Meta does not take what was asked about {whose} ({told(error)})."
    return found(code, what, app_id=app_id, page_id=page_id)


def _judge_refused_token(app: AppSeen, seen: PageSeen, error: GraphError) -> Iterator[Finding]:
    page_id = seen.page.page_id
    if isinstance(error, BadAsk):  # "The App_id in the input_token did not match the Viewing App", seen by many
        what = f"Meta tells app {app.app_id} nothing of this token: it was made for another app ({told(error)})."
        yield found("token-of-another-app", what, page_id=page_id)
    elif not (isinstance(error, OverBudget) and error.scope == "app"):  # which is told of the app
        yield found("token-unread", f"Meta did not say what the token is ({told(error)}).", page_id=page_id)


def _judge_access(seen: PageSeen, node: PageNode) -> Iterator[Finding]:
    page_id, access = seen.page.page_id, node.access
    match access.can_access_lead:
        case False:
            who = _who(access)
            quoted = [f'"{_quoted(said)}"' for said in (access.failure_reason, access.failure_resolution) if said]
            what = " ".join([f"Meta lets {who} read no lead of this page.", *(["It says:"] if quoted else []), *quoted])
            yield found("lead-access-denied", what, page_id=page_id)
            return
        case True:
            yield found("lead-access-granted", "Meta says that leads of this page may be read.", page_id=page_id)
        case None:
            yield found("lead-access-unknown", "Meta does not say whether leads may be read.", page_id=page_id)
    if not isinstance(seen.token, TokenFacts) or seen.token.grants("leads_retrieval", page_id):  # else it is explained
        yield from _judge_leads(page_id, seen.leads)


def _who(access: LeadAccess) -> str:
    match access.app_has_leads_permission, access.user_has_leads_permission:
        case False, True:
            return "the app"
        case True, False:
            return "the token's person"
        case _:
            return "the app or the token's person"


def _judge_leads(page_id: str, leads: Sample | GraphError | None) -> Iterator[Finding]:
    match leads:
        case BadAsk() | AccessLost(reason="capability"):
            what = f"A field of its leads may not be read with this token ({told(leads)})."
            yield found("lead-fields-refused", what, page_id=page_id)
        case Missing() | AccessLost():
            yield found(
                "leads-refused", f"Trying to read leads of this page was refused ({told(leads)}).", page_id=page_id
            )
        case GraphError():
            yield refused(leads, app_id=None, page_id=page_id)
        case Sample(leads=0):
            yield found("leads-untried", "There is no lead to try to read.", page_id=page_id)
        case Sample(left_out=names) if names:
            what = f"Leads of ads come without {', '.join(names)}."
            yield found("lead-fields-left-out", what, page_id=page_id)
        case Sample(leads=number):
            what = f"{number} lead{'' if number == 1 else 's'} could be read; answers were not asked for."
            yield found("leads-read", what, page_id=page_id)


def _judge_subscription(app: AppSeen, seen: PageSeen) -> Iterator[Finding]:
    page_id = seen.page.page_id
    if isinstance(seen.apps, GraphError) or seen.apps is None:
        what = f"Which apps are installed on this page could not be read ({told(seen.apps)})."
        yield found("page-subscription-unread", what, page_id=page_id)
        return
    ours = [each for each in seen.apps if app.app_id in (None, each.app_id)]
    if not ours:
        yield found("page-not-subscribed", "Our app is not installed on this page.", page_id=page_id)
    elif not any("leadgen" in each.fields for each in ours):
        fields = ", ".join(sorted(frozenset[str]().union(*(each.fields for each in ours)))) or "nothing"
        what = f"Our app is installed on this page for {fields}, and not for leadgen."
        yield found("page-without-leadgen", what, page_id=page_id)
    else:
        yield found("page-subscribed", "Our app is installed on this page for leadgen.", page_id=page_id)


def _judge_budget(seen: PageSeen) -> Iterator[Finding]:
    if seen.load is not None and seen.load.fullest >= NEAR:
        what = f"{seen.load.fullest:.0f} % of this page's budget of calls is used up."
        yield found("budget-near", what, page_id=seen.page.page_id)


def told(error: GraphError | None) -> str:
    """The reason and Meta's numbers, to stand in brackets."""
    return "not asked" if error is None else str(error).replace(" (", ", ").rstrip(")")


def _is_the_apps(error: GraphError) -> bool:
    """Told of the app, once for all of its pages."""
    if isinstance(error, OverBudget):
        return error.scope == "app"
    return isinstance(error, AccessLost) and error.reason in ("app-secret", "capability")


def _quoted(said: str) -> str:
    """Meta's sentence, as far as it is one: plain, short, and nothing in it that could be a token."""
    plain = re.sub(r"\s+", " ", "".join(each for each in said if each.isprintable() or each.isspace()))
    return re.sub(r"\S{40,}", "...", plain).strip()[:300]
