"""From a POST to the decoded lead on `leads.v1`, at half of what all three programs together sustain."""

import math
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.codec import Codec
from ingest.records import DETAILS, LEADS, RAW
from schemas.shapes import Lead

from .arrivals import Arrivals
from .contender import Contender
from .notifications import FIRST_LEAD, write_pages
from .rounds import Figures, Measurement, Row, race
from .running import Broken, Command, Running, free_port
from .sender import Sender, takes_leads
from .stub import Stub, stub
from .suite import Column, Options, Suite, prepared
from .world import World

PARTITIONS = 12  # of each topic, as declared
SECONDS_TO_START = 90.0
_FLOOD, _CONNECTIONS = 6_000, 64
_SUSTAINED, _HALF = "as fast as it goes", "at half of that"

ABOUT = f"""
`serve`, `work fetch` and `work map` side by side, one process each, and the stub of the Graph API, which answers at
once. First {_FLOOD:,} POSTs of one change come as fast as they are answered: what the chain sustains is their number
over the time from the first POST to the last lead on `leads.v1`, the median of the rounds. Then POSTs come at half that
rate, whatever the answers take. A lead's journey begins when its POST is due and ends when a bare consumer has read and
decoded it from `leads.v1`. Every lead is looked for.

Limit: the same hops through the same broker at the same rate by bare clients that do no work (`bare.py`): aiohttp and
confluent-kafka, acks=all, idempotent, nothing lingers. On two cores all of it, broker, stub and sender too, shares the
machine with what is measured.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """A started chain: where it is posted to, and what comes out of it."""

    port: int
    programs: Sequence[Running]
    arrivals: Arrivals

    def cpu_seconds(self) -> float:
        return sum(program.cpu_seconds() for program in self.programs)


class _Journey:
    """Every round starts both chains anew."""

    def __init__(self, world: World, graph: Stub, *, seconds: float, flood: int) -> None:
        self._world = world
        self._graph = graph
        self._sender = Sender(world.say)
        self._seconds = seconds
        self._flood = flood
        self._next_lead = FIRST_LEAD + 100_000
        self._pages = write_pages(world.folder / "pages.yaml")
        self._sustained: list[float] = []  # leads a second

    def sustained(self, contender: Contender) -> Figures:
        with ExitStack() as stack:
            chain = self._started(stack, contender)
            self._posted(chain, posts=500, connections=_CONNECTIONS)  # to warm up
            before = chain.cpu_seconds()
            sent, arrived = self._posted(chain, posts=self._flood, connections=_CONNECTIONS)
            seconds = (max(arrived.values()) - min(sent.values())) / 1e9
            self._sustained.append(self._flood / seconds)
            return {"rate": self._sustained[-1], "cpu": (chain.cpu_seconds() - before) / self._flood}

    @property
    def rate(self) -> float:
        """POSTs a second: half of what ours sustains; 0 where it broke."""
        return statistics.median(self._sustained) / 2 if self._sustained else 0.0

    def half(self, contender: Contender) -> Figures:
        with ExitStack() as stack:
            chain = self._started(stack, contender)
            at_rate = {"connections": _CONNECTIONS, "rate": self.rate}
            self._posted(chain, posts=round(self.rate * 2), **at_rate)  # to warm up
            before, posts = chain.cpu_seconds(), round(self.rate * self._seconds)
            sent, arrived = self._posted(chain, posts=posts, **at_rate)
            took = sorted(arrived[lead] - at for lead, at in sent.items())
            return {
                "p50": percentile(took, 0.5),
                "p99": percentile(took, 0.99),
                "max": took[-1] / 1e6,
                "cpu": (chain.cpu_seconds() - before) / posts,
            }

    def _posted(self, chain: _Chain, *, posts: int, **flags: object) -> tuple[dict[str, int], dict[str, int]]:
        """When each lead was sent and when it arrived, in unix nanoseconds; Broken where one has not."""
        first, self._next_lead = self._next_lead, self._next_lead + 10 * (posts // 10 + 1)
        times = self._world.folder / f"times-{first}"
        told = self._sender.post(chain.port, within=120, posts=posts, first_lead=first, times=times, **flags)
        if told["status"] != {"200": posts}:
            raise Broken(f"of {posts} POSTs {told['status']}, {told['errors']} without an answer")
        sent = {lead: int(at) for lead, _, at in (line.partition(" ") for line in times.read_text().splitlines())}
        end = time.monotonic() + 60
        while missing := sent.keys() - chain.arrivals.at.keys():
            if time.monotonic() > end:
                raise Broken(f"{len(missing)} of {posts} leads did not arrive")
            time.sleep(0.05)
        return sent, {lead: chain.arrivals.at[lead] for lead in sent}

    def _started(self, stack: ExitStack, contender: Contender) -> _Chain:
        world, prefix, port = self._world, self._world.prefix(), free_port()
        stack.callback(world.delete, prefix)
        environment = world.settings(prefix) | {
            "META_GRAPH_URL": self._graph.url,
            "META_PAGES_FILE": str(self._pages),
            "INGEST_PORT": str(port),
            "PORT": str(port),
        }
        raw, details, leads = (f"{prefix}{topic}" for topic in (RAW, DETAILS, LEADS))
        if contender.kind == "ours":
            world.declared_topics(prefix)
            commands = [(world.ours(*each), "", "") for each in (("serve",), ("work", "fetch"), ("work", "map"))]
        else:
            for topic in (raw, details, leads):
                world.create(topic, PARTITIONS)
            commands = [(_bare("door"), "", raw), (_bare("fetch"), raw, details), (_bare("map"), details, leads)]
        programs = []
        for command, source, out in commands:
            hop = {"IN": source, "OUT": out, "GROUP": f"{prefix}{out}"}
            programs.append(stack.enter_context(world.start(command, contender.key, environment | hop)))
        read = _decoder() if contender.kind == "ours" else len
        arrivals = stack.enter_context(Arrivals(world.bootstrap, leads, PARTITIONS, read))
        programs[0].wait_until(lambda: takes_leads(port), "a signed lead is answered 200", seconds=SECONDS_TO_START)
        programs[0].wait_until(lambda: arrivals.at, "a lead at the end of its way", seconds=SECONDS_TO_START)
        return _Chain(port=port, programs=programs, arrivals=arrivals)


def _decoder() -> Callable[[bytes], object]:
    """Decodes leads, all of one schema, whose id the first one tells."""
    codecs: list[Codec[Lead]] = []

    def decode(frame: bytes) -> object:
        if not codecs:
            codecs.append(Codec("Lead", schema_id=struct.unpack_from(">I", frame, 1)[0]))
        return codecs[0].decode(frame)

    return decode


def percentile(took: Sequence[int], share: float) -> float:
    """The nearest rank of what is sorted; nanoseconds to milliseconds."""
    return took[max(math.ceil(share * len(took)) - 1, 0)] / 1e6


def _bare(hop: str) -> Command:
    return Command(arguments=(sys.executable, str(Path(__file__).with_name("bare.py")), hop))


def run(world: World, options: Options) -> Iterator[Row]:
    ours = Contender(
        key="leadstream",
        name="leadstream",
        kind="ours",
        made_of="serve, work fetch, work map",
        promises="all that design and README promise; linger 2 ms in each of three producers",
        prepare=lambda _: world.ours(),
    )
    bare = Contender(
        key="bare",
        name="bare clients",
        kind="limit",
        made_of="aiohttp, confluent-kafka",
        promises="acks=all, idempotent; no work done, nothing lingers",
        prepare=lambda _: _bare("door"),
    )
    ready, absent = prepared((ours, bare), world, options)
    yield from absent
    with stub(world, latency=0) as graph:
        journey = _Journey(world, graph, seconds=4 if options.quick else 10, flood=2_000 if options.quick else _FLOOD)
        contenders = [each.contender for each in ready]
        yield from race(_SUSTAINED, [ours], options.rounds, journey.sustained)
        if journey.rate:
            for row in race(_HALF, contenders, options.rounds, journey.half):
                remark = f"{journey.rate:.0f} POSTs a second"
                yield replace(row, remark=remark) if isinstance(row, Measurement) else row


SUITE = Suite(
    name="journey",
    title="End to end",
    about=ABOUT,
    columns=(
        Column(figure="p50", title="p50 ms", better="less", digits=1),
        Column(figure="p99", title="p99 ms", better="less", digits=1),
        Column(figure="max", title="max ms", better="less", digits=1),
        Column(figure="rate", title="leads/s", better="more"),
        Column(figure="cpu", title="CPU ms per lead", better="less", digits=3, factor=1000),
    ),
    run=run,
    charted=_HALF,
)
