"""Leads that no webhook tells of, and the reconciliation that finds them: in our process, on the demo's own settings.

Its books and its log lie in the demo's folder; the user's own are left alone.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from rich.table import Table

from deploy.account import open_index
from deploy.backfill.choosing import Choice
from deploy.reconcile.assembly import Order
from deploy.reconcile.assembly import reconcile as run_once
from deploy.reconcile.run import Asked, Progress, Report
from deploy.reconcile.words import rows
from deploy.sandbox.graph.admin import GraphAdmin
from ingest import telemetry

from .stage import Stage
from .world import World

FOLDER = "reconcile"
"""Of the demo's home."""

_OF_EACH_FORM = 3
_TWO_DAYS = 2 * 86_400.0  # seconds; Meta repeats a webhook for 36 hours
_PATIENCE = 60.0  # seconds


def make(graph: GraphAdmin) -> set[str]:
    """Leads of two days ago on every form, announced to nobody."""
    return {
        lead
        for form in graph.forms()
        for lead in graph.make_leads(form.form_id, _OF_EACH_FORM, age=_TWO_DAYS, over=3600)
    }


def at_meta(graph: GraphAdmin) -> set[str]:
    """Every lead that can be had."""
    return {lead for form in graph.forms() for lead in graph.lead_ids(form.form_id)}


@contextmanager
def reconciling(world: World, stage: Stage) -> Iterator[Callable[[bool], Report]]:
    """What `leadstream reconcile` finds at the forms of all pages; if told so, it sends what is missing, as with --yes.

    AccountError, ReadingError, NotAcknowledged, ProducerFailed.
    """
    folder = world.home / FOLDER

    def reading(done: int, total: int) -> None:
        stage.moment(f"reading what is here: {done} of {total} records")

    def at(progress: Progress) -> None:
        stage.moment(f"{progress.listed} leads listed, {progress.missing} missing, {progress.under_way} on their way")

    def run(sending: bool) -> Report:
        order = Order(choice=Choice(all_pages=True), asked=Asked(), patience=_PATIENCE, sending=sending)
        report, _ = asyncio.run(run_once(order, index, told=at, said=stage.step))
        return report

    with (
        _set(world.environment),
        _logging_to(folder),
        open_index(world.kafka, folder / "books.sqlite", told=reading) as index,
    ):
        yield run


def report_table(report: Report) -> Table:
    """As `leadstream reconcile` prints it."""
    head, *forms = rows(report)
    table = Table(*head, box=None, header_style="bold", pad_edge=False)
    for form in forms:
        table.add_row(*form)
    return table


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    """What the programs are told, in our own environment: a reconciliation reads its settings there, as they do."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _logging_to(folder: Path) -> Iterator[None]:
    """Events go to a log beside those of the programs, and not between the lines of the story."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("w") as log, redirect_stderr(log):
        telemetry.start_logging("reconcile")
        yield
