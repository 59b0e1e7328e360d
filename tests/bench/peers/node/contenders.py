"""Doors in Node: two that send each POST by itself, and one that gathers POSTs while a send is on its way."""

from collections.abc import Callable
from pathlib import Path

from tests.bench.contender import Build, Contender, Say
from tests.bench.running import Command

BUILD = Build(
    name="node",
    sources=Path(__file__).parent,
    steps=(("npm", "ci", "--no-audit", "--no-fund", "--omit=dev"),),
    tools={"node": "Node 20.19 or newer, apt-get install nodejs", "npm": "apt-get install npm"},
)


def _door(variant: str) -> Callable[[Say], Command]:
    return lambda say: Command(arguments=("node", str(BUILD.folder(say) / "door.mjs"), variant))


_MADE_OF = "fastify 5.12.8, @platformatic/kafka 1.35.0"
PLAIN = Contender(
    key="node",
    name="Node, a send for each POST",
    kind="peer",
    made_of=_MADE_OF,
    promises="200 after acks=all; not idempotent; lz4",
    prepare=_door("plain"),
)
IDEMPOTENT = Contender(
    key="node-idempotent",
    name="Node, idempotent sends at once",
    kind="peer",
    made_of=_MADE_OF,
    promises="200 after acks=all, idempotent, by its settings; lz4",
    prepare=_door("idempotent"),
)
BATCHING = Contender(
    key="node-batching",
    name="Node, sends gathered by hand",
    kind="peer",
    made_of=_MADE_OF,
    promises="200 after acks=all, idempotent, one send in flight; lz4",
    prepare=_door("batching"),
)
