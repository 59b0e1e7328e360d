"""Signed POSTs to a webhook that answers when the broker has them: what a change costs, how long an answer takes."""

from collections.abc import Iterator
from dataclasses import dataclass

from . import honest
from .contender import Contender
from .doors import Door, opened, ours
from .limits import door_alone
from .peers.connect import contenders as connect
from .peers.go import contenders as go
from .peers.node import contenders as node
from .peers.python import contenders as python
from .rounds import Absent, Figures, Measurement, Row, turns
from .running import Broken, Command
from .sender import Sender, Told, body
from .suite import Column, Options, Ready, Suite, prepared
from .world import APP_SECRET, World

PEERS = (
    go.DOOR,
    connect.DOOR,
    node.PLAIN,
    node.IDEMPOTENT,
    node.BATCHING,
    python.AIOHTTP,
    python.AIOHTTP_UVLOOP,
)
LIMIT = Contender(
    key="limit",
    name="HMAC and parse alone",
    kind="limit",
    made_of="hmac, orjson",
    promises="nothing: the signature and the JSON of each body, in a loop",
    prepare=lambda _: Command(arguments=()),
)
_FEW = 64

ABOUT = """
Signed POSTs of 1, 10 and 1,000 changes (100 pages) on 64 and 512 kept-alive connections, each with one POST under
way, to a door that answers 200 when the broker has every record of the POST: 12 partitions, acks=all, lz4. In every
round each door is started anew and goes through the cases from the smallest on: 2 seconds to warm up, 0.7 before each
new size, then 3 seconds that are timed, or more, until every POST is answered. Memory is the most that was resident in
the case. What was answered 200 is counted on the topic.

First all doors are tried for honesty, at once: 300 POSTs a second each, while the broker is stopped for twelve seconds
(SIGSTOP), and while it is killed (SIGKILL) and started again. _Lost_ were answered 200 and are not on the topic;
_stored again_ are records beyond one for each lead. A door that loses is not raced.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    changes: int
    connections: int

    @property
    def name(self) -> str:
        return f"{self.changes:,} change{'s' * (self.changes > 1)} a POST, {self.connections} connections"


CASES = tuple(_Case(changes=changes, connections=many) for changes in (1, 10, 1000) for many in (_FEW, 512))
_FIRST_WARM_UP, _WARM_UP, _TIMED = 2.0, 0.7, 3.0  # seconds; the first one is also for compilers that wait and see


def run(world: World, options: Options) -> Iterator[Row]:
    ready, absent = prepared((ours(world), *PEERS), world, options)
    yield from absent
    sender = Sender(world.say)
    out = set()
    for row in honest.check(ready, world, sender):
        yield row
        if isinstance(row, Absent) and not row.case:
            out.add(row.by.key)
    ready = [each for each in ready if each.contender.key not in out]
    race = _Race(world, sender, quick=options.quick)
    for number, order in turns(ready, options.rounds):
        for each in order:
            yield from race.through(each, number)
        yield from race.alone(number)


class _Race:
    """Takes one door through all cases."""

    def __init__(self, world: World, sender: Sender, *, quick: bool) -> None:
        self._world = world
        self._sender = sender
        self._cases = [case for case in CASES if case.connections == _FEW or not quick]
        self._shorter = 0.5 if quick else 1.0

    def through(self, each: Ready, number: int) -> Iterator[Row]:
        """A row for each case; the rest of them is missing when the door breaks."""
        at = self._cases[0]
        try:
            with opened(each, self._world) as door:
                for at in self._cases:
                    figures, remark = self._measured(door, at)
                    yield Measurement(case=at.name, by=each.contender, round=number, figures=figures, remark=remark)
        except Broken as broken:
            yield Absent(case=at.name, by=each.contender, why=f"round {number}: {broken}")

    def alone(self, number: int) -> Iterator[Row]:
        """The limit in each case; a connection more costs it nothing."""
        for case in self._cases:
            seconds = 0.5 * self._shorter
            did = door_alone(body(case.changes), secret=APP_SECRET, changes=case.changes, seconds=seconds)
            figures = {
                "cpu": did.cpu_seconds / did.done,
                "per_cpu": did.done / did.cpu_seconds,
                "rate": did.done / did.seconds,
            }
            yield Measurement(case=case.name, by=LIMIT, round=number, figures=figures)

    def _measured(self, door: Door, case: _Case) -> tuple[Figures, str]:
        if case == self._cases[0]:
            self._post(door, case.changes, _FEW, _FIRST_WARM_UP)
        elif case.connections == _FEW:  # with more of them it has just seen such bodies
            self._post(door, case.changes, _FEW, _WARM_UP)
        door.running.forget_peak()
        before = self._world.records_on(door.topic)
        with door.running.measured() as used:
            told = self._post(door, case.changes, case.connections, _TIMED)
        accepted, stored = told["changes_accepted"], self._world.records_on(door.topic) - before
        if not accepted:
            said = f"accepted nothing: {told['status']}, {told['errors']} without an answer"
            raise Broken(f"{said}\n{door.running.last_lines()}")
        if stored < accepted:
            raise Broken(f"{accepted - stored} of {accepted} acknowledged changes are not on the topic")
        refused = told["posts"] - accepted // case.changes
        figures = {
            "cpu": used.cpu_seconds / accepted,
            "per_cpu": accepted / used.cpu_seconds,
            "rate": accepted / told["seconds"],
            "p50": told["p50_ms"],
            "p99": told["p99_ms"],
            "memory": door.running.peak_memory(),
        }
        return figures, f"{refused} of {told['posts']} POSTs not answered 200" if refused else ""

    def _post(self, door: Door, changes: int, connections: int, seconds: float) -> Told:
        return self._sender.post(
            door.port, within=120, changes=changes, connections=connections, seconds=seconds * self._shorter
        )


SUITE = Suite(
    name="door",
    title="Door",
    about=ABOUT,
    columns=(
        Column(figure="cpu", title="CPU ms per change", better="less", digits=4, factor=1000),
        Column(figure="per_cpu", title="changes per CPU-second", better="more"),
        Column(figure="rate", title="changes/s", better="more"),
        Column(figure="p50", title="p50 ms", better="less", digits=1),
        Column(figure="p99", title="p99 ms", better="less", digits=1),
        Column(figure="memory", title="MB", better="less", factor=1e-6),
        *honest.COLUMNS,
    ),
    run=run,
    charted=CASES[0].name,
    needs=("kafka",),
)
