"""The double of Meta's Graph API as a part of the sandbox."""

import sys
from dataclasses import dataclass
from pathlib import Path

from .part import Command, PartName
from .ports import PortName, Ports
from .progress import Progress
from .registry import answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Double:
    """The double on `graph`; its state is in `state` under its folder."""

    ports: Ports
    name: PartName = "graph"
    listens: tuple[PortName, ...] = ("graph",)
    needs: tuple[PartName, ...] = ()

    @property
    def where(self) -> str:
        return f"http://127.0.0.1:{self.ports['graph']}"

    def prepare(self, directory: Path, progress: Progress) -> Command:  # noqa: ARG002  it is here already
        at = ("--host", "127.0.0.1", "--port", str(self.ports["graph"]), "--state", str(directory / "state"))
        return Command(arguments=(sys.executable, "-m", "deploy.sandbox.graph", *at))

    def answers(self) -> bool:
        return answers(f"{self.where}/_admin/health")
