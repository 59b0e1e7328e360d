"""`leadstream backfill`, assembled: the plan, and with --yes the reading of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from deploy.account.positions import NoAnswer, positions
from deploy.account.taking import AccountError
from deploy.account.whereabouts import Index, open_index
from deploy.moments import Since, Until
from ingest import telemetry
from ingest.backfill import Backfill
from ingest.bulk import BulkRead
from ingest.codec import Codec
from ingest.kafka import ConfluentProducer, NotAcknowledged, ProducerFailed
from ingest.meta.client import GraphClient
from ingest.meta.graph import Snapshot
from ingest.meta.graph.bulk import BulkLead
from ingest.meta.pages import PageAccess, Pages
from ingest.reading import ReadingError
from ingest.records import ACCESS, DETAILS, FORMS, Topics
from ingest.registry import RegistryError, open_registry, resolve_codec
from ingest.settings import KafkaSettings, MetaSettings, PagesSettings, RegistrySettings, RetrySettings, read
from processors import patience
from processors.access import AccessStates
from processors.asking import Asking
from processors.following import following
from processors.form_history import FormHistory, Given
from processors.forms import Forms
from processors.governor import Governor
from schemas.shapes import LeadDetails

from . import checkpoint as checkpoints
from .background import Background
from .checkpoint import AlreadyRuns, Checkpoint
from .choosing import Ads, AllPages, Choice, Chooser, OfPages, Unfound
from .choosing import Forms as FormIds
from .progress import Watch
from .running import fill_all
from .words import Outcome, at_meta, in_json, show_plan, show_report

_ANSWER = aiohttp.ClientTimeout(total=30, sock_connect=5)  # seconds; some hundred leads take longer than one
_PATIENCE = 30.0  # seconds for the broker to acknowledge
_GO_ON = "run the same command again, and it goes on where it stood"


def backfill(
    *,
    form: FormIds = None,
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
    command = _Command(choice=choice, since=_seconds(since), until=_seconds(until), yes=yes, as_json=as_json)
    settings = _Settings(
        kafka=read(KafkaSettings),
        registry=read(RegistrySettings),
        meta=read(MetaSettings),
        pages=Pages(read(PagesSettings).meta_pages_file),
        quiet_ms=round(read(RetrySettings).retry_delays[0] * 1000),
    )
    telemetry.start_logging("backfill")
    patience.tell("backfill")
    try:
        whole = _run(command, settings)
    except (AccountError, AlreadyRuns, NoAnswer, ReadingError, RegistryError, OSError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    except (NotAcknowledged, ProducerFailed) as error:
        typer.echo(
            f"leadstream: the broker acknowledges no more ({error}): look at the cluster, then {_GO_ON}", err=True
        )
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"Ended by you: {_GO_ON}.", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if whole else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    choice: Choice
    since: int | None
    until: int | None
    yes: bool
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    kafka: KafkaSettings
    registry: RegistrySettings
    meta: MetaSettings
    pages: Pages
    quiet_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meta:
    """Meta, asked behind live leads, and what is known of forms."""

    graph: GraphClient
    background: Background
    history: FormHistory
    producer: ConfluentProducer


def _run(command: _Command, settings: _Settings) -> bool:
    """Whether everything that was to be had was read, or could be."""
    cluster = positions(settings.kafka).cluster
    prefix = settings.kafka.topic_prefix
    file = checkpoints.place(cluster, prefix, command.choice, command.since, command.until)
    with ExitStack() as stack:
        index = None
        if command.yes:
            stack.enter_context(checkpoints.alone(file))
            typer.echo("Looking what is here already ...", err=True)
            index = stack.enter_context(open_index(settings.kafka, waiting=_wait))
        return asyncio.run(_go(command, settings, file, index))


async def _go(command: _Command, settings: _Settings, file: Path, index: Index | None) -> bool:
    heard: list[Watch] = []

    def say(line: str) -> None:
        if heard:
            heard[0].say(line)
        else:
            typer.echo(line, err=True)

    async with _asking(settings, say) as meta:
        chooser = Chooser(meta.background, settings.pages, page_of=lambda form_id: _page_of(meta.history, form_id))
        plan, unfound = await _plan(command, chooser, checkpoints.read(file) or _new(command, file))
        if index is None:
            outcome = Outcome(checkpoint=plan, failed={}, unfound=unfound)
            if command.as_json:
                typer.echo(json.dumps(in_json(outcome), indent=2))
            else:
                show_plan(plan, unfound, meta.background.used)
            more = " The same with --yes does it." if plan.edges else ""
            typer.echo(f"Nothing was written.{more}", err=True)
            return not unfound
        plan.write()
        totals = [at_meta(edge) for edge in plan.edges]
        total = None if None in totals else sum(each or 0 for each in totals)
        with Watch(total, done=plan.read, used=lambda: _fullest(meta.background, plan)) as watch:
            heard.append(watch)
            failed = await fill_all(plan, await _filling(settings, meta, index, say), settings.pages, told=watch.at)
            heard.clear()
    outcome = Outcome(checkpoint=plan, failed=failed, unfound=unfound)
    if plan.whole and not failed:
        plan.remove()
    if command.as_json:
        typer.echo(json.dumps(in_json(outcome), indent=2))
    else:
        show_report(outcome)
    if failed or unfound:
        typer.echo(f"Not everything could be read. When that is repaired, {_GO_ON}.", err=True)
    return outcome.whole


@asynccontextmanager
async def _asking(settings: _Settings, say: Callable[[str], None]) -> AsyncIterator[_Meta]:
    kafka, topics = settings.kafka, Topics(prefix=settings.kafka.topic_prefix)
    states = AccessStates(secret=settings.meta.meta_app_secrets[0].secret, clock=_now)
    governor = Governor(states, clock=_now, quiet_ms=settings.quiet_ms)
    history = FormHistory()
    producer = ConfluentProducer(kafka, topics, timeout=_PATIENCE, client="leadstream-backfill")
    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            following(kafka, topics(ACCESS), states.follow),
            following(kafka, topics(FORMS), history.follow),
        ):
            graph = GraphClient(session, settings.meta, timeout=_ANSWER)
            telling = Asking(graph=graph, governor=governor, producer=producer, concurrency=1)
            background = Background(graph, governor, tell=telling.tell, told=say, clock=_now)
            yield _Meta(graph=graph, background=background, history=history, producer=producer)
    finally:
        await producer.close(_PATIENCE)


async def _plan(command: _Command, chooser: Chooser, plan: Checkpoint) -> tuple[Checkpoint, list[Unfound]]:
    """What an earlier run has left, else what is chosen now; of what was not found then, what is now."""
    if plan.edges and plan.whole:
        return plan, []
    edges, unfound = await chooser.choose(command.choice)
    known = {(edge.kind, edge.edge_id) for edge in plan.edges}
    plan.edges += [edge for edge in edges if (edge.kind, edge.edge_id) not in known]
    plan.whole = not unfound
    return plan, unfound


async def _filling(settings: _Settings, meta: _Meta, index: Index, say: Callable[[str], None]) -> Backfill:
    registry, topics = settings.registry, Topics(prefix=settings.kafka.topic_prefix)
    async with open_registry(
        registry.registry_url, username=registry.registry_username, password=registry.registry_password
    ) as asked:
        codec: Codec[LeadDetails] = await resolve_codec(asked, "LeadDetails", subject=topics.subject(DETAILS))
    return Backfill(
        bulk=BulkRead(meta.graph, meta.background, told=say),
        forms=_FormsOfLeads(Forms(meta.background, meta.history, meta.producer, clock=time.monotonic, now=_now)),
        known=index,
        producer=meta.producer,
        codec=codec,
        clock=_now,
    )


class _FormsOfLeads:
    def __init__(self, forms: Forms) -> None:
        self._forms = forms

    async def of(self, lead: BulkLead, form_id: str, page: PageAccess) -> Snapshot | None:
        return await self._forms.get(form_id, page, Given.read(lead.parsed, lead.created_time))


def _new(command: _Command, file: Path) -> Checkpoint:
    # Fixed now: leads that come later come by their webhooks, and no page of the list shifts under the reading.
    until = int(time.time()) if command.until is None else command.until
    return Checkpoint(file=file, since=command.since, until=until, edges=[])


def _page_of(history: FormHistory, form_id: str) -> str | None:
    known = history.current(form_id)
    return None if known is None else known.page_id


def _fullest(background: Background, plan: Checkpoint) -> float | None:
    used = [background.used(page_id) for page_id in {edge.page_id for edge in plan.edges}]
    return max((each for each in used if each is not None), default=None)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _wait() -> None:
    typer.echo("Another process reads the account's books: waiting for it ...", err=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
