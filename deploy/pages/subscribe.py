"""`leadstream pages subscribe`: has Meta announce the leads of pages, at the level of the app and of each page."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ingest.meta.client import GraphClient
from ingest.meta.pages import Pages
from ingest.settings import MetaSettings, PagesSettings, WebhookSettings, read

from .meta import at_meta, look_at
from .subscribing import LEADGEN, LEADGEN_UPDATE, Hook, Step, steps, take


def callback_url(text: str) -> str:
    """A URL that Meta can call; BadParameter where it is none."""
    parts = urlsplit(text)
    # Meta takes HTTPS only; a Graph double on this machine takes what is on this machine.
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise typer.BadParameter("it begins with https://, and Meta has to reach it: https://leads.example.com/webhook")
    if not parts.hostname or parts.fragment or parts.username is not None:
        raise typer.BadParameter("it is no address such as https://leads.example.com/webhook")
    return text


CallbackUrl = Annotated[
    str | None,
    typer.Option("--callback", metavar="URL", parser=callback_url, help="Where Meta reaches `leadstream serve`."),
]
Updates = Annotated[bool, typer.Option("--updates", help="Also what becomes of leads later (leadgen_update).")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]


def subscribe(
    *,
    page: Annotated[list[str] | None, typer.Option("--page", metavar="ID", help="A page; may be repeated.")] = None,
    all_pages: Annotated[bool, typer.Option("--all", help="Every page of META_PAGES_FILE.")] = False,
    callback: CallbackUrl = None,
    updates: Updates = False,
    yes: Yes = False,
) -> None:
    """Have Meta announce the leads of pages. What is subscribed besides stays; doing it twice changes nothing.

    Two levels are needed: the app's, which says where its webhooks go, with --callback; and each page's. Meta calls the
    callback at that moment, so `leadstream serve` has to be up, with the same META_VERIFY_TOKEN. An app has one
    callback for all of its pages: another one takes the place of the old.

    Example: leadstream pages subscribe --all --callback https://leads.example.com/webhook --yes
    """
    settings = read(MetaSettings)
    held = {each.page_id: each for each in Pages(read(PagesSettings).meta_pages_file).all()}
    hook = hook_to(callback)
    if all_pages == bool(page):
        raise typer.BadParameter("say which pages: --page ID, which may be repeated, or --all")
    if strangers := [page_id for page_id in page or () if page_id not in held]:
        typer.echo(
            f"leadstream: META_PAGES_FILE has no page {', '.join(strangers)}: `leadstream pages add` adds it", err=True
        )
        raise typer.Exit(1)
    chosen = [held[page_id] for page_id in dict.fromkeys(page or held)]
    looks = at_meta(settings, lambda client: look_at(client, settings, chosen))
    planned = list(steps(looks, fields_of(updates=updates), hook))
    show(planned)
    is_well = not any(each.is_wrong for each in planned)
    to_do = [each for each in planned if each.ask is not None]
    if yes and to_do:
        is_well = carry_out(settings, planned)
    else:
        said = "Nothing was done. The same with --yes does it." if to_do else "Nothing to do."
        typer.echo(said, err=True)
    raise typer.Exit(0 if is_well else 1)


def hook_to(callback: str | None) -> Hook | None:
    """Where webhooks are to go; SettingsError without a verify token to send there."""
    return None if callback is None else Hook(url=callback, verify_token=read(WebhookSettings).meta_verify_token)


def fields_of(*, updates: bool) -> tuple[str, ...]:
    """What is to be announced."""
    return (LEADGEN, LEADGEN_UPDATE) if updates else (LEADGEN,)


def show(planned: Sequence[Step]) -> None:
    """What would be done, a line each."""
    for step in planned:
        typer.echo(step.what)


def carry_out(settings: MetaSettings, planned: Sequence[Step]) -> bool:
    """Takes all steps, also those after one that Meta refuses; whether all that was planned is so now."""
    refused = at_meta(settings, lambda client: _take_all(client, planned))
    done = sum(each.ask is not None for each in planned) - len(refused)
    for step, why in refused:
        typer.echo(f"leadstream: not done: {step.what}\n  {why}", err=True)
    if done:
        typer.echo(f"Done: {done} subscribed.", err=True)
    return not refused and not any(each.is_wrong for each in planned)


async def _take_all(client: GraphClient, planned: Sequence[Step]) -> list[tuple[Step, str]]:
    outcomes = [(step, await take(client, step)) for step in planned]
    return [(step, why) for step, why in outcomes if why is not None]
