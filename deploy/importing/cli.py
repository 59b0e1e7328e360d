"""`leadstream import`: shows what a file would bring, and takes it when told to."""

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from deploy.account import AccountError, open_index
from deploy.moments import Since, Until
from ingest import telemetry
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.meta.graph import BadAddress, FormExport, read_address
from ingest.reading import ReadingError
from ingest.registry import RegistryError
from ingest.settings import KafkaSettings, MetaSettings, PagesSettings, RegistrySettings, read
from processors import patience

from .pace import Pace
from .report import Refusals, in_json, opened, show, what_now
from .running import Order, Report, carry_out

_AN_ADDRESS = re.compile(r"https?:", re.IGNORECASE)


def import_leads(
    *,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE|URL", help="Files of leads, - for standard input; or a form's export at Meta."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            metavar="ID",
            help="Without a FILE: this form's export at Meta. With one: of rows that tell no form.",
        ),
    ] = None,
    page: Annotated[
        str | None, typer.Option("--page", metavar="ID", help="The page of forms that are not known here.")
    ] = None,
    since: Since = None,
    until: Until = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take them; without this it is only shown.")] = False,
    refused: Annotated[
        Path | None, typer.Option("--refused", metavar="FILE.csv", help="Writes each refused row's line and why.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, for programs.")] = False,
) -> None:
    """Leads from files of Ads Manager, or from Meta's export of a form: taken where nothing is known of them.

    A file may be UTF-8 or UTF-16, with tabs or commas, with ids such as l:123, columns that people renamed or added,
    and broken rows: each row is taken, already known, repeated, or refused with its line and the reason, and then this
    exits 1. What a file tells is less than what Meta answers, and never replaces that. A run that ended early is simply
    run again. Meta is asked for the forms of the rows, where it may be; a file needs nobody else than Kafka.

    --form asks Meta for the leads of a form as a file, from --since on and before --until; the token of its page is
    taken from META_PAGES_FILE, and has no place in an address.

    Example: leadstream import leads.csv --yes --refused refused.csv

    Example: leadstream import --form 2381764112176533 --since 2026-11-01 --yes
    """
    order = _order(sources or [], form, page, since=since, until=until, yes=yes)
    kafka, _ = read(KafkaSettings), read(RegistrySettings)
    if order.asks_meta:
        _ = read(MetaSettings), read(PagesSettings)
    report = Report()
    with opened(refused) as file:
        telemetry.start_logging("import")
        patience.tell("import")
        refusals = Refusals(every=as_json, file=file)
        failure = _carry_out(order, kafka, report, refusals)
    if as_json:
        typer.echo(json.dumps(in_json(order, report, refusals, failure), indent=2))
    else:
        show(order, report, refusals)
    if failure is not None:
        typer.echo(f"leadstream: {failure}", err=True)
    elif not order.writes:
        typer.echo(what_now(report), err=True)
    raise typer.Exit(1 if failure or refusals.reasons or report.unread else 0)


def _carry_out(order: Order, kafka: KafkaSettings, report: Report, refusals: Refusals) -> str | None:
    """Why it ended early; None where it did not. What was taken by then is taken."""
    try:
        with (
            Pace() as pace,
            open_index(kafka, told=pace.reading, waiting=lambda: pace.say("waiting for another who reads")) as index,
        ):
            asyncio.run(carry_out(order, kafka, index, report=report, pace=pace, refused=refusals.add))
    except (AccountError, ReadingError, RegistryError) as error:
        return str(error)
    except (NotAcknowledged, ProducerFailed) as error:
        return (
            f"the broker acknowledged no more ({type(error).__name__} {error}): look at the cluster, then run the same"
            " again; it goes on with what is not here yet"
        )
    except KeyboardInterrupt:
        return "ended by you: run the same again, it goes on with what is not here yet"
    return None


def _order(
    sources: Sequence[str],
    form: str | None,
    page: str | None,
    *,
    since: datetime | None,
    until: datetime | None,
    yes: bool,
) -> Order:
    """BadParameter (exit code 2) for what cannot be meant."""
    for name, value in (("--form", form), ("--page", page)):
        if value is not None and not re.fullmatch(r"[0-9]{1,32}", value):
            raise typer.BadParameter(f"{name} takes an id, which is digits only.")
    if not sources and form is None:
        raise typer.BadParameter("say a FILE, or --form for a form's export at Meta.")
    if sources and (since or until):
        raise typer.BadParameter("--since and --until go with --form alone: a file is taken whole.")
    if len(set(sources)) != len(sources):
        raise typer.BadParameter("a FILE is named twice.")
    first, last = _seconds(since), _seconds(until)
    return Order(
        sources=[_source(each) for each in sources] or [FormExport(form_id=form or "", since=first, until=last)],
        form=form,
        page=page,
        since=first,
        until=last,
        writes=yes,
    )


def _source(text: str) -> str | FormExport:
    if not _AN_ADDRESS.match(text):
        return text
    try:
        return read_address(text, asked=read(MetaSettings).meta_export_url)
    except BadAddress as error:
        raise typer.BadParameter(f"{error}.") from None


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
