"""What is seen of Meta becomes findings: one for each cause, also of odd answers; and nothing in them is a secret."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from pydantic import SecretStr

from ingest.health import AppSeen, Circumstances, Code, Evidence, Finding, PageSeen, Seen, found, judge
from ingest.health.seen import NotSubscribed
from ingest.health.wording import SCOPES
from ingest.meta.errors import AccessLost, BadAsk, Blocked, GraphError, Missing, OverBudget, Unavailable
from ingest.meta.graph import (
    BusinessUse,
    Installed,
    LeadAccess,
    Load,
    PageNode,
    Sample,
    Subscription,
    TokenFacts,
    Usage,
)
from ingest.meta.pages import PageAccess

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
DAY = 86_400
PAGE = PageAccess(page_id="1", token=SecretStr("planted-token"), app_id="7")
TOKEN = TokenFacts(
    is_valid=True,
    kind="PAGE",
    app_id="7",
    profile_id="1",
    issued_at=int(NOW) - 30 * DAY,
    expires_at=0,
    data_access_expires_at=int(NOW) + 60 * DAY,
    scopes=frozenset(SCOPES),
    targets={"leads_retrieval": frozenset({"1", "2"})},
)
NODE = PageNode(name="Harbor", access=LeadAccess(can_access_lead=True))
HEALTHY = PageSeen(
    page=PAGE,
    token=TOKEN,
    node=NODE,
    apps=(Installed(app_id="7", fields=frozenset({"leadgen"})),),
    leads=Sample(leads=5),
)
SUBSCRIPTION = Subscription(
    callback_url="https://leads.example.com/webhook", is_active=True, fields=frozenset({"leadgen"})
)
APP = AppSeen(app_id="7", has_secret=True, subscription=SUBSCRIPTION, pages=(HEALTHY,))
GIVEN = Circumstances(now=NOW, api_version="v25.0", alarm_days=7, evidence=Evidence(with_values={"1": 5}))


def judged(page: PageSeen = HEALTHY, app: AppSeen = APP, given: Circumstances = GIVEN) -> list[Finding]:
    app = replace(app, pages=(page,))
    return judge(Seen(apps=(app,), versions=frozenset({"v25.0"}), skew=0.4), given)


def bad(findings: list[Finding]) -> list[str]:
    return [each.code for each in findings if each.severity in ("wrong", "warning")]


def of_token(**changed: object) -> PageSeen:
    return replace(HEALTHY, token=replace(TOKEN, **changed))  # type: ignore[arg-type]  # each case names its own


def test_what_is_healthy_is_fine() -> None:
    findings = judged()
    assert bad(findings) == []
    assert {each.code for each in findings if each.severity == "not-known"} == {"app-mode-unknown"}


@pytest.mark.parametrize("code", [*get_args(get_args(Code)[0]), *get_args(get_args(Code)[1])])
def test_every_code_has_a_meaning_and_what_is_wrong_says_what_to_do(code: Code) -> None:
    finding = found(code, "what", about="leads_retrieval" if code.startswith("scope-") else None)
    if finding.severity in ("wrong", "warning"):
        assert finding.causes
        assert finding.do


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({"expires_at": int(NOW) + 8 * DAY}, []),
        ({"expires_at": int(NOW) + 7 * DAY}, ["token-expires"]),
        ({"expires_at": int(NOW) + 3600, "issued_at": int(NOW)}, ["token-short-lived"]),
        ({"expires_at": int(NOW) + 3600, "issued_at": None}, ["token-short-lived"]),
        ({"expires_at": None, "data_access_expires_at": None}, []),
        ({"expires_at": 10**18}, []),
        ({"data_access_expires_at": 0}, []),
        ({"data_access_expires_at": int(NOW) + 6 * DAY}, ["data-access-expires"]),
        ({"data_access_expires_at": int(NOW)}, ["data-access-expired"]),
        ({"kind": "SYSTEM_USER", "profile_id": None}, ["token-not-a-pages"]),
        ({"kind": None}, []),
        ({"app_id": "8"}, ["token-of-another-app"]),
        ({"profile_id": "2"}, ["token-of-another-page"]),
        ({"scopes": None, "targets": {}}, []),
        ({"targets": {}}, []),
        ({"targets": {"ads_management": frozenset({"9"})}}, []),
        ({"targets": {"leads_retrieval": frozenset()}}, ["scope-not-for-page"]),
        ({"is_valid": False, "code": 190, "subcode": None, "expires_at": int(NOW) - 1}, ["token-expired"]),
        ({"is_valid": False}, ["token-invalid"]),
    ],
)
def test_what_meta_says_of_a_token(changed: dict[str, object], codes: list[str]) -> None:
    assert bad(judged(of_token(**changed))) == codes


def test_how_many_days_before_an_expiry_there_is_an_alarm_is_set() -> None:
    page = of_token(expires_at=int(NOW) + 20 * DAY)
    assert bad(judged(page)) == []
    assert bad(judged(page, given=replace(GIVEN, alarm_days=30))) == ["token-expires"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadAsk("bad-field", code=100), "token-of-another-app"),
        (Unavailable("not-answered"), "token-unread"),
        (OverBudget("token-limit", scope="token", code=17), "token-unread"),
    ],
)
def test_a_token_that_meta_says_nothing_of(error: GraphError, code: Code) -> None:
    findings = judged(PageSeen(page=PAGE, token=error))
    assert [each.code for each in findings if each.page_id] == [code]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AccessLost("page-role", scope="token", code=190, subcode=492), "token-role-lost"),
        (AccessLost("session", scope="token", code=102), "token-invalid"),
        (AccessLost("permission", scope="page", code=10), "permission-refused"),
        (Missing("not-found", code=100, subcode=33), "page-not-visible"),
        (OverBudget("business-limit", scope="page", regain_after=60.0, code=80005), "over-budget"),
        (Blocked("blocked", code=368), "blocked"),
        (Unavailable("timeout"), "meta-unanswered"),
        (BadAsk("bad-field", code=100), "ask-refused"),
    ],
)
def test_a_page_that_refuses_is_told_once_whatever_else_was_asked(error: GraphError, code: Code) -> None:
    page = replace(HEALTHY, node=error, apps=error, leads=error)
    findings = [each.code for each in judged(page) if each.page_id]
    assert findings == ["token-lives", "scopes-granted", code]


@pytest.mark.parametrize(
    ("leads", "code"),
    [
        (Sample(leads=0), "leads-untried"),
        (Sample(leads=2, left_out=("ad_name",)), "lead-fields-left-out"),
        (BadAsk("bad-field", code=100), "lead-fields-refused"),
        (AccessLost("capability", scope="app", code=3), "lead-fields-refused"),
        (AccessLost("permission", scope="page", code=200), "leads-refused"),
        (Missing("not-found", code=100, subcode=33), "leads-refused"),
        (Unavailable("timeout"), "meta-unanswered"),
    ],
)
def test_what_came_of_trying_to_read_leads(leads: Sample | GraphError, code: Code) -> None:
    told = [each.code for each in judged(replace(HEALTHY, leads=leads)) if each.page_id]
    assert told == ["token-lives", "scopes-granted", "lead-access-granted", code, "page-subscribed"]


def test_a_missing_permission_explains_leads_that_are_refused() -> None:
    refused = AccessLost("permission", scope="page", code=200)
    page = replace(of_token(scopes=frozenset(SCOPES) - {"leads_retrieval"}), leads=refused)
    assert bad(judged(page)) == ["scope-missing"]


def test_what_meta_quotes_is_short_plain_and_no_token() -> None:
    access = LeadAccess(can_access_lead=False, failure_reason=f"Because\nof\x07 EAA{'G' * 60} {'long ' * 200}")
    [finding] = [each for each in judged(replace(HEALTHY, node=replace(NODE, access=access))) if each.causes]
    assert 'It says: "Because of ...' in finding.what
    assert "GGGG" not in finding.what
    assert len(finding.what) < 500


def test_of_other_apps_on_the_page_ours_counts() -> None:
    others = (Installed(app_id="8", fields=frozenset({"leadgen"})), Installed(app_id="7", fields=frozenset({"feed"})))
    assert bad(judged(replace(HEALTHY, apps=others))) == ["page-without-leadgen"]
    assert bad(judged(replace(HEALTHY, apps=others[:1]))) == ["page-not-subscribed"]


def test_a_subscription_that_cannot_be_read_is_not_known() -> None:
    lost = AccessLost("permission", scope="page", code=200)
    findings = judged(replace(HEALTHY, apps=lost), replace(APP, subscription=Unavailable("timeout")))
    assert bad(findings) == []
    codes = {each.code for each in findings if each.severity == "not-known"}
    assert {"page-subscription-unread", "app-subscription-unread"} <= codes


@pytest.mark.parametrize(
    ("subscription", "codes"),
    [
        ((), ["app-not-subscribed"]),
        (replace(SUBSCRIPTION, is_active=False), ["app-inactive"]),
        (replace(SUBSCRIPTION, is_active=None), []),
        (replace(SUBSCRIPTION, fields=frozenset()), ["app-without-leadgen"]),
        (replace(SUBSCRIPTION, callback_url="http://leads.example.com/"), ["callback-unreachable"]),
        (replace(SUBSCRIPTION, callback_url="https://10.0.0.7/webhook"), ["callback-unreachable"]),
        (replace(SUBSCRIPTION, callback_url="https://localhost/webhook"), ["callback-unreachable"]),
    ],
)
def test_where_an_apps_webhooks_go(subscription: Subscription | NotSubscribed, codes: list[str]) -> None:
    assert bad(judged(app=replace(APP, subscription=subscription))) == codes


def test_a_meta_on_this_machine_reaches_callbacks_here() -> None:
    app = replace(APP, subscription=replace(SUBSCRIPTION, callback_url="http://127.0.0.1:8080/webhook"))
    assert bad(judged(app=app, given=replace(GIVEN, graph_url="http://127.0.0.1:8081"))) == []


def test_a_secret_in_the_callbacks_query_is_not_shown() -> None:
    app = replace(APP, subscription=replace(SUBSCRIPTION, callback_url="https://leads.example.com/in?key=planted"))
    assert not any("planted" in each.what for each in judged(app=app))


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (None, "values-unknown"),
        (Evidence(), "values-unknown"),
        (Evidence(with_values={"2": 9}), "values-unknown"),  # a page of another app
        (Evidence(with_values={"1": 9}), "values-arrive"),
        (Evidence(with_values={"1": 9}, without_values={"1": 8}), "values-arrive"),
        (Evidence(with_values={"1": 9}, without_values={"1": 10}), "values-switched-off"),
        (Evidence(without_values={"1": 10}), "values-switched-off"),
    ],
)
def test_whether_values_are_included_shows_at_the_door(evidence: Evidence | None, code: Code) -> None:
    findings = judged(given=replace(GIVEN, evidence=evidence))
    assert [each.code for each in findings if each.code.startswith("values-")] == [code]


def test_a_wrong_secret_is_told_once_of_the_app() -> None:
    proof = AccessLost("app-secret", scope="token", code=100)
    pages = tuple(PageSeen(page=replace(PAGE, page_id=str(number)), node=proof, apps=proof) for number in range(3))
    app = AppSeen(
        app_id="7", has_secret=True, refused=AccessLost("token-invalid", scope="token", code=190), pages=pages
    )
    assert bad(judge(Seen(apps=(app,)), GIVEN)) == ["app-secret-wrong"]


def test_an_app_id_that_is_wrong_is_told_from_a_wrong_secret() -> None:
    """The pages' own proof is taken then: the secret is right."""
    app = replace(APP, refused=AccessLost("token-invalid", scope="token", code=190), subscription=None)
    assert bad(judged(replace(HEALTHY, token=None), app)) == ["app-refused"]
    app = replace(APP, refused=Unavailable("unknown-code", code=101), subscription=None)
    assert bad(judged(replace(HEALTHY, token=None), app)) == ["app-refused"]


def test_a_meta_that_does_not_answer_is_told_once() -> None:
    gone = Unavailable("no-connection")
    apps = (
        AppSeen(app_id="7", has_secret=True, refused=gone, pages=(PageSeen(page=PAGE, node=gone, apps=gone),)),
        AppSeen(app_id=None, has_secret=True, pages=(PageSeen(page=PAGE, node=gone, apps=gone),)),
    )
    codes = [each.code for each in judge(Seen(apps=apps), GIVEN)]
    assert codes == ["meta-unanswered", "app-id-unknown"]


def test_an_app_that_is_not_answered_while_another_is_is_told_of_it() -> None:
    silent = AppSeen(app_id="8", has_secret=True, refused=Unavailable("timeout"))
    findings = judge(Seen(apps=(APP, silent), versions=frozenset({"v25.0"})), GIVEN)
    assert [(each.code, each.app_id) for each in findings if each.severity == "wrong"] == [("meta-unanswered", "8")]


@pytest.mark.parametrize(
    ("asked", "served", "codes"),
    [
        ("v25.0", "v25.0", ["version-served"]),
        ("v26.0", "v26.0", ["version-served"]),
        ("v19.0", "v21.0", ["version-not-served"]),
        ("v21.0", "v21.0", ["version-ends"]),  # in 58 days
    ],
)
def test_the_version_that_served(asked: str, served: str, codes: list[str]) -> None:
    seen = Seen(apps=(APP,), versions=frozenset({served}))
    findings = judge(seen, replace(GIVEN, api_version=asked))
    assert [each.code for each in findings if each.code.startswith("version-")] == codes


@pytest.mark.parametrize(("skew", "code"), [(59.0, "clock-right"), (61.0, "clock-skewed"), (-61.0, "clock-skewed")])
def test_a_clock_may_differ_by_the_way_of_an_answer(skew: float, code: Code) -> None:
    assert code in [each.code for each in judge(Seen(apps=(APP,), skew=skew), GIVEN)]


def test_budgets_that_are_nearly_used_up_are_a_warning() -> None:
    load = Load(calls=80, cpu_time=0, total_time=0)
    use = BusinessUse(object_id="1", kind="leadgen", load=load, regain_after=0)
    assert bad(judged(replace(HEALTHY, usages=(Usage(business=(use,)),)))) == ["budget-near"]
    assert bad(judged(replace(HEALTHY, usages=(Usage(app=load),)))) == ["app-budget-near"]
    other = replace(use, kind="ads_insights")
    assert bad(judged(replace(HEALTHY, usages=(Usage(business=(other,)),)))) == []


def test_no_finding_shows_a_token() -> None:
    for page in (HEALTHY, of_token(is_valid=False), PageSeen(page=PAGE, token=BadAsk("bad-field", code=100))):
        assert not any("planted" in repr(each) for each in judged(page))
