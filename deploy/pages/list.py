"""`leadstream pages list`: each page of META_PAGES_FILE as Meta sees it, and what is wrong with it."""

import json
from typing import Annotated

import typer

from deploy.table import print_aligned
from ingest.meta.pages import Pages
from ingest.settings import MetaSettings, PagesSettings, read

from .meta import Look, at_meta, look_at
from .subscribing import LEADGEN
from .words import ends, printable, wrong

_COLUMNS = ("page", "name", "app", "token", "ends", "leadgen", "leads", "usable")


def list_(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False) -> None:
    """The pages whose leads are read: their app, their token's kind and end, whether the app is told of new leads, and
    whether leads may be read. It shows no token. Exit code 1 if one is not usable.

    Example: leadstream pages list
    """
    settings = read(MetaSettings)
    path = read(PagesSettings).meta_pages_file
    pages = Pages(path).all() if path.exists() else ()
    looks = at_meta(settings, lambda client: look_at(client, settings, pages))
    if as_json:
        typer.echo(json.dumps([_told(look) for look in looks], ensure_ascii=False, indent=2))
    elif not looks:
        typer.echo("No page yet: `leadstream pages add` adds one.", err=True)
    else:
        print_aligned([_COLUMNS, *map(_row, looks)])
        # What is wrong with an app is said once for all of its pages.
        for sentence in dict.fromkeys(sentence for look in looks for sentence in _sentences(look)):
            typer.echo(sentence)
    raise typer.Exit(1 if any(look.wrong for look in looks) else 0)


def _row(look: Look) -> tuple[str, ...]:
    facts, hears = look.facts, look.listens_to
    return (
        look.page.page_id,
        printable(look.name or "-"),
        look.page.app_id or "-",
        "-" if facts is None else _kind(facts.kind) if facts.is_valid else "dead",
        "-" if facts is None else ends(facts),
        "-" if hears is None else _yes(LEADGEN in hears),
        "-" if look.readable is None else _yes(look.readable),
        _yes(not look.wrong),
    )


def _told(look: Look) -> dict[str, object]:
    facts, hears = look.facts, look.listens_to
    return {
        "page_id": look.page.page_id,
        "name": look.name,
        "app_id": look.page.app_id,
        "token": None
        if facts is None
        else {"kind": facts.kind, "valid": facts.is_valid, "expires_at": facts.expires_at},
        "subscribed_fields": None if hears is None else sorted(hears),
        "leads_readable": look.readable,
        "usable": not look.wrong,
        "wrong": look.wrong,
    }


def _sentences(look: Look) -> list[str]:
    return [*wrong(look.of_app), *(f"page {look.page.page_id}: {each}" for each in wrong(look.findings))]


def _kind(kind: str | None) -> str:
    return "-" if kind is None else printable(kind).lower().replace("_", " ")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
