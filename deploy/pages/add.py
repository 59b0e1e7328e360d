"""`leadstream pages add`: from a person's token to pages whose tokens last, and whose leads are announced.

Tokens are asked for hidden or read from a pipe or a file. None is an argument, and none is ever shown.
"""

import re
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from deploy.table import print_aligned
from ingest.meta.client import GraphClient
from ingest.meta.graph import Account
from ingest.meta.pages import PageAccess
from ingest.meta.pages_file import pages_in, write_pages
from ingest.settings import MetaSettings, PagesSettings, SettingsError, read

from .choosing import Candidate, candidate, lacking, numbers, rows
from .meta import Look, NotDone, Owner, accounts_of, at_meta, long_lived, look_at, owner_of
from .subscribe import CallbackUrl, Updates, Yes, callback_url, carry_out, fields_of, hook_to, show
from .subscribing import steps
from .words import ends

_LATER = "Start `leadstream serve` where Meta reaches it, then run `leadstream pages subscribe --all --callback https://...`."
_LISTING = "pages_show_list"  # the permission without which there is nothing to choose from


def add(
    *,
    page: Annotated[list[str] | None, typer.Option("--page", metavar="ID", help="A page; may be repeated.")] = None,
    all_pages: Annotated[bool, typer.Option("--all", help="Every page of the token's person.")] = False,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Where the token is, instead of asking for it.")
    ] = None,
    subscribing: Annotated[
        bool, typer.Option("--subscribe/--no-subscribe", help="Also have Meta announce the pages' leads.")
    ] = True,
    callback: CallbackUrl = None,
    updates: Updates = False,
    yes: Yes = False,
) -> None:
    """Add pages: a person's token is exchanged for tokens that last, which go to META_PAGES_FILE; then both levels of
    the subscription are made. Workers take the file up by themselves.

    The token is a user's, such as of the Graph API Explorer, or a system user's, of your app, with the permissions
    pages_show_list, leads_retrieval, pages_manage_metadata, pages_read_engagement and ads_management. It is asked for
    without being shown, or read from a pipe, or from --token-file. Pages that are there already get the new token.

    Example: leadstream pages add --callback https://leads.example.com/webhook
    """
    settings, path = read(MetaSettings), read(PagesSettings).meta_pages_file
    held = pages_in(path)  # told now that it is broken, and not after everything else
    hook = hook_to(callback)
    token = _token(token_file)
    owner, candidates = at_meta(settings, lambda client: _find(client, settings, token))
    print_aligned(rows(candidates))
    _tell(owner, candidates)
    chosen = _choose(candidates, page, all_pages=all_pages)
    keep = [each.page for each in chosen if each.page is not None]
    _plan_file(path, keep, held, owner)
    looks = [each.look for each in chosen if each.look is not None and each.page is not None]
    if hook is None and subscribing and sys.stdin.isatty() and _is_unheard(looks):
        hook = hook_to(_ask_callback())
    planned = list(steps(looks, fields_of(updates=updates), hook)) if subscribing else []
    show(planned)
    is_well = all(each.readable for each in chosen)
    if not keep:
        raise typer.Exit(1)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Do this?")):
        typer.echo("Nothing was done." + ("" if sys.stdin.isatty() else " The same with --yes does it."), err=True)
        raise typer.Exit(0 if is_well else 1)
    _write(path, keep)
    is_well &= carry_out(settings, planned)
    if hook is None and subscribing and _is_unheard(looks):
        typer.echo(f"Meta announces nothing yet. {_LATER}", err=True)
    typer.echo("`leadstream pages list` shows how they stand.", err=True)
    raise typer.Exit(0 if is_well else 1)


def _token(file: Path | None) -> SecretStr:
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(f"{file} cannot be read: {why}") from None
    elif sys.stdin.isatty():
        text = typer.prompt("Token of a user or a system user (not shown)", hide_input=True, err=True)
    else:
        text = sys.stdin.readline()
    if not re.fullmatch(r"[!-~]+", text.strip(), re.ASCII):
        raise typer.BadParameter("what was given is no token: it has no spaces and is not empty")
    return SecretStr(text.strip())


async def _find(client: GraphClient, settings: MetaSettings, token: SecretStr) -> tuple[Owner, list[Candidate]]:
    """Whose token it is, and what can be said of each of their pages."""
    owner = await owner_of(client, settings, token)
    match owner.facts.kind:
        case "PAGE" if owner.facts.profile_id is not None:
            accounts = [Account(page_id=owner.facts.profile_id, name=None, token=token, tasks=None)]
        case "USER" | "SYSTEM_USER":
            if _LISTING not in (owner.facts.scopes or (_LISTING,)):
                raise NotDone(f"the token lacks {_LISTING}, so its pages cannot be listed: make one with it")
            lasting = token
            if owner.facts.kind == "USER" and owner.facts.expires_at != 0:
                lasting = await long_lived(client, owner)
                typer.echo(f"The token ends {ends(owner.facts)} UTC; it was exchanged for one that lasts.", err=True)
            accounts = await accounts_of(client, owner, lasting)
        case _:
            raise NotDone("this is an app's own token, which opens no page: give one of a user or a system user")
    if not accounts:
        raise NotDone(
            "the token's person has no page, or chose none when they granted the app its permissions: grant it again"
            " with the pages chosen, and business_management where they belong to a business"
        )
    pages = [
        PageAccess(page_id=each.page_id, token=each.token, app_id=owner.app_id)
        for each in accounts
        if each.token is not None
    ]
    looks = {look.page.page_id: look for look in await look_at(client, settings, pages)}
    lacks, now = [str(each.about) for each in lacking(owner.facts)], time.time()
    return owner, [candidate(each, looks.get(each.page_id), lacks=lacks, now=now) for each in accounts]


def _tell(owner: Owner, candidates: Sequence[Candidate]) -> None:
    """What is wrong with the token, and with each page."""
    for lack in lacking(owner.facts):
        typer.echo(" ".join(part for part in (lack.what, lack.causes, lack.do) if part))
    for each in candidates:
        if each.refused is not None:
            typer.echo(f"page {each.account.page_id} cannot be added: {each.refused}")
        for trouble in () if each.refused is not None else each.troubles:
            typer.echo(f"page {each.account.page_id}: {trouble}")


def _choose(candidates: Sequence[Candidate], wanted: Sequence[str] | None, *, all_pages: bool) -> list[Candidate]:
    if all_pages:
        return list(candidates)
    if wanted:
        by_id = {each.account.page_id: each for each in candidates}
        if strangers := [page_id for page_id in wanted if page_id not in by_id]:
            typer.echo(f"leadstream: the token's person has no page {', '.join(strangers)}", err=True)
            raise typer.Exit(1)
        return [by_id[page_id] for page_id in dict.fromkeys(wanted)]
    if not sys.stdin.isatty():
        raise typer.BadParameter("say which of these pages: --page ID, which may be repeated, or --all")
    count = len(candidates)
    chosen: list[int] = typer.prompt(
        "Which (such as 1,3 or all)", value_proc=lambda text: numbers(text, count), err=True
    )
    return [candidates[place] for place in chosen]


def _is_unheard(looks: Sequence[Look]) -> bool:
    """Whether the app itself is not subscribed to leads, whatever its pages are."""
    return any(each.code in ("app-not-subscribed", "app-without-leadgen") for look in looks for each in look.of_app)


def _callback_or_none(text: str) -> str:
    return callback_url(text.strip()) if text.strip() else ""


def _ask_callback() -> str | None:
    question = "The app is not subscribed yet. Where does Meta reach `leadstream serve`? (https://..., empty for later)"
    text: str = typer.prompt(question, default="", show_default=False, err=True, value_proc=_callback_or_none)
    return text or None


def _plan_file(path: Path, keep: Sequence[PageAccess], held: Collection[str], owner: Owner) -> None:
    for page in keep:
        what = "gets this token" if page.page_id in held else "is added"
        typer.echo(f"{path}: page {page.page_id} {what}, of app {owner.app_id}")


def _write(path: Path, keep: Sequence[PageAccess]) -> None:
    written = write_pages(path, keep)
    typer.echo(f"Written: {len(written.added)} added, {len(written.replaced)} with another token.", err=True)
    for file in written.token_files:
        typer.echo(f"Its token went to {file}, as its entry says.", err=True)
    if not written.comments_kept:
        typer.echo(f"{path} was written anew: the comments in it could not be kept.", err=True)
    if written.mode:
        typer.echo(f"{path} holds tokens and is open to others on this machine: `chmod 600` it.", err=True)
