"""What can be found: every code there is, and what a finding consists of. Performs no I/O.

A code is stable: dashboards and scripts hold on to it. The sentences beside it are for people and may improve. Codes of
all are of an app, or of everything, and concern more than one page.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["wrong", "warning", "not-known", "fine"]

CodeOfAll = Literal[
    # settings, and Meta as a whole
    "settings-unusable",
    "no-pages",
    "version-not-served",
    "version-ends",
    "version-served",
    "clock-skewed",
    "clock-right",
    # an app
    "app-id-unknown",
    "app-secret-missing",
    "app-secret-wrong",
    "app-refused",
    "capability-missing",
    "app-not-subscribed",
    "app-inactive",
    "app-without-leadgen",
    "app-subscribed",
    "app-subscription-unread",
    "callback-unreachable",
    "callback-unproven",
    "callback-reached",
    "values-switched-off",
    "values-arrive",
    "values-unknown",
    "app-mode-suspected",
    "app-mode-unknown",
    "app-over-budget",
    "app-budget-near",
]
CodeOfPage = Literal[
    # a page's token
    "token-app-removed",
    "token-checkpointed",
    "token-password-changed",
    "token-expired",
    "token-unconfirmed",
    "token-logged-out",
    "token-role-lost",
    "token-invalid",
    "token-of-another-app",
    "token-of-another-page",
    "token-not-a-pages",
    "token-short-lived",
    "token-expires",
    "token-lives",
    "token-unread",
    "data-access-expired",
    "data-access-expires",
    "scope-missing",
    "scope-not-for-page",
    "scopes-granted",
    # a page
    "page-not-visible",
    "permission-refused",
    "lead-access-denied",
    "lead-access-granted",
    "lead-access-unknown",
    "page-not-subscribed",
    "page-without-leadgen",
    "page-subscribed",
    "page-subscription-unread",
    "leads-refused",
    "lead-fields-refused",
    "lead-fields-left-out",
    "leads-read",
    "leads-untried",
    "over-budget",
    "budget-near",
    "meta-unanswered",
    "blocked",
    "ask-refused",
    # what `meta.access` says
    "access-broken",
    "access-doubtful",
    "access-paused",
    "page-not-looked-at",
]
Code = CodeOfAll | CodeOfPage
OF_ALL: frozenset[str] = frozenset(get_args(CodeOfAll))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a page, an app, or (where it names neither) about all of them.

    `about` is what the code alone does not say, from a closed list: a scope, a version. `what` may quote Meta's own
    words of why; nothing in it is a token, a secret or an answer.
    """

    code: Code
    severity: Severity
    what: str
    causes: str | None = None
    do: str | None = None
    app_id: str | None = None
    page_id: str | None = None
    about: str | None = None
