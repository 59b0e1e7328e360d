"""What the sandbox must know of a part to run it; each part is a module that says it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, get_args

from .ports import PortName
from .progress import Progress

PartName = Literal["kafka", "registry", "graph", "postgres", "connect"]
NAMES: tuple[PartName, ...] = get_args(PartName)  # in the order in which they start
USUAL: tuple[PartName, ...] = ("kafka", "registry", "graph")  # the others are started where they are named


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
    def needs(self) -> tuple[PartName, ...]:
        """The parts of ours that must answer before it is started."""

    @property
    def where(self) -> str:
        """Its address as its clients write it."""

    def prepare(self, directory: Path, progress: Progress) -> Command:
        """Bring and write what it needs, in a folder of its own; SandboxError says why that is not possible."""

    def answers(self) -> bool:
        """Whether it does its work, found out by asking it for some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A part that is the user's own: found at `where`, never started or stopped by us."""

    name: PartName
    where: str
    answers: Callable[[], bool]
    asks_for_login: bool = False
