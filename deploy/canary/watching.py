"""`leadstream canary`, assembled from the environment: one run, or one every so often, counted and told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from pydantic import Field

from deploy.backfill.background import asking_meta
from ingest import telemetry
from ingest.kafka import ConfluentProducer
from ingest.meta.pages import PageAccess, Pages
from ingest.reading import Reader, ReadingError
from ingest.records import FORMS, Topics
from ingest.settings import KafkaSettings, PagesSettings, SettingsError, read
from processors import patience

from .flight import Canary
from .judging import FLOWN, STAGES, Flight, Limits
from .lookout import lookout
from .words import sentence


class CanarySettings(PagesSettings):
    """On which form it flies, how often and against what; the options of `canary` win over them."""

    canary_form: str = Field(pattern=r"^[0-9]{1,32}$", description="a form's id; or --form")
    canary_page: str | None = Field(default=None, pattern=r"^[0-9]{1,32}$", description="its page's id")
    canary_every: float = Field(default=900.0, gt=0, description="seconds from the begin of one run to the next")
    canary_timeout: float = Field(default=120.0, gt=0, description="seconds until a test lead is lost")
    canary_objective: float = Field(default=60.0, gt=0, description="seconds within which it should come through")

    @property
    def limits(self) -> Limits:
        return Limits(timeout=self.canary_timeout, objective=self.canary_objective)


async def watch(stop: asyncio.Event, report: Callable[[bool, str], None]) -> None:
    """Flies until told to stop; settings from the environment. It reports whether a run could be made."""
    settings = read(CanarySettings)
    telemetry.CANARY_OBJECTIVE.labels(form_id=settings.canary_form).set(settings.canary_objective)
    async with assembled(settings) as bird:
        report(True, "")
        while not stop.is_set():
            begun = time.monotonic()
            flight = await fly_once(bird, settings, stop)
            count(flight)
            report(flight.outcome in FLOWN, "" if flight.outcome in FLOWN else sentence(flight, settings.limits))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, begun + settings.canary_every - time.monotonic()))


async def fly_once(bird: Canary, settings: CanarySettings, stop: asyncio.Event) -> Flight:
    """One run. SettingsError where no page is known for the form, or nothing opens it."""
    # Read anew each time: runs are too far apart for looks that compare a file with how it just was.
    pages = Pages(settings.meta_pages_file)
    try:
        page = await asyncio.to_thread(find_page, settings, pages)
    except ReadingError:
        return Flight(form_id=settings.canary_form, outcome="unread")
    return await bird.fly(settings.canary_form, page, stop)


@asynccontextmanager
async def assembled(settings: CanarySettings) -> AsyncIterator[Canary]:
    """One that obeys what all workers have been told of budgets and access, and tells them what it is told."""
    kafka = read(KafkaSettings)
    topics = Topics(prefix=kafka.topic_prefix)
    patience.tell("canary")
    producer = ConfluentProducer(kafka, topics, timeout=None, client="leadstream-canary")
    try:
        async with asking_meta(kafka, producer, lambda _: None) as meta:
            yield Canary(
                graph=meta.graph,
                governor=meta.governor,
                told=meta.tell,
                watch=partial(lookout, kafka),
                limits=settings.limits,
            )
    finally:
        await producer.close(1.0)


def find_page(settings: CanarySettings, pages: Pages) -> PageAccess:
    """The page that was told, else that of the form on meta.leadgen.forms, else the only one there is.

    SettingsError where that is none that we have a token for; ReadingError.
    """
    page_id = settings.canary_page or _page_of(settings.canary_form)
    held = {page.page_id: page for page in pages.all()}
    if page_id is None:
        if len(held) == 1:
            return next(iter(held.values()))
        raise SettingsError(
            f"CANARY_FORM: nothing is known yet of form {settings.canary_form}, so say its page: --page, or CANARY_PAGE"
        )
    if page_id not in held:
        raise SettingsError(f"CANARY_FORM: META_PAGES_FILE has no token for page {page_id}, whose form it is")
    return held[page_id]


def count(flight: Flight) -> None:
    """In metrics and events."""
    form, outcome = flight.form_id, flight.outcome
    telemetry.CANARY_RUNS.labels(form_id=form, outcome=outcome).inc()
    whole = flight.times.whole if flight.times else None
    if flight.times is not None and whole is not None:
        for stage in STAGES:
            if (seconds := flight.times.seconds[stage]) is not None:
                telemetry.CANARY_SECONDS.labels(stage=stage).observe(seconds)
        telemetry.CANARY_SECONDS.labels(stage="whole").observe(whole)
    match outcome:
        case "in-time":
            telemetry.CANARY_ARRIVED.labels(form_id=form).set(time.time())
            telemetry.log("info", "canary.arrived", form_id=form, lead_id=flight.lead_id, seconds=whole)
        case "late":
            telemetry.log("error", "canary.late", form_id=form, lead_id=flight.lead_id, seconds=whole)
        case "lost":
            told = flight.told
            telemetry.log(
                "error",
                "canary.lost",
                form_id=form,
                lead_id=flight.lead_id,
                stuck=flight.stuck,
                fate=told.fate if told else None,
                reason=told.reason if told else None,
            )
        case "stopped":
            pass
        case _:
            telemetry.log("warning", "canary.not-flown", form_id=form, outcome=outcome, reason=flight.reason)
    if flight.left is not None:
        telemetry.log("warning", "canary.left", form_id=form, lead_id=flight.lead_id, reason=flight.left)


def _page_of(form_id: str) -> str | None:
    kafka = read(KafkaSettings)
    found: str | None = None
    with Reader(kafka) as reader:
        for received in reader.read(Topics(prefix=kafka.topic_prefix)(FORMS)):
            if (received.key or b"").startswith(f"{form_id}@".encode()) and received.value is not None:
                found = json.loads(received.value)["page_id"] or found
    return found


def _now() -> int:
    return round(time.time() * 1000)
