"""Both levels of the subscription: what is to change, said before it is done, and that nothing which is there is lost.

The app's level says where the changes of its pages go, a page's level that the app is told of this page. Both are
needed; Meta says nothing where one is missing.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import SecretStr

from ingest.health import Finding
from ingest.meta import graph
from ingest.meta.client import GraphClient
from ingest.meta.errors import GraphError
from ingest.meta.graph import Ask, Subscription
from ingest.meta.pages import PageAccess

from .meta import Look
from .words import explained, printable, wrong

LEADGEN, LEADGEN_UPDATE = "leadgen", "leadgen_update"  # SDK adobjects/page.py, Page.SubscribedFields


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where an app's webhooks are to go. `verify_token` is what Meta sends there first."""

    url: str
    verify_token: SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do: `what` says it to a person. Without an `ask` it is done already, or `is_wrong`: cannot be.

    `page` is whose key opens it, else that of the app.
    """

    what: str
    app_id: str | None
    page: PageAccess | None = None
    ask: Ask | None = None
    callback: str | None = None
    is_wrong: bool = False


def steps(looks: Sequence[Look], fields: Collection[str], hook: Hook | None) -> Iterator[Step]:
    """What makes `fields` of these pages come to `hook`, besides all that does already: the apps' level first.

    Without a hook the apps' level stays as it is.
    """
    if hook is not None:
        for look in {look.app.app_id: look for look in looks}.values():
            yield _app_step(look, fields, hook)
    for look in looks:
        yield _page_step(look, fields)


async def take(client: GraphClient, step: Step) -> str | None:
    """Does a step; what Meta refuses of it, and what to do, otherwise."""
    key = client.key(step.page) if step.page is not None else client.key_of_app(step.app_id)
    if step.ask is None or key is None:
        return None
    try:
        graph.read_success(await client.ask("subscription", step.ask, key))
    except GraphError as error:
        return explained(error, callback=step.callback)
    return None


def _app_step(look: Look, fields: Collection[str], hook: Hook) -> Step:
    app_id, there = look.app.app_id, look.app.subscription
    if app_id is None or there is None or isinstance(there, GraphError):
        # What is subscribed there would be lost without being known.
        what = f"app {app_id or 'without an id'}: what it is subscribed to cannot be read. {_why(look.of_app)}"
        return Step(what=what, app_id=app_id, is_wrong=True)
    has = there.fields if isinstance(there, Subscription) else frozenset[str]()
    was = there.callback_url if isinstance(there, Subscription) else None
    moved = f", and no more to {printable(was)}" if was not in (None, hook.url) else ""
    return Step(
        what=f"app {app_id}: {_told(has, fields)} of its pages, values included, go to {hook.url}{moved}",
        app_id=app_id,
        ask=graph.ask_callback(app_id, hook.url, has | set(fields), hook.verify_token),
        callback=hook.url,
    )


def _page_step(look: Look, fields: Collection[str]) -> Step:
    page, has = look.page, look.listens_to
    step = Step(what=f"page {page.page_id}: ", app_id=look.app.app_id, page=page)
    if has is None:
        why = _why((*look.findings, *look.of_app))
        return replace(step, what=f"{step.what}what the app is told of it cannot be read. {why}", is_wrong=True)
    told = f"{step.what}the app is told of {_told(has, fields)}"
    if has.issuperset(fields):
        return replace(step, what=f"{told} already")
    return replace(step, what=told, ask=graph.ask_install(page.page_id, has | set(fields)))


def _told(has: Collection[str], fields: Collection[str]) -> str:
    kept = sorted(set(has) - set(fields))
    return ", ".join(sorted(fields)) + (f" (besides {', '.join(map(printable, kept))})" if kept else "")


def _why(findings: Sequence[Finding]) -> str:
    return next(iter(wrong(findings)), "Give the page an app_id in META_PAGES_FILE.")
