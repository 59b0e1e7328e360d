"""An import, assembled from the environment: rows are read, judged and written, and what they outdid is mended."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from deploy.account import Index
from deploy.backfill.background import Background, asking_meta
from ingest.bulk import PageLost
from ingest.codec import Codec
from ingest.export import NotAnExport
from ingest.importing import Importing, Refusal, Tally
from ingest.kafka import ConfluentProducer
from ingest.mending import Mended, Writing, mend
from ingest.meta.client import GraphClient
from ingest.meta.errors import Blocked, GraphError, OverBudget
from ingest.meta.graph import FormExport, ask_export
from ingest.meta.pages import PageAccess, Pages
from ingest.reading import Reader
from ingest.records import DETAILS, FORMS, Topics
from ingest.registry import open_registry, resolve_codec
from ingest.settings import (
    KafkaSettings,
    MetaSettings,
    PagesSettings,
    RegistrySettings,
    SettingsError,
    read,
)
from processors.following import following
from processors.form_history import FormHistory
from processors.forms import Forms
from schemas.shapes import LeadDetails

from .forms import AskedForms, KnownForms
from .pace import Pace
from .sources import Unread, batches, download_pieces, file_pieces, file_size
from .words import no_file, not_given

_PATIENCE = 30.0  # seconds for the broker to acknowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be imported: paths of files and exports of forms. `form` and `page` are of rows that tell neither.

    `since` and `until` are unix seconds.
    """

    sources: Sequence[str | FormExport]
    form: str | None
    page: str | None
    since: int | None
    until: int | None
    writes: bool

    @property
    def asks_meta(self) -> bool:
        return any(isinstance(source, FormExport) for source in self.sources)


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of it, as far as it got. `unread` says by source why it, or the rest of it, was not read."""

    rows: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    tallies: dict[str | None, Tally] = field(default_factory=dict)
    pages: dict[str, str | None] = field(default_factory=dict)
    mended: Mended | None = None


async def carry_out(
    order: Order,
    kafka: KafkaSettings,
    index: Index,
    *,
    report: Report,
    pace: Pace,
    refused: Callable[[Refusal], None],
) -> None:
    """Fills the report. RegistryError, AccountError, ReadingError, NotAcknowledged, ProducerFailed."""
    topics = Topics(prefix=kafka.topic_prefix)
    history = FormHistory()
    codec = await _codec(topics)
    async with AsyncExitStack() as opened:
        reader = opened.enter_context(Reader(kafka))
        producer = ConfluentProducer(kafka, topics, timeout=_PATIENCE, client="leadstream-import")
        opened.push_async_callback(producer.close, _PATIENCE)
        await opened.enter_async_context(following(kafka, topics(FORMS), history.follow))
        known, meta = KnownForms(history), None
        if order.asks_meta or (order.writes and _may_ask(pace)):
            meta = await opened.enter_async_context(_asking_meta(kafka, producer, pace))
            if order.writes:
                forms = Forms(meta.background, history, producer, clock=time.monotonic, now=_now)
                known = AskedForms(history, forms, meta.pages)
        importing = Importing(
            index=index,
            forms=known,
            codec=codec,
            writing=Writing(reader, producer, topics) if order.writes else None,
            told=refused,
            clock=_now,
            page=order.page,
        )
        opened.callback(importing.close)
        report.tallies = importing.tallies
        going = _Going(order=order, importing=importing, known=known, meta=meta, report=report, pace=pace)
        try:
            for source in order.sources:
                await going.take(source)
        finally:
            report.pages = {form: known.page_of(form) or order.page for form in importing.tallies if form is not None}
        if order.writes:
            report.mended = await mend(index, reader, producer, topics)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """An import under way."""

    order: Order
    importing: Importing
    known: KnownForms
    meta: "_Meta | None"
    report: Report
    pace: Pace

    async def take(self, source: str | FormExport) -> None:
        name, size = _name(source), file_size(source) if isinstance(source, str) else None
        form = self.order.form if isinstance(source, str) else source.form_id
        rows, unread = self.report.rows, self.report.unread
        rows[name] = 0
        self.pace.at(name, 0, None)
        try:
            async with self._pieces(source) as pieces:
                async for batch in batches(pieces, since=self.order.since, until=self.order.until):
                    await self.importing.take(name, batch.rows, form=form)
                    rows[name] += len(batch.rows)
                    self.pace.at(name, rows[name], None if not size else min(1.0, batch.bytes_read / size))
        except NotAnExport as error:
            unread[name] = no_file(error, from_meta=not isinstance(source, str))
        except Unread as error:
            unread[name] = str(error)

    @asynccontextmanager
    async def _pieces(self, source: str | FormExport) -> AsyncIterator[Iterator[bytes]]:
        """Unread where Meta does not give the file, or not all of it."""
        if isinstance(source, str):
            yield file_pieces(source)
            return
        assert self.meta is not None  # noqa: S101  an order that asks Meta has it
        page = self._page(source.form_id, self.meta.pages)
        background, graph = self.meta.background, self.meta.graph
        failed: GraphError | PageLost
        try:
            async with background.turn(page), graph.download(ask_export(source), graph.key(page)) as pieces:
                yield download_pieces(pieces, asyncio.get_running_loop())
                return
        except (GraphError, PageLost) as error:
            failed = error
        if isinstance(failed, PageLost):
            raise Unread(
                f"page {page.page_id} may not be read ({failed.reason}): `leadstream doctor` says what is wrong"
            )
        # A token that this address does not take may well be good for live leads: only budgets are shared with them.
        if isinstance(failed, OverBudget | Blocked):
            await background.refused(page, failed)
        raise Unread(not_given(failed, page.page_id))

    def _page(self, form_id: str, pages: Pages) -> PageAccess:
        page_id = self.known.page_of(form_id) or self.order.page
        if page_id is None:
            raise Unread("nothing here knows the page of the form, whose token opens it: give it with --page")
        page = pages.get(page_id)
        if page is None:
            raise Unread(f"META_PAGES_FILE has no token for page {page_id}: `leadstream pages add` puts one there")
        return page


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meta:
    graph: GraphClient
    background: Background
    pages: Pages


@asynccontextmanager
async def _asking_meta(kafka: KafkaSettings, producer: ConfluentProducer, pace: Pace) -> AsyncIterator[_Meta]:
    pages = Pages(read(PagesSettings).meta_pages_file)
    async with asking_meta(kafka, producer, pace.say) as meta:
        yield _Meta(graph=meta.graph, background=meta.background, pages=pages)


def _may_ask(pace: Pace) -> bool:
    """Whether forms can be asked for; a file needs nobody."""
    try:
        read(MetaSettings)
        Pages(read(PagesSettings).meta_pages_file)
    except SettingsError:
        pace.say(
            "Meta is not asked for forms, without META_APP_SECRETS and META_PAGES_FILE: what is known here is taken."
        )
        return False
    return True


async def _codec(topics: Topics) -> Codec[LeadDetails]:
    settings = read(RegistrySettings)
    async with open_registry(
        settings.registry_url, username=settings.registry_username, password=settings.registry_password
    ) as registry:
        return await resolve_codec(registry, "LeadDetails", subject=topics.subject(DETAILS))


def _name(source: str | FormExport) -> str:
    if isinstance(source, FormExport):
        return f"form {source.form_id}"
    return "standard input" if source == "-" else source


def _now() -> int:
    return time.time_ns() // 1_000_000
