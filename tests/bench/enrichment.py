"""Notifications in, whole leads out, from a stub of the Graph API that answers at once or as slowly as Meta does."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from ingest.reading import ReadingError
from ingest.records import DETAILS, RAW, Record

from . import limits
from .contender import Contender
from .notifications import FIRST_LEAD, notifications, put, write_pages
from .peers.connect import contenders as connect
from .peers.go import contenders as go
from .peers.java import contenders as java
from .peers.python import contenders as python
from .rounds import Figures, Measurement, Row, race
from .running import Broken, Command
from .stub import Calls, Stub, stub
from .suite import Column, Options, Suite, prepared
from .world import APP_SECRET, World

LEADS, WARM_UP = 20_000, 2_000
CONCURRENCY = 256
WINDOW = 4_000  # records open at once: forty of each page, so that the batches of a backlog fill
PARTITIONS = 6
PEERS = (
    go.ENRICH,
    connect.ENRICH,
    java.BY_KEY,
    java.UNORDERED,
    python.AIOKAFKA,
    python.AIOKAFKA_PARTITIONS,
    python.FAUST,
)
_ONE_BY_ONE = frozenset({python.AIOKAFKA.key, python.AIOKAFKA_PARTITIONS.key})  # slow where a call takes its time

ABOUT = f"""
{LEADS:,} leads of 100 pages, from a raw topic of {PARTITIONS} partitions: each is read from the stub of the Graph API,
and what it says (1 kB) is written to another topic; acks=all, lz4. Up to {CONCURRENCY} calls at once. First
come {WARM_UP:,} leads to warm up; when all of them are on the topic, the program stands still (SIGSTOP) until the
others are on the raw topic. The clock runs from then until the last lead is written, and every one is looked for.

Ours does more than its peers: it reads the form of each lead too (once an hour), keeps the budgets that Meta's headers
tell, and writes an Avro record with lead, form and change. A peer's record is Meta's answer as it came. `single reads`
is the same program on notifications whose pages are all different, so that no two leads can share a batch. A batch is
one request and, as Meta counts, a call for each of its leads. The aiokafka loops do one lead (or one for each
partition) at a time: where a call takes 80 ms they are given fewer leads.

Limits: the stub, asked by a client in Go over the same number of connections (its figures are the stub's own); our
Graph client alone, without Kafka; and, with 80 ms a call, no client of {CONCURRENCY} single calls at once
reads more than {CONCURRENCY * 1000 // 80:,} leads a second.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    warm_up: int
    timed: int

    @property
    def all(self) -> int:
        return self.warm_up + self.timed


def run(world: World, options: Options) -> Iterator[Row]:
    ready, absent = prepared((*_ours(world), *PEERS, *_LIMITS), world, options)
    yield from absent
    commands = {each.contender.key: each.command for each in ready}
    size = _Size(warm_up=WARM_UP, timed=LEADS)
    if options.quick:
        size = _Size(warm_up=500, timed=3_000)
    for latency in (0, 80):
        few = _Size(warm_up=30, timed=60 if options.quick else 120) if latency else size
        with stub(world, latency=latency) as graph:
            enrichment = _Enrichment(world, graph, commands)
            sizes = {key: few if key in _ONE_BY_ONE else size for key in commands}
            measure = partial(_measure, enrichment, sizes)
            for row in race(f"{latency} ms a call", [each.contender for each in ready], options.rounds, measure):
                yield row if sizes[row.by.key] == size else _remarked(row, f"{few.timed} leads only")


def _remarked(row: Row, remark: str) -> Row:
    return replace(row, remark=remark) if isinstance(row, Measurement) else row


def _measure(enrichment: "_Enrichment", sizes: dict[str, _Size], contender: Contender) -> Figures:
    size = sizes[contender.key]
    if contender.kind == "limit":
        return enrichment.limit(contender, size)
    return enrichment.of(contender, size)


class _Enrichment:
    """One case, with its stub."""

    def __init__(self, world: World, graph: Stub, commands: dict[str, Command]) -> None:
        self._world = world
        self._graph = graph
        self._commands = commands
        self._pages = write_pages(world.folder / "pages.yaml")

    def of(self, contender: Contender, size: _Size) -> Figures:
        """Over topics that nobody else writes to; they are deleted after it."""
        world, prefix = self._world, self._world.prefix()
        source, out = f"{prefix}{RAW}", f"{prefix}{DETAILS}"
        alone = contender.key == _SINGLE
        records = list(notifications(size.all, pages=size.all if alone else 100))
        if contender.kind == "ours":
            world.declared_topics(prefix, partitions=PARTITIONS)
        else:
            world.create(source, PARTITIONS)
            world.create(out, PARTITIONS)
        pages = write_pages(world.folder / "many-pages.yaml", size.all) if alone else self._pages
        environment = world.settings(prefix) | {
            "META_GRAPH_URL": self._graph.url,
            "META_PAGES_FILE": str(pages),
            "FETCH_CONCURRENCY": str(CONCURRENCY),
            "FETCH_WINDOW": str(WINDOW),
            "IN": source,
            "OUT": out,
            "GROUP": f"{prefix}group",
            "GRAPH_URL": self._graph.url,
            "CONCURRENCY": str(CONCURRENCY),
            "TOKEN": "EAA" + "0" * 177,
        }
        put(records[: size.warm_up], world, prefix)
        with world.start(self._commands[contender.key], contender.key, environment) as running:
            running.wait_until(lambda: self._seen(out) >= size.warm_up, "the first leads", seconds=180)
            before = self._graph.calls()
            with running.paused():
                put(records[size.warm_up :], world, prefix)
            with running.measured() as used:
                running.wait_until(lambda: self._seen(out) >= size.all, "all leads", seconds=150)
            calls, memory = self._graph.calls() - before, running.peak_memory()
            running.wait_until(lambda: not self._missing(out, records), "every lead on the topic", seconds=15)
        world.delete(prefix)
        return _figures(size.timed, used.seconds, used.cpu_seconds, calls) | {"memory": memory}

    def _seen(self, topic: str) -> int:
        with suppress(ReadingError):  # a topic that was just made may have no leader for a moment
            return self._world.records_on(topic)
        return 0

    def _missing(self, out: str, records: Sequence[Record]) -> bool:
        found = {record.key for record in self._world.read(out)}
        return len(found) < len(records)

    def limit(self, contender: Contender, size: _Size) -> Figures:
        """The stub under a client that does nothing else, or the client alone."""
        before = self._graph.calls()
        if contender.key == _STUB:
            with self._graph.running.measured() as used:
                done = self._asked(self._commands[_STUB], size)
            return _figures(done, used.seconds, used.cpu_seconds, self._graph.calls() - before) | {
                "memory": self._graph.running.peak_memory()
            }
        leads = [str(lead) for lead in range(FIRST_LEAD, FIRST_LEAD + size.timed)]
        alone = limits.client_alone(
            self._graph.url, leads, secret=APP_SECRET, calls=CONCURRENCY, batches=contender.key == _CLIENT_BATCHES
        )
        return _figures(alone.done, alone.seconds, alone.cpu_seconds, self._graph.calls() - before)

    def _asked(self, load: Command, size: _Size) -> int:
        url = f"--url={self._graph.url}/v25.0"
        asked = load.with_arguments(
            url, "--get", "--secret=token", f"--connections={CONCURRENCY}", f"--posts={size.timed}"
        )
        told = json.loads(subprocess.check_output(asked.arguments, timeout=120))
        if told["status"] != {"200": size.timed}:
            raise Broken(f"the stub answered {told['status']}, {told['errors']} not at all")
        return size.timed


def _figures(done: int, seconds: float, cpu_seconds: float, calls: Calls) -> dict[str, float]:
    return {
        "cpu": cpu_seconds / done,
        "rate": done / seconds,
        "requests": calls.requests / done,
        "calls": calls.asks / done,
    }


_SINGLE, _STUB, _CLIENT, _CLIENT_BATCHES = "leadstream-single", "stub", "client", "client-batches"


def _ours(world: World) -> tuple[Contender, ...]:
    def fetch(key: str, name: str) -> Contender:
        return Contender(
            key=key,
            name=name,
            kind="ours",
            made_of="Faust, aiohttp, confluent-kafka",
            promises="commits below the first open record; acks=all, idempotent, one batch in flight; order per lead",
            prepare=lambda _: world.ours("work", "fetch"),
        )

    return fetch("leadstream", "leadstream work fetch"), fetch(_SINGLE, "leadstream work fetch, single reads")


def _in_our_process(_: object) -> Command:
    return Command(arguments=())


_LIMITS = (
    Contender(
        key=_STUB,
        name="the stub itself",
        kind="limit",
        made_of="Go, fasthttp",
        promises="single reads over kept-alive connections",
        prepare=go.load,
    ),
    Contender(
        key=_CLIENT,
        name="our Graph client alone",
        kind="limit",
        made_of="aiohttp",
        promises="single reads, no Kafka",
        prepare=_in_our_process,
    ),
    Contender(
        key=_CLIENT_BATCHES,
        name="our Graph client alone, batches",
        kind="limit",
        made_of="aiohttp",
        promises="50 leads a call, no Kafka",
        prepare=_in_our_process,
    ),
)

SUITE = Suite(
    name="enrichment",
    title="Enrichment",
    about=ABOUT,
    columns=(
        Column(figure="cpu", title="CPU ms per lead", better="less", digits=3, factor=1000),
        Column(figure="rate", title="leads/s", better="more"),
        Column(figure="requests", title="requests per lead", better="less", digits=2),
        Column(figure="calls", title="calls per lead", better="less", digits=2),
        Column(figure="memory", title="MB", better="less", factor=1e-6),
    ),
    run=run,
    charted="80 ms a call",
)
