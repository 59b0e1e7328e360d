"""A reconciliation, assembled from the environment: Meta is asked behind live leads, and what is poorer is mended."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy.account import Index
from deploy.backfill.background import asking_meta
from deploy.backfill.choosing import Choice, Chooser
from ingest.bulk import BulkRead
from ingest.kafka import ConfluentProducer
from ingest.mending import Mended, mend
from ingest.meta.pages import Pages
from ingest.reading import Reader
from ingest.records import FORMS, Topics
from ingest.settings import KafkaSettings, PagesSettings, read
from processors.following import following
from processors.form_history import FormHistory

from .listed import open_listed
from .run import Asked, Progress, Reconciliation, Report

_ACKNOWLEDGED = 30.0  # seconds for the broker


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be reconciled. `patience` is how many seconds to wait while nothing comes; `sending` whether what is
    missing is announced, and what is poorer mended.
    """

    choice: Choice
    asked: Asked
    patience: float
    sending: bool


async def reconcile(
    order: Order,
    index: Index,
    *,
    told: Callable[[Progress], None] = lambda _: None,
    said: Callable[[str], None] = lambda _: None,
) -> tuple[Report, Mended | None]:
    """One run. AccountError, ReadingError; NotAcknowledged, ProducerFailed: what was announced by then comes."""
    kafka = read(KafkaSettings)
    pages = Pages(read(PagesSettings).meta_pages_file)
    topics = Topics(prefix=kafka.topic_prefix)
    history = FormHistory()
    producer = ConfluentProducer(kafka, topics, timeout=_ACKNOWLEDGED, client="leadstream-reconcile")
    try:
        async with (
            asking_meta(kafka, producer, said) as meta,
            following(kafka, topics(FORMS), history.follow),
        ):
            chooser = Chooser(meta.background, pages, page_of=_page_of(history))
            with open_listed() as listed:
                run = Reconciliation(
                    leads=BulkRead(meta.graph, meta.background, told=said),
                    forms=chooser,
                    pages=pages,
                    index=index,
                    listed=listed,
                    producer=producer if order.sending else None,
                    asked=order.asked,
                    run=f"reconcile-{secrets.token_hex(8)}",
                    clock=_now,
                    told=told,
                )
                report = await _run(run, order, chooser, pages)
        return report, await _mend(kafka, index, producer, topics) if order.sending else None
    finally:
        await producer.close(5.0)


async def _run(run: Reconciliation, order: Order, chooser: Chooser, pages: Pages) -> Report:
    choice = order.choice
    if choice.forms:
        edges, unfound = await chooser.choose(choice)
        return await run.reconcile((), (*edges, *unfound), patience=order.patience)
    page_ids = [page.page_id for page in pages.all()] if choice.all_pages else choice.pages
    return await run.reconcile(page_ids, patience=order.patience)


async def _mend(kafka: KafkaSettings, index: Index, producer: ConfluentProducer, topics: Topics) -> Mended:
    if next(index.outdone(), None) is None:  # as it nearly always is
        return Mended(leads=0, gone=(), left=())
    with Reader(kafka) as reader:
        # In a thread and a loop of its own: it blocks while it reads, and our loop has to tell that it lives.
        return await asyncio.to_thread(lambda: asyncio.run(mend(index, reader, producer, topics)))


def _page_of(history: FormHistory) -> Callable[[str], str | None]:
    def page_of(form_id: str) -> str | None:
        known = history.current(form_id)
        return known.page_id if known else None

    return page_of


def _now() -> int:
    return time.time_ns() // 1_000_000
