"""More workers, more pages, longer topics: what a worker does and what it holds stay as they are."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal

from ingest.reading import ReadingError
from ingest.records import DETAILS, LEADS, Topics
from processors.mapping.reading import read_folder

from .backlog import Backlog
from .contender import Contender, Unavailable
from .crew import Crew, at_work
from .mapping import MAPPINGS
from .notifications import notifications, put, write_pages
from .rounds import Absent, Figures, Row, race
from .running import Command, Running
from .stub import Stub, stub
from .suite import Column, Options, Suite
from .world import World

WORKERS, PAGES, LENGTHS = (1, 2, 4), (1, 100, 10_000), (10_000, 100_000, 1_000_000)
IN_A_ROW = 10  # leads of one page, as `notifications` has them
CALLS_OF_FEW, LATENCY = 16, 80  # at once; milliseconds

ABOUT = f"""
The programs are `leadstream work fetch` and `leadstream work map`, each worker a process of its own; topics have 12
partitions, as declared. Each time the workers have all joined their group and gone through some leads before the clock
starts; they stand still (SIGSTOP) while their leads are written, and it stops when the last lead is on its topic.

Workers, broker and stub share the cores of this machine: the columns say how many of them each took. Where all cores
are taken, more workers cannot do more leads a second; what they would do with cores of their own is told by the leads
for each CPU second of the workers. Where a worker waits instead of working, leads a second tell: with calls of
{LATENCY} ms, {CALLS_OF_FEW} at once for each worker, and pages that are all different, so that no call can be shared.

Pages: one worker of `work fetch`; ten leads in a row are of one page, of 10,000 pages two, so that a batch can never be
full: a batch is of one page.

Length: one worker of `work map` and a topic that holds all its records when the worker starts, each of a lead of its
own; one round. Memory is the most that a worker's two processes ever had resident, from its start.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """Leads for one stage, under a prefix that nobody else has. `write` puts so many more where the stage reads."""

    stage: Literal["fetch", "map"]
    prefix: str
    out: str
    environment: dict[str, str]
    write: Callable[[int], None]
    stub: Running | None = None


def run(world: World, options: Options) -> Iterator[Row]:
    scale, few = _Scale(world), 5 if options.quick else 1
    rounds = options.rounds
    try:
        with stub(world, latency=0) as graph, stub(world, latency=LATENCY) as slow:
            fetching = partial(scale.fetch_by_workers, graph, 12_000 // few)
            yield from race("work fetch, workers", _crews(), rounds, fetching)
            waiting = partial(scale.fetch_that_waits, slow, 2_000 // few)
            yield from race(f"work fetch, workers, calls of {LATENCY} ms", _crews(), rounds, waiting)
            paging = partial(scale.fetch_by_pages, graph, 20_000 // few)
            yield from race("work fetch, pages", _kinds(PAGES, "page", "fetch"), rounds, paging)
    except Unavailable as reason:
        yield Absent(by=_kind(1, "worker", "fetch"), why=str(reason))
    yield from race("work map, workers", _crews("map"), rounds, partial(scale.map_by_workers, 40_000 // few))
    lengths = LENGTHS[:1] if options.quick else LENGTHS
    yield from race("work map, length of the topic", _kinds(lengths, "record", "map"), 1, scale.map_by_length)


class _Scale:
    def __init__(self, world: World) -> None:
        self._world = world
        self._backlog: Backlog | None = None

    def fetch_by_workers(self, graph: Stub, leads: int, by: Contender) -> Figures:
        return self._measured(self._fetch(graph, leads, pages=100), workers=_number(by), leads=leads)

    def fetch_that_waits(self, graph: Stub, leads: int, by: Contender) -> Figures:
        job = self._fetch(graph, leads, pages=leads, calls=CALLS_OF_FEW)
        return self._measured(job, workers=_number(by), leads=leads)

    def fetch_by_pages(self, graph: Stub, leads: int, by: Contender) -> Figures:
        return self._measured(self._fetch(graph, leads, pages=_number(by)), workers=1, leads=leads)

    def map_by_workers(self, leads: int, by: Contender) -> Figures:
        return self._measured(self._map(), workers=_number(by), leads=leads)

    def map_by_length(self, by: Contender) -> Figures:
        job, leads = self._map(), _number(by)
        self._world.say(f"writing the details of {leads:,} leads")
        job.write(leads)
        return self._measured(job, workers=1, leads=leads, written=True)

    def _fetch(self, graph: Stub, leads: int, *, pages: int, calls: int = 256) -> _Job:
        world, prefix = self._world, self._world.prefix()
        world.declared_topics(prefix)
        in_a_row = min(IN_A_ROW, max(1, leads // pages))
        of_all = notifications(leads * IN_A_ROW // in_a_row, pages=pages)
        records = (record for number, record in enumerate(of_all) if number % IN_A_ROW < in_a_row)
        told = {
            "META_GRAPH_URL": graph.url,
            "META_PAGES_FILE": str(write_pages(world.folder / f"{prefix}pages.yaml", pages)),
            "FETCH_CONCURRENCY": str(calls),
        }
        return _Job(
            stage="fetch",
            prefix=prefix,
            out=f"{prefix}{DETAILS}",
            environment=world.settings(prefix) | told,
            write=lambda count: put(list(islice(records, count)), world, prefix),
            stub=graph.running,
        )

    def _map(self) -> _Job:
        world, prefix = self._world, self._world.prefix()
        world.declared_topics(prefix, mappings=tuple(each.mapping for each in read_folder(MAPPINGS)))
        self._backlog = backlog = self._backlog or Backlog()
        written = 0

        def write(leads: int) -> None:
            nonlocal written
            backlog.write(world, prefix, first=written, count=leads)
            written += leads

        return _Job(
            stage="map",
            prefix=prefix,
            out=f"{prefix}{LEADS}",
            environment=world.settings(prefix) | {"MAPPING_DIR": str(MAPPINGS)},
            write=write,
        )

    def _measured(self, job: _Job, *, workers: int, leads: int, written: bool = False) -> Figures:
        """With `written` the leads lie there already; else they come while the workers stand still."""
        world, warm = self._world, min(1_000, leads // 5)
        command, group = world.ours("work", job.stage), Topics(prefix=job.prefix).group(job.stage)
        with at_work(world, command, workers=workers, group=group, name=job.stage, environment=job.environment) as crew:
            if not written:
                job.write(warm)
            crew.wait_until(lambda: self._done(job) >= warm, "the first leads", seconds=90)
            if not written:
                with crew.paused():
                    job.write(leads - warm)
            before, first, began = self._cpu(crew, job), self._done(job), time.monotonic()
            crew.wait_until(lambda: self._done(job) >= leads, "all leads", seconds=60 + leads / 500)
            seconds, done = time.monotonic() - began, self._done(job) - first
            used = [after - earlier for after, earlier in zip(self._cpu(crew, job), before, strict=True)]
            memory = crew.peak_memory()
        world.delete(job.prefix)
        ours, broker, graph = used
        return {
            "per_cpu": done / ours,
            "rate": done / seconds,
            "each": done / seconds / workers,
            "ours": ours / seconds,
            "broker": broker / seconds,
            "stub": graph / seconds,
            "memory": memory / workers,
        }

    def _done(self, job: _Job) -> int:
        with suppress(ReadingError):  # a topic that was just made may have no leader for a moment
            return self._world.records_on(job.out)
        return 0

    def _cpu(self, crew: Crew, job: _Job) -> tuple[float, float, float]:
        """Of the workers, the broker and the stub, since they began."""
        stub = job.stub.cpu_seconds() if job.stub else 0.0
        return crew.cpu_seconds(), self._world.broker_cpu_seconds(), stub


def _crews(stage: str = "fetch") -> list[Contender]:
    return _kinds(WORKERS, "worker", stage)


def _kinds(numbers: Sequence[int], what: str, stage: str) -> list[Contender]:
    return [_kind(number, what, stage) for number in numbers]


def _kind(number: int, what: str, stage: str) -> Contender:
    """What differs is how many: the number is the first word of the key."""
    return Contender(
        key=f"{number} {what} {stage}",
        name=f"{number:,} {what}{'s' * (number > 1)}",
        kind="ours",
        made_of="leadstream work fetch and work map",
        promises="at least once, order per lead",
        prepare=lambda _: Command(arguments=()),
    )


def _number(by: Contender) -> int:
    return int(by.key.split()[0])


SUITE = Suite(
    name="scale",
    title="Scale",
    about=ABOUT,
    columns=(
        Column(figure="per_cpu", title="leads per CPU-second", better="more"),
        Column(figure="rate", title="leads/s", better="more"),
        Column(figure="each", title="leads/s each", better="more"),
        Column(figure="ours", title="cores: workers", better="", digits=2),
        Column(figure="broker", title="cores: broker", better="", digits=2),
        Column(figure="stub", title="cores: stub", better="", digits=2),
        Column(figure="memory", title="MB each", better="less", factor=1e-6),
    ),
    run=run,
)
