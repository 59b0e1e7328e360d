"""The stub of the Graph API as suites start it (peers/go/stub): what it was asked, and what it costs itself."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .peers.go import contenders as go
from .running import Running, free_port
from .world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How often it was called. `requests` are HTTP's; `asks` are what Meta counts: each item of a batch is one."""

    requests: int
    asks: int

    def __sub__(self, before: "Calls") -> "Calls":
        return Calls(requests=self.requests - before.requests, asks=self.asks - before.asks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    url: str  # META_GRAPH_URL
    running: Running

    def calls(self) -> Calls:
        """Since it was started."""
        with urllib.request.urlopen(f"{self.url}/__calls", timeout=10) as answer:  # noqa: S310  a loopback port of ours
            told: dict[str, int] = json.load(answer)
        single = told["lead"] + told["form"] + told["other"]
        return Calls(requests=single + told["batch"], asks=single + told["item"])


@contextmanager
def stub(world: World, *, latency: int) -> Iterator[Stub]:
    """One that answers after `latency` milliseconds; Unavailable where it cannot be built."""
    port = free_port()
    command = go.stub(world.say).with_arguments(f"--port={port}", f"--latency-ms={latency}")
    with world.start(command, f"stub-{latency}") as running:
        running.wait_for_port(port)
        yield Stub(url=f"http://127.0.0.1:{port}", running=running)
