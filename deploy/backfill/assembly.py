"""A backfill, assembled: Meta behind live leads, what is known of forms, the index, and the topic it writes to."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.account.whereabouts import Index
from ingest.backfill import Backfill
from ingest.bulk import BulkRead
from ingest.codec import Codec
from ingest.kafka import ConfluentProducer
from ingest.mending import Writing, mend
from ingest.meta.client import GraphClient
from ingest.meta.graph import Snapshot
from ingest.meta.graph.bulk import BulkLead
from ingest.meta.pages import PageAccess, Pages
from ingest.reading import Reader
from ingest.records import DETAILS, FORMS, Topics
from ingest.registry import open_registry, resolve_codec
from ingest.settings import KafkaSettings, RegistrySettings
from processors.following import following
from processors.form_history import FormHistory, Given
from processors.forms import Forms
from schemas.shapes import LeadDetails

from .background import Background, asking_meta
from .checkpoint import Checkpoint, read
from .choosing import Choice, Chooser, Unfound
from .progress import Watch
from .running import fill_all
from .words import Outcome, at_meta

_PATIENCE = 30.0  # seconds for the broker to acknowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be read, in unix seconds, and the file that knows how far it is."""

    choice: Choice
    since: int | None
    until: int | None
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    kafka: KafkaSettings
    registry: RegistrySettings
    pages: Pages

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.kafka.topic_prefix)


async def carry_out(order: Order, settings: Settings, index: Index | None, watch: Watch) -> Outcome:
    """Reads it all, where an index says what is here; else tells what would be read.

    RegistryError, AccountError, ReadingError, NotAcknowledged, ProducerFailed, and OSError of the file.
    """
    async with _asking_meta(settings, watch) as meta:
        plan, unfound = await plan_of(order, Chooser(meta.background, settings.pages, page_of=meta.page_of))
        if index is None:
            return Outcome(checkpoint=plan, unfound=unfound, used=meta.background.used)
        plan.write()
        totals = [at_meta(edge) for edge in plan.edges]
        total = None if None in totals else sum(each or 0 for each in totals)
        used = meta.background.used
        with (
            Reader(settings.kafka) as reader,
            watch.counting(total, done=plan.read, used=lambda: max(used.values(), default=None)),
        ):
            backfill = await _backfill(settings, meta, index, reader, watch)
            failed = await fill_all(plan, backfill, settings.pages, told=watch.at)
            if any(plan.of(edge).missing_fields for edge in plan.edges):
                # Somebody may have read such a lead whole just then.
                await mend(index, reader, meta.producer, settings.topics)
    if plan.whole and not failed:
        plan.remove()
    else:
        plan.ended = True
        plan.write()
    return Outcome(checkpoint=plan, unfound=unfound, failed=failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meta:
    """Meta, asked behind live leads, and what is known of forms."""

    graph: GraphClient
    background: Background
    history: FormHistory
    producer: ConfluentProducer

    def page_of(self, form_id: str) -> str | None:
        known = self.history.current(form_id)
        return None if known is None else known.page_id


@asynccontextmanager
async def _asking_meta(settings: Settings, watch: Watch) -> AsyncIterator[_Meta]:
    kafka = settings.kafka
    history = FormHistory()
    producer = ConfluentProducer(kafka, settings.topics, timeout=_PATIENCE, client="leadstream-backfill")
    try:
        async with (
            asking_meta(kafka, producer, watch.say) as meta,
            following(kafka, settings.topics(FORMS), history.follow),
        ):
            yield _Meta(graph=meta.graph, background=meta.background, history=history, producer=producer)
    finally:
        await producer.close(_PATIENCE)


async def plan_of(order: Order, chooser: Chooser) -> tuple[Checkpoint, list[Unfound]]:
    """What an earlier run has left, else what is chosen now; of what was not found then, what is now."""
    now, plan = int(time.time()), await asyncio.to_thread(read, order.file)
    # Else a page that stays lost would keep the time of the first start, and no later run would read what came since.
    if plan is None or (order.until is None and plan.is_over(now=now)):
        # Fixed now: leads that come later come by their webhooks, and no page of the list shifts under the reading.
        until = now if order.until is None else order.until
        plan = Checkpoint(file=order.file, since=order.since, until=until, edges=[])
    else:
        plan.ended = False
        if plan.whole:
            return plan, []
    edges, unfound = await chooser.choose(order.choice)
    known = {(edge.kind, edge.edge_id) for edge in plan.edges}
    plan.edges += [edge for edge in edges if (edge.kind, edge.edge_id) not in known]
    plan.whole = not unfound
    return plan, unfound


async def _backfill(settings: Settings, meta: _Meta, index: Index, reader: Reader, watch: Watch) -> Backfill:
    registry = settings.registry
    async with open_registry(
        registry.registry_url, username=registry.registry_username, password=registry.registry_password
    ) as asked:
        codec: Codec[LeadDetails] = await resolve_codec(asked, "LeadDetails", subject=settings.topics.subject(DETAILS))
    forms = Forms(meta.background, meta.history, meta.producer, clock=time.monotonic, now=_now)
    return Backfill(
        bulk=BulkRead(meta.graph, meta.background, told=watch.say),
        forms=_FormsOfLeads(forms),
        known=index,
        writing=Writing(reader, meta.producer, settings.topics),
        codec=codec,
        clock=_now,
    )


class _FormsOfLeads:
    def __init__(self, forms: Forms) -> None:
        self._forms = forms

    async def of(self, lead: BulkLead, form_id: str, page: PageAccess) -> Snapshot | None:
        return await self._forms.get(form_id, page, Given.read(lead.parsed, lead.created_time))


def _now() -> int:
    return time.time_ns() // 1_000_000
