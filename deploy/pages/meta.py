"""What is asked of Meta to set pages up: who a token belongs to, their pages, and how pages stand.

Whoever asks gets an answer or NotDone, which is a sentence for the person at the terminal.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import typer
from pydantic import SecretStr

from ingest import telemetry
from ingest.health import AppSeen, Circumstances, Examination, Finding, PageSeen, judge
from ingest.meta import graph
from ingest.meta.client import MANY_BYTES, GraphClient
from ingest.meta.errors import AccessLost, BadAsk, GraphError, refusal
from ingest.meta.graph import Account, Key, TokenFacts
from ingest.meta.pages import PageAccess
from ingest.settings import MetaSettings

from .words import explained, wrong

Outcome = TypeVar("Outcome")

_DEAD, _BAD_REQUEST = 190, 400  # Meta's code for a token that is not valid, and the status it comes with


class NotDone(Exception):
    """It cannot be done; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose token it is: a person's, a system user's or a page's, of an app whose secret we have."""

    token: SecretStr
    facts: TokenFacts
    app_id: str
    secret: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A page as Meta sees it now, with its app, and what is to be said of both."""

    seen: PageSeen
    app: AppSeen
    findings: tuple[Finding, ...]  # about the page
    of_app: tuple[Finding, ...]  # about its app, and so about each page of it

    @property
    def page(self) -> PageAccess:
        return self.seen.page

    @property
    def facts(self) -> TokenFacts | None:
        return self.seen.token if isinstance(self.seen.token, TokenFacts) else None

    @property
    def name(self) -> str | None:
        return self.seen.node.name if isinstance(self.seen.node, graph.PageNode) else None

    @property
    def readable(self) -> bool | None:
        """Whether its leads may be read; None where Meta did not say."""
        return self.seen.node.access.can_access_lead if isinstance(self.seen.node, graph.PageNode) else None

    @property
    def listens_to(self) -> frozenset[str] | None:
        """What the app is told of this page; None where Meta did not say, or not of which app."""
        if not isinstance(self.seen.apps, tuple):
            return None
        ours = [each.fields for each in self.seen.apps if self.app.app_id in (None, each.app_id)]
        return ours[0] if len(ours) == 1 else None if ours else frozenset()

    @property
    def wrong(self) -> list[str]:
        """What is wrong with the page's app, and with the page."""
        return wrong((*self.of_app, *self.findings))


def at_meta(settings: MetaSettings, talk: Callable[[GraphClient], Awaitable[Outcome]]) -> Outcome:
    """What comes of talking to Meta. NotDone ends the command: its sentence on stderr, and exit code 1."""

    async def run() -> Outcome:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            return await talk(GraphClient(session, settings))

    telemetry.start_logging("pages")
    try:
        return asyncio.run(run())
    except NotDone as refusal:
        typer.echo(f"leadstream: {refusal}", err=True)
        raise typer.Exit(1) from None


async def owner_of(client: GraphClient, settings: MetaSettings, token: SecretStr) -> Owner:
    """Whose token this is. NotDone where it opens nothing, or is of an app whose secret we do not have."""
    refused = "it is of no app that META_APP_SECRETS has a secret of"
    for app in settings.meta_app_secrets:
        # With a bare secret the app's id is not known yet: then the token asks about itself, and proves its app.
        key = Key(token=token, secret=app.secret) if app.app_id is None else graph.app_key(app.app_id, app.secret)
        try:
            facts = graph.read_token_facts(await client.inspect(token, key))
        except (AccessLost, BadAsk) as error:  # of another app, or an old secret of this one: the next may do
            refused = _refused(app.app_id, error)
            continue
        except GraphError as error:
            raise NotDone(f"what this token is cannot be asked: {explained(error)}") from None
        if facts is None:
            raise NotDone("Meta does not say what this token is: try again in a moment")
        if not facts.is_valid:
            dead = refusal({"code": facts.code or _DEAD, "error_subcode": facts.subcode}, _BAD_REQUEST)
            raise NotDone(explained(dead))
        if facts.app_id is not None and app.app_id in (None, facts.app_id):
            return Owner(token=token, facts=facts, app_id=facts.app_id, secret=app.secret)
    raise NotDone(f"this token cannot be used: {refused}")


async def long_lived(client: GraphClient, owner: Owner) -> SecretStr:
    """A token of the same person that lasts, as does what is made from it. NotDone where Meta gives none."""
    ask = graph.ask_exchange(owner.app_id, owner.secret, owner.token)
    try:
        return graph.read_exchange(await client.ask("exchange", ask, graph.app_key(owner.app_id, owner.secret)))
    except GraphError as error:
        raise NotDone(f"the token cannot be exchanged for one that lasts: {explained(error)}") from None


async def accounts_of(client: GraphClient, owner: Owner, token: SecretStr) -> list[Account]:
    """All pages of the token's person, each with its own token. NotDone where they cannot be listed."""
    key, accounts, after = Key(token=token, secret=owner.secret), list[Account](), None
    try:
        while True:
            answer = await client.ask("accounts", graph.ask_accounts(after), key, MANY_BYTES)
            page = graph.read_page(answer)
            accounts += graph.read_accounts(page)
            if page.after is None:
                return accounts
            after = page.after
    except GraphError as error:
        raise NotDone(f"the pages of this token's person cannot be listed: {explained(error)}") from None


async def look_at(client: GraphClient, settings: MetaSettings, pages: Iterable[PageAccess]) -> list[Look]:
    """How the pages stand, in their order. What Meta refuses is among the findings."""
    wanted = list(pages)
    seen = await Examination(client, clock=lambda: time.time_ns() // 1_000_000).examine(wanted)
    circumstances = Circumstances(
        now=time.time(), api_version=settings.meta_api_version, alarm_days=0, graph_url=settings.meta_graph_url
    )
    findings = judge(seen, circumstances)
    of_page = {page.page.page_id: (page, app) for app in seen.apps for page in app.pages}
    apps = {app.app_id: app for app in seen.apps}
    return [
        _look(*of_page.get(page.page_id, (PageSeen(page=page), apps[page.app_id])), findings=findings)
        for page in wanted
    ]


def _look(page: PageSeen, app: AppSeen, *, findings: Sequence[Finding]) -> Look:
    return Look(
        seen=page,
        app=app,
        findings=tuple(each for each in findings if each.page_id == page.page.page_id),
        of_app=tuple(each for each in findings if each.page_id is None and each.app_id in (None, app.app_id)),
    )


def _refused(app_id: str | None, error: GraphError) -> str:
    """Why nothing is known of a token: an app was refused, or, where its id is not known, the token itself."""
    if app_id is None and isinstance(error, BadAsk):
        return (
            "Meta tells its own person nothing of it, as they do not develop the app. Write META_APP_SECRETS as"
            f" `<app id>:<secret>`, then the app asks ({error})"
        )
    if app_id is None:
        return explained(error)
    if isinstance(error, BadAsk):  # Meta tells an app nothing of another one's token
        return (
            f"it is not of app {app_id}: make one for that app, or add that token's app to META_APP_SECRETS ({error})"
        )
    return f"Meta does not take the secret of app {app_id} in META_APP_SECRETS: compare it with its dashboard ({error})"
