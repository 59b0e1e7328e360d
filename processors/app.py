"""The workers, assembled from the environment: what each reads, asks and writes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import aiohttp

import schemas
from ingest.codec import Codec
from ingest.groups import begin
from ingest.kafka import ConfluentProducer
from ingest.meta.client import GraphClient
from ingest.meta.pages import Pages
from ingest.reading import Reader
from ingest.records import (
    ACCESS,
    AGAIN,
    DETAILS,
    FATES,
    FORMS,
    LEAD_UPDATES,
    LEADS,
    PARKED,
    RAW,
    RETRY,
    UPDATES,
    Topics,
)
from ingest.registry import decode, open_registry, resolve_codec
from ingest.settings import (
    FormsSettings,
    HealthSettings,
    KafkaSettings,
    MappingSettings,
    MetaSettings,
    PagesSettings,
    RegistrySettings,
    RetrySettings,
    WorkSettings,
    read,
)
from processors import patience
from processors.access import AccessStates
from processors.access_watch import AccessWatch
from processors.asking import Asking
from processors.failures import Ladder
from processors.fetch import Fetch
from processors.following import following
from processors.form_history import FormHistory
from processors.form_watch import FormWatch
from processors.forms import Forms
from processors.governor import Governor
from processors.health import HealthStates
from processors.limit import Limit
from processors.map import Map
from processors.mapping.live import Mappings
from processors.monitor import Monitor
from processors.parked import Parked
from processors.recent import RecentLeads
from processors.releaser import Releaser
from processors.retry import Retry
from processors.together import reports, run_together
from processors.updates import Updates
from processors.worker import Worker
from schemas.shapes import Lead, LeadDetails, LeadUpdate

RECENT_LEADS = 100_000
RECENT_SECONDS = (
    36 * 3600.0
)  # as long as Meta repeats a notification: developers.facebook.com, webhooks getting started

Shape = TypeVar("Shape", LeadDetails, Lead, LeadUpdate)
Report = Callable[[bool, str], None]


async def work_fetch(stop: asyncio.Event, report: Report) -> None:
    """`leadstream work fetch`: notifications in, whole answers out."""
    kafka, work, meta, retry = read(KafkaSettings), read(WorkSettings), read(MetaSettings), read(RetrySettings)
    pages = Pages(read(PagesSettings).meta_pages_file)
    topics = Topics(prefix=kafka.topic_prefix)
    patience.tell("fetch")
    codec: Codec[LeadDetails] = await _codec("LeadDetails", topics.subject(DETAILS))
    states = AccessStates(secret=meta.meta_app_secrets[0].secret, clock=_now)
    governor = Governor(states, clock=_now, quiet_ms=round(retry.retry_delays[0] * 1000))
    known_forms = FormHistory()
    connections = aiohttp.TCPConnector(limit=work.fetch_concurrency)
    async with (
        _producer(kafka, topics) as producer,
        aiohttp.ClientSession(connector=connections, cookie_jar=aiohttp.DummyCookieJar()) as session,
        following(kafka, topics(ACCESS), states.follow),
        following(kafka, topics(FORMS), known_forms.follow),
    ):
        asking = Asking(
            graph=GraphClient(session, meta),
            governor=governor,
            producer=producer,
            concurrency=work.fetch_concurrency,
        )
        step = Fetch(
            asking=asking,
            governor=governor,
            pages=pages,
            forms=Forms(asking, known_forms, producer, clock=time.monotonic, now=_now),
            producer=producer,
            codec=codec,
            recent=RecentLeads(size=RECENT_LEADS, seconds=RECENT_SECONDS, clock=time.monotonic),
            ladder=Ladder(delays=retry.retry_delays),
            limit=Limit(worker="fetch", per_minute=work.failures_per_minute, clock=time.monotonic),
            window=work.fetch_window,
            clock=_now,
        )
        await Worker(
            kafka=kafka,
            group=topics.group("fetch"),
            topics=[topics(RAW), topics(AGAIN)],
            step=step,
            size=work.fetch_window,
            reachable=producer.reachable,
            report=report,
        ).run(stop)


async def work_map(stop: asyncio.Event, report: Report) -> None:
    """`leadstream work map`: whole answers in; typed leads, and a record for each target, out. And updates, typed."""
    kafka, work, registry = read(KafkaSettings), read(WorkSettings), read(RegistrySettings)
    files = read(MappingSettings)
    topics = Topics(prefix=kafka.topic_prefix)
    patience.tell("map")
    details: Codec[LeadDetails] = await _codec("LeadDetails", topics.subject(DETAILS))
    leads: Codec[Lead] = await _codec("Lead", topics.subject(LEADS))
    updates: Codec[LeadUpdate] = await _codec("LeadUpdate", topics.subject(LEAD_UPDATES))
    async with (
        _producer(kafka, topics) as producer,
        open_registry(
            registry.registry_url, username=registry.registry_username, password=registry.registry_password
        ) as asked,
    ):
        mappings = Mappings(files.mapping_dir, registry=asked, topics=topics, every=files.mapping_check)
        await mappings.begin()
        of_leads, of_updates = reports(report, 2)
        leads_in = Worker(
            kafka=kafka,
            group=topics.group("map"),
            topics=[topics(DETAILS)],
            step=Map(
                details=partial(decode, details, registry=asked),
                codec=leads,
                mappings=mappings,
                producer=producer,
                limit=Limit(worker="map", per_minute=work.failures_per_minute, clock=time.monotonic),
                clock=_now,
            ),
            size=work.map_window,
            reachable=producer.reachable,
            report=of_leads,
        )
        # A group of its own, so that `replay map` moves the leads alone; updates are events, and no upsert.
        updates_in = Worker(
            kafka=kafka,
            group=topics.group("updates"),
            topics=[topics(UPDATES)],
            step=Updates(
                codec=updates,
                producer=producer,
                limit=Limit(worker="updates", per_minute=work.failures_per_minute, clock=time.monotonic),
                clock=_now,
            ),
            size=work.map_window,
            reachable=producer.reachable,
            report=of_updates,
        )
        await run_together([leads_in, updates_in], stop, beside=mappings.follow())


async def work_retry(stop: asyncio.Event, report: Report) -> None:
    """`leadstream work retry`: what is due goes back, and what was parked, once its page may be asked again."""
    kafka, work, meta, retry = read(KafkaSettings), read(WorkSettings), read(MetaSettings), read(RetrySettings)
    forms, looks = read(FormsSettings), read(HealthSettings)
    pages = Pages(read(PagesSettings).meta_pages_file)
    topics = Topics(prefix=kafka.topic_prefix)
    patience.tell("retry")
    states = AccessStates(secret=meta.meta_app_secrets[0].secret, clock=_now)
    group, rungs = topics.group("retry"), [topics(rung) for rung in RETRY]
    # Of all rungs before the first worker joins: a live group takes no offsets from a stranger.
    await asyncio.to_thread(begin, kafka, group, rungs)
    async with _producer(kafka, topics) as producer:
        # A worker for each rung: records of one are due in order, so what waits on another holds none of them back.
        workers = [
            Worker(
                kafka=kafka,
                group=group,
                topics=[rung],
                step=Retry(delay=delay, producer=producer, clock=_now),
                size=work.retry_window,
                reachable=producer.reachable,
                report=told,
                drain=1.0,  # what is not due yet does not finish, and what is has its acknowledgement in less
            )
            for rung, delay, told in zip(rungs, retry.retry_delays, reports(report, len(rungs)), strict=True)
        ]

        async def watch_access() -> None:
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
                following(kafka, topics(ACCESS), states.follow),
                asyncio.TaskGroup() as watching,
            ):
                watching.create_task(release())
                graph = GraphClient(session, meta)
                # One for both watches: what one has heard of a budget holds for the other.
                governor = Governor(states, clock=_now, quiet_ms=round(retry.retry_delays[0] * 1000))
                asking = Asking(graph=graph, governor=governor, producer=producer, concurrency=1)
                watching.create_task(watch_forms(graph, governor, asking))
                watching.create_task(watch_health(graph, governor, asking))
                monitor = Monitor(
                    states=states,
                    pages=pages,
                    graph=graph,
                    producer=producer,
                    every=retry.access_check,
                    clock=_now,
                )
                watching.create_task(monitor.run())

        async def watch_forms(graph: GraphClient, governor: Governor, asking: Asking) -> None:
            history = FormHistory()
            async with following(kafka, topics(FORMS), history.follow):
                await FormWatch(
                    graph=graph,
                    governor=governor,
                    told=asking.tell,
                    history=history,
                    pages=pages,
                    holds=lambda: workers[0].holds,
                    partitions=schemas.topics()[RETRY[0]].partitions,
                    producer=producer,
                    every=forms.forms_check,
                    clock=_now,
                ).run()

        async def watch_health(graph: GraphClient, governor: Governor, asking: Asking) -> None:
            health = HealthStates()
            async with following(kafka, topics(ACCESS), health.follow):
                await AccessWatch(
                    graph=graph,
                    states=states,
                    governor=governor,
                    told=asking.tell,
                    health=health,
                    pages=pages,
                    holds=lambda: workers[0].holds,
                    partitions=schemas.topics()[RETRY[0]].partitions,
                    producer=producer,
                    every=looks.health_check,
                    alarm_days=looks.token_alarm_days,
                    api_version=meta.meta_api_version,
                    graph_url=meta.meta_graph_url,
                    clock=_now,
                ).run()

        async def release() -> None:
            parked = Parked()
            with Reader(kafka) as reader:
                # Parked first, so that each fate meets the record it is about.
                async with (
                    following(kafka, topics(PARKED), parked.take_parked),
                    following(kafka, topics(FATES), parked.take_fate),
                ):
                    await Releaser(
                        parked=parked,
                        states=states,
                        pages=pages,
                        holds=lambda: workers[0].holds,
                        reader=reader,
                        producer=producer,
                        topics=topics,
                        clock=_now,
                    ).run()

        await run_together(workers, stop, beside=watch_access())


async def _codec(name: str, subject: str) -> Codec[Shape]:
    settings = read(RegistrySettings)
    async with open_registry(
        settings.registry_url, username=settings.registry_username, password=settings.registry_password
    ) as registry:
        return await resolve_codec(registry, name, subject=subject)


@asynccontextmanager
async def _producer(kafka: KafkaSettings, topics: Topics) -> AsyncIterator[ConfluentProducer]:
    """A producer that waits for the broker without limit: what it has not delivered is not committed either."""
    producer = ConfluentProducer(kafka, topics, timeout=None, client="leadstream-worker")
    try:
        yield producer
    finally:
        await producer.close(5.0)


def _now() -> int:
    return time.time_ns() // 1_000_000
