"""`leadstream doctor`: a few calls for each page and app, and each finding with what it causes and what to do."""

import asyncio
import time
from collections.abc import Collection, Iterable
from typing import Annotated

import aiohttp
import typer

from ingest import telemetry
from ingest.health import Circumstances, Examination, Finding, PageSeen, Seen, found, judge
from ingest.meta.client import GraphClient
from ingest.meta.graph import PageNode, TokenFacts
from ingest.meta.pages import PageAccess, Pages
from ingest.settings import HealthSettings, MetaSettings, PagesSettings, SettingsError, read
from processors.access import AccessStates

from .known import read_known
from .report import Page, Report, in_json, show
from .standings import add_standings


def doctor(
    *,
    page: Annotated[str | None, typer.Option("--page", metavar="ID", help="This page only, and its app.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, for programs.")] = False,
) -> None:
    """What is wrong with tokens, permissions, subscriptions, versions and clocks: by page, with what to do about it.

    It makes some five calls to Meta for each page, which count in its budget, and changes nothing. A few leads are
    asked for, without their answers, to see that they can be read. Kafka, where it is reached, tells what the workers
    know. Exit code 1: something is wrong.

    Example: leadstream doctor --page 106777055130587
    """
    telemetry.start_logging("doctor")
    report = examine(page)
    if as_json:
        typer.echo(in_json(report))
    else:
        show(report)
    if report.is_wrong:
        raise typer.Exit(1)


def examine(page_id: str | None = None) -> Report:
    """Everything that doctor says, of one page or of all. BadParameter for a page that META_PAGES_FILE has not."""
    try:
        meta, health = read(MetaSettings), read(HealthSettings)
        pages = list(Pages(read(PagesSettings).meta_pages_file).all())
    except SettingsError as error:
        findings = [found("settings-unusable", sentence) for sentence in str(error).splitlines()]
        nothing = "Meta and Kafka, as the settings cannot be used."
        return Report(graph_url=None, api_version=None, pages=(), findings=findings, not_looked_at=[nothing])
    if page_id is not None:
        pages = [each for each in pages if each.page_id == page_id]
        if not pages:
            raise typer.BadParameter(f"META_PAGES_FILE has no page {page_id}.")
    states = AccessStates(secret=meta.meta_app_secrets[0].secret, clock=_now)
    known = read_known(states)
    left = {each.page_id for each in pages if states.of(states.key(each, "app")).state == "paused"}
    seen = asyncio.run(_see([each for each in pages if each.page_id not in left], meta, states))
    given = Circumstances(
        now=time.time(),
        api_version=meta.meta_api_version,
        alarm_days=health.token_alarm_days,
        graph_url=meta.meta_graph_url,
        evidence=known.evidence,
    )
    findings = add_standings(judge(seen, given), states, pages)
    findings += _left_alone(pages, states)
    if not pages:
        findings.append(found("no-pages", "META_PAGES_FILE has no pages."))
    return Report(
        graph_url=meta.meta_graph_url,
        api_version=meta.meta_api_version,
        pages=_facts(pages, seen),
        findings=findings,
        not_looked_at=[] if known.missing is None else [known.missing],
    )


async def _see(pages: Collection[PageAccess], meta: MetaSettings, states: AccessStates) -> Seen:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        examination = Examination(
            GraphClient(session, meta),
            clock=_now,
            may_ask=lambda page: not _is_paused(page, states),
            try_leads=True,
        )
        return await examination.examine(pages)


def _facts(pages: Iterable[PageAccess], seen: Seen) -> list[Page]:
    looked = {each.page.page_id: each for app in seen.apps for each in app.pages}
    return [_page(page, looked.get(page.page_id)) for page in pages]


def _page(page: PageAccess, seen: PageSeen | None) -> Page:
    token = seen.token if seen is not None and isinstance(seen.token, TokenFacts) else TokenFacts(is_valid=True)
    return Page(
        page_id=page.page_id,
        app_id=page.app_id,
        name=seen.node.name if seen is not None and isinstance(seen.node, PageNode) else None,
        token_kind=token.kind,
        token_expires_at=None if token.expires_at is None else token.expires_at * 1000,
        data_access_expires_at=None if token.data_access_expires_at is None else token.data_access_expires_at * 1000,
    )


def _is_paused(page: PageAccess, states: AccessStates) -> bool:
    """A call in a pause makes it longer. What is only broken is what doctor is there for."""
    return any(states.of(key).state == "paused" for key in (states.key(page, "page"), states.key(page, "token")))


def _left_alone(pages: Collection[PageAccess], states: AccessStates) -> list[Finding]:
    paused = [
        page for page in pages if _is_paused(page, states) or states.of(states.key(page, "app")).state == "paused"
    ]
    what = "Its own token was not used, as it is paused: a call now makes the pause longer."
    return [found("page-not-looked-at", what, page_id=page.page_id) for page in paused]


def _now() -> int:
    return time.time_ns() // 1_000_000
