"""Redpanda Connect as a door and as an enrichment: one binary of its public components, a pipeline for each."""

from collections.abc import Callable
from pathlib import Path

from tests.bench.contender import Build, Contender, Say
from tests.bench.running import Command

BUILD = Build(
    name="connect",
    sources=Path(__file__).parent,
    steps=(("go", "build", "-trimpath", "-o", "connect", "."),),
    tools={"go": "Go 1.26 or newer, https://go.dev/dl/"},
)


def _pipeline(file: str) -> Callable[[Say], Command]:
    def prepare(say: Say) -> Command:
        folder = BUILD.folder(say)
        return Command(arguments=(str(folder / "connect"), "run", str(folder / file)))

    return prepare


_MADE_OF = "Redpanda Connect 4.105.0"
DOOR = Contender(
    key="connect",
    name="Redpanda Connect",
    kind="peer",
    made_of=f"{_MADE_OF}, http_server and kafka_franz",
    promises="200 after acks=all, idempotent; lz4",
    prepare=_pipeline("door.yaml"),
)
ENRICH = Contender(
    key="connect",
    name="Redpanda Connect",
    kind="peer",
    made_of=f"{_MADE_OF}, kafka_franz and http",
    promises="at least once, no order; acks=all, idempotent; lz4",
    prepare=_pipeline("enrich.yaml"),
)
