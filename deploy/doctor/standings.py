"""Findings from what `meta.access` says: what is broken, in doubt or paused now, since when and until when. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

from ingest.health import Code, Finding, found
from ingest.meta.errors import Scope
from ingest.meta.pages import PageAccess
from processors.access import AccessStates, Standing, State

_CODES: dict[State, Code] = {"broken": "access-broken", "doubtful": "access-doubtful", "paused": "access-paused"}
_SCOPES: tuple[Scope, ...] = get_args(Scope)
_REPAIR = "See to what else is wrong here: `work retry` opens it by itself once Meta says that it is repaired."


def add_standings(findings: Sequence[Finding], states: AccessStates, pages: Iterable[PageAccess]) -> list[Finding]:
    """The findings, and what workers have been told: told once of an app, and beside a cause as its consequence."""
    told: dict[str, Finding] = {}
    suspected: set[str | None] = set()
    for page in pages:
        for scope in _SCOPES:
            standing = states.of(states.key(page, scope))
            if standing.state != "open" and standing.key not in told:
                told[standing.key] = _finding(standing, scope, page, _wrong_with(findings, page))
            if standing.reason == "not-found" and standing.state != "open" and _may_be_read(findings, page):
                suspected.add(page.app_id)
    return [*_suspecting(findings, suspected), *told.values()]


def _finding(standing: Standing, scope: Scope, page: PageAccess, is_explained: bool) -> Finding:
    since = f" since {_moment(standing.at)}" if standing.at else ""
    until = f" until {_moment(standing.until)}" if standing.until else ""
    what = f"For the workers the {scope} is {standing.state}{since}{until} ({standing.reason})."
    app_id, page_id = (page.app_id, None) if scope == "app" else (None, page.page_id)
    finding = found(_CODES[standing.state], what, app_id=app_id, page_id=page_id, about=standing.reason)
    return replace(finding, severity="warning", do=_REPAIR) if standing.state == "broken" and is_explained else finding


def _wrong_with(findings: Iterable[Finding], page: PageAccess) -> bool:
    return any(
        each.severity == "wrong" and (each.page_id == page.page_id or (not each.page_id and each.app_id == page.app_id))
        for each in findings
    )


def _may_be_read(findings: Iterable[Finding], page: PageAccess) -> bool:
    return any(each.code == "lead-access-granted" and each.page_id == page.page_id for each in findings)


def _suspecting(findings: Iterable[Finding], apps: set[str | None]) -> list[Finding]:
    """Leads that are not there, of a page whose leads may be read: so it looks when the app is not Live."""
    what = "Leads of this app's pages are missing (100/33), though Meta says that they may be read."
    return [
        found("app-mode-suspected", what, app_id=each.app_id)
        if each.code == "app-mode-unknown" and each.app_id in apps
        else each
        for each in findings
    ]


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"
