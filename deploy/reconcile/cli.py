"""`leadstream reconcile`: is every lead that Meta has here? Exit codes: 0 it is, 1 not, 2 used wrongly."""

import asyncio
import json
import os
import sys
import time
from datetime import datetime
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.account import AccountError, open_index
from deploy.backfill.choosing import AllPages, Choice, Forms, OfPages
from deploy.moments import Since, Until, duration
from deploy.parent import Program
from deploy.running import run
from deploy.table import print_aligned
from ingest import telemetry
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.reading import ReadingError
from ingest.settings import KafkaSettings, MetaSettings, read

from .assembly import reconcile as run_once
from .run import Asked, Progress
from .watching import ReconcileSettings
from .words import in_json, reasons, rows, verdict

_SAY_EVERY = 10.0  # seconds between two lines where there is no terminal


def reconcile(
    *,
    form: Forms = None,
    page: OfPages = None,
    all_pages: AllPages = False,
    since: Since = None,
    until: Until = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch what is missing. Else it is only told.")] = False,
    wait: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="DURATION", help="So long while nothing comes any more.", show_default="120s"
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Again and again, supervised.", show_default="one run"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Is every lead that Meta has here? Per form: how many Meta has, how many are here, and of the rest why.

    What is missing goes to meta.leadgen.raw, is fetched as any lead, and is waited for. Without names it is every form
    of every page in META_PAGES_FILE. --since and --until are of when a lead was given. Exit code 1: not all of them are
    here, or a page could not be read. A second run sends nothing again.

    Example: leadstream reconcile --page 106777055130587 --yes
    Every six hours, with metrics: leadstream reconcile --every 6h --yes
    """
    choice = Choice.read(form, None, page, all_pages=all_pages or not (form or page))
    if every is not None and (not yes or since or until or as_json):
        raise typer.BadParameter("--every needs --yes, and looks at all leads: no --since, --until, --json")
    named = all_pages or form or page
    asked = {
        "RECONCILE_FORMS": ",".join(choice.forms) if named else None,
        "RECONCILE_PAGES": ",".join(choice.pages) if named else None,
        "RECONCILE_WAIT": wait,
        "RECONCILE_EVERY": every,
    }
    os.environ.update({name: str(value) for name, value in asked.items() if value is not None})  # for the child too
    settings, kafka, _ = read(ReconcileSettings), read(KafkaSettings), read(MetaSettings)
    if every is not None:
        run([Program(name="reconcile")])
    telemetry.start_logging("reconcile")
    order = settings.order(Asked(since=_seconds(since), until=_seconds(until)), sending=yes)
    try:
        with _Told() as told, open_index(kafka, waiting=told.waiting, told=told.reading) as index:
            report, mended = asyncio.run(run_once(order, index, told=told.at, said=told.say))
    except (AccountError, ReadingError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    except (NotAcknowledged, ProducerFailed) as error:
        typer.echo(
            f"leadstream: the broker acknowledged no more ({type(error).__name__} {error}): look at the cluster, then"
            " run it again. What was announced comes by itself, and nothing is announced twice",
            err=True,
        )
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        more = "What was announced comes by itself; run it again for the rest" if yes else "Nothing was sent"
        typer.echo(f"leadstream: ended by you. {more}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(in_json(report, sending=yes, mended=mended), indent=2))
    else:
        print_aligned(rows(report))
        for line in reasons(report, mended):
            typer.echo(line)
        typer.echo(verdict(report, sending=yes))
    sys.exit(0 if report.is_complete else 1)


class _Told:
    """How far it is, on stderr: a line that changes at a terminal, else one now and then."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._terminal = console.is_terminal
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._line = Bar(*columns, console=console, disable=not self._terminal, transient=True)
        self._task = self._line.add_task("reading what is here", total=None)
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.stop()

    def waiting(self) -> None:
        self.say("another command reads the topics; this one goes on after it")

    def reading(self, done: int, total: int) -> None:
        if done < total:
            self._show(f"reading what is here: {done:,} of {total:,} records")

    def at(self, progress: Progress) -> None:
        coming = f", {progress.under_way:,} on their way" if progress.under_way else ""
        self._show(f"{progress.listed:,} leads listed, {progress.missing:,} missing{coming}")

    def say(self, sentence: str) -> None:
        """A line above it."""
        if self._terminal:
            self._line.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        else:
            typer.echo(sentence, err=True)

    def _show(self, line: str) -> None:
        self._line.update(self._task, description=line)
        if not self._terminal and time.monotonic() - self._spoke > _SAY_EVERY:
            self._spoke = time.monotonic()
            typer.echo(line, err=True)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
