"""The door under those who do it harm, with or without meaning to: it refuses what is too much, and keeps its word."""

import asyncio
import re
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count as numbers
from pathlib import Path

import aiohttp
import pytest

from ingest.meta.notification import Notification
from ingest.records import RAW
from tests.chaos.experiment import Experiment
from tests.chaos.results import Result
from tests.door import Sender, leadgen, post_of, sending_to, signed
from tests.programs import Program, System

IN_FLIGHT = 32 * 2**20  # more than the sixteen who measure have open at once
# What is in flight is counted as it costs; the allocator keeps some of what was freed, and librdkafka its queue.
HELD = 4 * IN_FLIGHT + 64 * 2**20
# What a connection holds before the door counts it: aiohttp's buffer, twice READ_BYTES, and itself.
CONNECTION = 64 * 1024
MOST_CONNECTIONS = 4000  # so that the machine survives
CHANGES = 300  # a delivery of them is 35 kB, and costs the door far more than its sender


@dataclass
class Senders:
    """What was sent to the door, and what it was answered. A lead counts as acknowledged when its POST was 200."""

    sender: Sender
    secret: str
    acknowledged: set[int] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    most_open: int = 0  # POSTs that waited for their answer at once
    leads: Iterator[int] = field(default_factory=lambda: numbers(10**15))

    async def post(self, changes: int = 1) -> str:
        leads = [next(self.leads) for _ in range(changes)]
        body = post_of(*(leadgen(lead) for lead in leads))
        try:
            async with asyncio.timeout(20):
                status = str((await self.sender.post(body, signed(body, self.secret))).status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            status = type(error).__name__
        self.answers[status] += 1
        if status == "200":
            self.acknowledged.update(leads)
        return status

    async def flood(self, rate: float, seconds: float, changes: int) -> None:
        """So many POSTs a second, whether the ones before are answered or not."""
        began, before = time.monotonic(), self.answers.total()
        async with asyncio.TaskGroup() as posts:
            sent = 0
            while (passed := time.monotonic() - began) < seconds:
                while sent < rate * passed:
                    posts.create_task(self.post(changes))
                    sent += 1
                await asyncio.sleep(0.005)  # the pace of the flood
                self.most_open = max(self.most_open, before + sent - self.answers.total())

    async def capacity(self, seconds: float, changes: int) -> float:
        """POSTs a second when each of 16 senders waits for its answer: in the best of four stretches.

        A moment in which the machine did something else would be taken for what the door can do.
        """

        async def send(end: float) -> None:
            while time.monotonic() < end:
                await self.post(changes)

        best = 0.0
        for _ in range(4):
            began, before = time.monotonic(), self.answers["200"]
            await asyncio.gather(*(send(began + seconds) for _ in range(16)))
            best = max(best, (self.answers["200"] - before) / (time.monotonic() - began))
        return best


@asynccontextmanager
async def senders(system: System) -> AsyncIterator[Senders]:
    async with sending_to("127.0.0.1", int(system.env["INGEST_PORT"])) as sender:
        yield Senders(sender, system.env["META_APP_SECRETS"])


def memory(pid: int, name: str) -> int:
    """Bytes: VmRSS is what it holds now, VmHWM the most it ever held."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def assert_it_serves(system: System) -> None:
    async def a_few() -> Counter[str]:
        async with senders(system) as door:
            door.leads = numbers(10**16)
            for _ in range(20):
                await door.post()
            return door.answers

    assert asyncio.run(a_few()) == {"200": 20}


def count(experiment: Experiment, door: Senders, *, over: float, remark: str) -> None:
    """Every lead that was answered 200 is on raw."""
    raw = Counter(int(Notification.read(record.value or b"").lead_id) for record in experiment.system.records(RAW))
    lost = door.acknowledged - set(raw)
    experiment.note(
        Result(
            experiment=experiment.name,
            records=raw.total(),
            acknowledged=len(door.acknowledged),
            lost=len(lost),
            duplicated=raw.total() - len(raw),
            recovered=time.monotonic() - over,
            remark=remark,
        )
    )
    assert not lost


@pytest.fixture
def serve(system: System) -> Program:
    return system.start("serve", INGEST_MAX_IN_FLIGHT=str(IN_FLIGHT)).wait_ready()


Harm = Callable[[Sender, str], Awaitable[bytes]]


async def trickle(sender: Sender, secret: str) -> bytes:
    """A byte every half second."""
    body = post_of(leadgen(1))

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head(signed(body, secret), f"Content-Length: {len(body)}"))
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.5)  # how slow it is, is the matter

    return await answer(sender, write)


async def never_end(sender: Sender, secret: str) -> bytes:
    """Bytes without end, as fast as they are taken."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head(signed(b"", secret), "Transfer-Encoding: chunked"))
        while True:
            writer.write(b"10000\r\n" + b" " * 2**16 + b"\r\n")
            await writer.drain()

    return await answer(sender, write)


async def say_nothing(sender: Sender, _: str) -> bytes:
    """Half a request line, then silence."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /web")

    return await answer(sender, write)


def head(headers: Mapping[str, str], *more: str) -> bytes:
    lines = ["POST /webhook HTTP/1.1", "Host: door", *(f"{name}: {value}" for name, value in headers.items()), *more]
    return "\r\n".join((*lines, "", "")).encode()


async def answer(sender: Sender, write: Callable[[asyncio.StreamWriter], Coroutine[None, None, None]]) -> bytes:
    """The status of what a connection by hand is answered, within ten seconds; empty where it is not."""
    reader, writer = await sender.connect()
    writing = asyncio.create_task(write(writer))
    try:
        async with asyncio.timeout(10):
            return (await reader.readline()).partition(b" ")[2][:3]
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writing.cancel()
        await asyncio.wait((writing,))
        writer.close()


def test_slow_and_endless_bodies(experiment: Experiment, system: System, serve: Program) -> None:
    """Three hundred of them at once, and an honest sender beside them that notices nothing."""
    [child] = serve.children()
    before = memory(child, "VmRSS")

    async def run() -> tuple[Senders, Counter[str]]:
        async with senders(system) as door:
            harms = [harm for harm in (trickle, never_end, say_nothing) for _ in range(100)]
            doing = [asyncio.create_task(harm(door.sender, door.secret)) for harm in harms]
            while not all(each.done() for each in doing):
                await door.post()
                await asyncio.sleep(0.05)  # a quiet sender
            return door, Counter(each.result().decode() for each in doing)

    door, told = asyncio.run(run())
    over = time.monotonic()
    grown = memory(child, "VmHWM") - before
    assert_it_serves(system)
    refused = told["408"] + told["413"] + told["503"]
    count(
        experiment,
        door,
        over=over,
        remark=f"200 bodies are told {dict(told)}, others {dict(door.answers)}; memory +{grown / 2**20:.0f} MB",
    )
    assert refused >= 190, told  # a reset can overtake an answer
    assert door.answers["200"] >= 0.9 * door.answers.total()
    assert grown < 300 * CONNECTION + IN_FLIGHT
    assert serve.children() == [child]


@pytest.mark.long
def test_as_many_connections_as_there_may_be(experiment: Experiment, system: System, serve: Program) -> None:
    """Each asks for nothing. While they stand leads are taken, and when they are gone all is as before."""
    [child] = serve.children()
    before = memory(child, "VmRSS")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else MOST_CONNECTIONS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    wanted = min(most - 200, MOST_CONNECTIONS)

    async def run() -> tuple[Senders, int]:
        async with senders(system) as door:
            opened: list[asyncio.StreamWriter] = []
            with suppress(OSError):
                while len(opened) < wanted:
                    _, writer = await door.sender.connect()
                    writer.write(b"POST /webhook HTTP/1.1\r\n")
                    opened.append(writer)
            for _ in range(20):
                await door.post()
            for writer in opened:
                writer.close()
            return door, len(opened)

    try:
        door, opened = asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    over = time.monotonic()
    grown = memory(child, "VmHWM") - before
    assert_it_serves(system)
    remark = f"{opened} connections where {hard} files may be open, memory +{grown / 2**20:.0f} MB"
    count(experiment, door, over=over, remark=remark)
    assert door.answers == {"200": 20}
    assert grown < opened * CONNECTION
    assert serve.children() == [child]


@pytest.mark.long
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a process's limits are set from outside on Linux only")
def test_more_connections_than_the_door_may_open(experiment: Experiment, system: System, serve: Program) -> None:
    """It may have 256 files open and 1000 connect: those beyond wait, and it is the old one when they are gone."""
    [child] = serve.children()
    _, hard = resource.prlimit(child, resource.RLIMIT_NOFILE)
    resource.prlimit(child, resource.RLIMIT_NOFILE, (256, hard))

    async def run() -> Senders:
        async with senders(system) as door:
            opened = [await door.sender.connect() for _ in range(1000)]
            for _, writer in opened:
                writer.write(b"POST /webhook HTTP/1.1\r\n")
            await asyncio.sleep(3)  # how long it is at its limit
            for _, writer in opened:
                writer.close()
            over = time.monotonic()
            while await door.post() != "200":
                assert time.monotonic() - over < 60
            return door

    door = asyncio.run(run())
    over = time.monotonic()
    assert_it_serves(system)
    count(experiment, door, over=over, remark=f"1000 connections, 256 files; {dict(door.answers)}")
    assert serve.children() == [child]


@pytest.mark.long
def test_three_times_the_load(experiment: Experiment, system: System, serve: Program) -> None:
    """What it can take is measured first; of three times as much it refuses the rest, in bounded memory."""
    seconds = 15.0
    [child] = serve.children()

    async def run() -> tuple[Senders, float, Counter[str], int]:
        async with senders(system) as door:
            capacity = await door.capacity(3.0, CHANGES)
            before, peak = memory(child, "VmRSS"), memory(child, "VmHWM")
            taken = Counter(door.answers)
            await door.flood(3 * capacity, seconds, CHANGES)
            return door, capacity, door.answers - taken, max(memory(child, "VmHWM"), peak) - before

    door, capacity, answers, grown = asyncio.run(run())
    over = time.monotonic()
    assert_it_serves(system)
    seen = f"{capacity:.0f} POSTs/s of {CHANGES} leads; of three times that {dict(answers)}"
    count(experiment, door, over=over, remark=f"{seen}; memory +{grown / 2**20:.0f} MB")
    assert answers["503"] > 0
    assert answers["200"] > capacity * seconds / 4  # what it refuses must not cost it what it could take
    assert answers["200"] + answers["503"] >= 0.99 * answers.total()  # the sender is on the same cores
    assert grown < HELD + door.most_open * CONNECTION
    assert serve.children() == [child]
