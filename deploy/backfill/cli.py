"""`leadstream backfill`: the plan, and with --yes the reading of it."""

import asyncio
import json
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated

import typer

from deploy.account.positions import NoAnswer, positions
from deploy.account.taking import AccountError
from deploy.account.whereabouts import open_index
from deploy.moments import Since, Until
from ingest import telemetry
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.meta.pages import Pages
from ingest.reading import ReadingError
from ingest.registry import RegistryError
from ingest.settings import KafkaSettings, MetaSettings, PagesSettings, RegistrySettings, RetrySettings, read
from processors import patience

from .assembly import Order, Settings, carry_out
from .checkpoint import AlreadyRuns, alone, place
from .choosing import Ads, AllPages, Choice, Forms, OfPages
from .progress import Watch
from .words import Outcome, in_json, show_plan, show_report

_GO_ON = "run the same command again, and it goes on where it stood"


def backfill(
    *,
    form: Forms = None,
    ad: Ads = None,
    page: OfPages = None,
    all_pages: AllPages = False,
    since: Since = None,
    until: Until = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Read leads of the last 90 days from Meta, and put those that are not here yet on meta.leadgen.details.

    --since and --until are of when a lead was given. Organic leads come with a form, not with an ad. Live leads go
    first: while a page has used up three quarters of its budget, it waits. A run that ends early, however it ends, is
    gone on with by the same command; a second run writes nothing twice.

    It exits 1 where something could not be read, and says what to do about it.

    Example: leadstream backfill --page 106777055130587 --since 2026-11-01 --yes
    """
    choice = Choice.read(form, ad, page, all_pages=all_pages)
    settings = Settings(
        kafka=read(KafkaSettings),
        registry=read(RegistrySettings),
        pages=Pages(read(PagesSettings).meta_pages_file),
    )
    _ = read(MetaSettings), read(RetrySettings)  # what is wrong with them is told before anything begins
    telemetry.start_logging("backfill")
    patience.tell("backfill")
    try:
        outcome = _carry_out(choice, _seconds(since), _seconds(until), settings, yes=yes)
    except (AccountError, AlreadyRuns, NoAnswer, ReadingError, RegistryError, OSError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    except (NotAcknowledged, ProducerFailed) as error:
        why = f"{type(error).__name__} {error}"
        typer.echo(f"leadstream: the broker acknowledged no more ({why}): look at the cluster, then {_GO_ON}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"leadstream: ended by you: {_GO_ON}", err=True)
        raise typer.Exit(1) from None
    _show(outcome, yes=yes, as_json=as_json)
    raise typer.Exit(0 if outcome.whole or not (yes or outcome.unfound) else 1)


def _carry_out(choice: Choice, since: int | None, until: int | None, settings: Settings, *, yes: bool) -> Outcome:
    cluster, prefix = positions(settings.kafka).cluster, settings.kafka.topic_prefix
    order = Order(choice=choice, since=since, until=until, file=place(cluster, prefix, choice, since, until))
    with ExitStack() as stack:
        index = None
        if yes:
            stack.enter_context(alone(order.file))
            typer.echo("Looking what is here already ...", err=True)
            index = stack.enter_context(open_index(settings.kafka, waiting=_wait))
        return asyncio.run(carry_out(order, settings, index, Watch()))


def _show(outcome: Outcome, *, yes: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(in_json(outcome), indent=2))
    elif yes:
        show_report(outcome)
    else:
        show_plan(outcome)
    if not yes:
        more = " The same with --yes does it." if outcome.checkpoint.edges else ""
        typer.echo(f"Nothing was written.{more}", err=True)
    elif outcome.failed or outcome.unfound:
        typer.echo(f"Not everything could be read. When that is repaired, {_GO_ON}.", err=True)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _wait() -> None:
    typer.echo("Another process reads the account's books: waiting for it ...", err=True)
