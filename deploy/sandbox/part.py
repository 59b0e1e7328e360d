"""What the sandbox must know of a part to run it; each part is a module that says it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

PartName = Literal["kafka", "registry", "graph"]
PortName = Literal["kafka", "controller", "registry", "registry-management", "graph"]
Ports = Mapping[PortName, int]

# The familiar port with a 1 before it, so that a Kafka of your own keeps its own.
USUAL_PORTS: Ports = {
    "kafka": 19092,
    "controller": 19093,
    "registry": 18081,
    "registry-management": 18082,
    "graph": 18090,
}
FREE_PORTS: Ports = dict.fromkeys(USUAL_PORTS, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What starts a part; `environment` is added to the user's own."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Part(Protocol):
    """A part of the sandbox, at ports that are settled."""

    @property
    def name(self) -> PartName: ...

    @property
    def listens(self) -> tuple[PortName, ...]:
        """Every port it opens, all of them on 127.0.0.1."""

    @property
    def where(self) -> str:
        """Its address as its clients write it."""

    @property
    def needs(self) -> tuple[PartName, ...]:
        """The parts that must answer before it is started."""

    def prepare(self, directory: Path, say: Callable[[str], None]) -> Command:
        """Bring and write what it needs, in a folder of its own; SandboxError says why that is not possible."""

    def answers(self) -> bool:
        """Whether it does its work, found out by asking it for some."""
