"""`leadstream reconcile --every`: one reconciliation every so often, counted and told.

Metrics are by form, of the first `FORMS_SHOWN` forms there are; what is beyond them is added up as form `other`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from deploy.account import AccountError, open_index
from deploy.backfill.choosing import Choice
from ingest import telemetry
from ingest.kafka import NotAcknowledged
from ingest.reading import ReadingError
from ingest.reconcile import FormReport
from ingest.settings import KafkaSettings, PagesSettings, read

from .assembly import Order, reconcile
from .run import Asked, Report, together

FORMS_SHOWN = 1_000
YOUNG_SECONDS = 600.0  # Meta's pings take "up to a few minutes": guides/lead-ads/retrieving
_AGAIN_AFTER = 60.0  # seconds, where Kafka could not be read


class ReconcileSettings(PagesSettings):
    """What is reconciled and how often; the options of `reconcile` win over them."""

    reconcile_every: float = Field(default=21_600.0, gt=0, description="seconds from one run's begin to the next")
    reconcile_wait: float = Field(default=120.0, gt=0, description="seconds to wait while nothing comes")
    reconcile_pages: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="ids, comma-separated")
    reconcile_forms: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="ids, comma-separated")

    @field_validator("reconcile_pages", "reconcile_forms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value

    def order(self, asked: Asked, *, sending: bool) -> Order:
        named = [*self.reconcile_pages, *self.reconcile_forms]
        choice = Choice(forms=self.reconcile_forms, pages=self.reconcile_pages, all_pages=not named)
        return Order(choice=choice, asked=asked, patience=self.reconcile_wait, sending=sending)


async def watch(stop: asyncio.Event, report: Callable[[bool, str], None]) -> None:
    """Reconciles until told to stop; settings from the environment. It reports whether the last run came to an end."""
    settings = read(ReconcileSettings)
    order = settings.order(Asked(young=YOUNG_SECONDS), sending=True)
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            begun = time.monotonic()
            run = asyncio.create_task(_once(order, report))
            await asyncio.wait((run, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not run.done():  # what was announced comes by itself, and what was not is found again
                run.cancel()
                await asyncio.wait((run,))
                return
            every = settings.reconcile_every if run.result() else min(settings.reconcile_every, _AGAIN_AFTER)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, begun + every - time.monotonic()))
    finally:
        stopping.cancel()


async def _once(order: Order, report: Callable[[bool, str], None]) -> bool:
    """Whether it came to an end."""
    try:
        with ExitStack() as stack:  # in a thread: the first time all topics are read
            index = await asyncio.to_thread(stack.enter_context, open_index(read(KafkaSettings)))
            report(True, "")
            found, _ = await reconcile(order, index)
    except (AccountError, ReadingError, NotAcknowledged) as error:
        telemetry.log("warning", "reconcile.failed", error=type(error).__name__)
        report(False, f"the last run failed: {error}")
        return False
    count(found)
    return True


def count(report: Report) -> None:
    """In metrics and events."""
    for form in _shown(report):
        _count(form)
    total = report.total
    for page_id, forms in _by_page(report).items():
        missed = [form for form in forms if form.sent or form.number("missing")]
        if missed:
            leads = sum(form.sent + form.number("missing") for form in missed)
            telemetry.log("error", "reconcile.missing", page_id=page_id, forms=len(missed), leads=leads)
    for trouble in report.troubles:
        telemetry.log(
            "error", "reconcile.unread", page_id=trouble.page_id, form_id=trouble.form_id, reason=trouble.reason
        )
    telemetry.RECONCILE_UNREAD.set(len(report.troubles))
    telemetry.RECONCILED_AT.set(time.time())
    telemetry.log(
        "info",
        "reconcile.done",
        run=report.run,
        forms=len(report.forms),
        at_meta=total.at_meta,
        had=total.had,
        recovered=total.recovered,
    )


def _count(form: FormReport) -> None:
    of = telemetry.RECONCILE_LEADS
    of.labels(form_id=form.form_id, standing="at-meta").set(form.at_meta)
    of.labels(form_id=form.form_id, standing="had").set(form.had)
    of.labels(form_id=form.form_id, standing="missed").set(form.sent + form.number("missing"))
    if form.completeness is not None:
        telemetry.RECONCILE_COMPLETENESS.labels(form_id=form.form_id).set(form.had / form.at_meta)


def _shown(report: Report) -> Iterator[FormReport]:
    forms = sorted(report.forms, key=lambda form: form.form_id)  # the same ones each time, as long as there are no new
    yield from forms[:FORMS_SHOWN]
    if len(forms) > FORMS_SHOWN:
        yield together(forms[FORMS_SHOWN:], "other")


def _by_page(report: Report) -> dict[str, list[FormReport]]:
    pages: dict[str, list[FormReport]] = {}
    for form in report.forms:
        pages.setdefault(form.page_id, []).append(form)
    return pages
