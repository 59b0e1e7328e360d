"""What is raced: ours, peers and limits; and how a peer is built from its sources, once, in the user's cache."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .running import Command

Kind = Literal["ours", "peer", "limit"]
Say = Callable[[str], None]
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules", "target", ".venv", "*.md")


class Unavailable(Exception):
    """A contender cannot be had on this machine; the text says what is missing and how to get it. A row, no crash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One line of a table. `key` is its name for `--only`; `name` is short, for tables.

    `made_of` are its parts with their versions, `promises` says what it guarantees, each in a few words.

    `prepare` builds what has to be built and tells how it is started, without what a suite adds to its environment;
    it raises Unavailable.
    """

    key: str
    name: str
    kind: Kind
    made_of: str
    promises: str
    prepare: Callable[[Say], Command]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A peer's sources and the commands that build it, each run in a copy of the sources.

    `tools` are the programs that it needs, each with how to get it. Built once for each state of the sources.
    """

    name: str
    sources: Path
    steps: tuple[tuple[str, ...], ...]
    tools: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def folder(self, say: Say) -> Path:
        """The folder in which it is built; Unavailable says why it cannot be."""
        for tool, how in self.tools.items():
            if shutil.which(tool) is None:
                raise Unavailable(f"needs {tool}, which is not on the PATH: {how}")
        built = cache() / f"{self.name}-{_digest(self.sources, self.steps)}"
        if not (built / _DONE).exists():
            shutil.rmtree(built, ignore_errors=True)
            shutil.copytree(self.sources, built, ignore=_LEFT_OUT)
            for step in self.steps:
                say(f"building {self.name}: {' '.join(step)}")
                self._run(step, built)
            (built / _DONE).touch()
        return built

    def _run(self, step: tuple[str, ...], folder: Path) -> None:
        log = folder / "build.log"
        with log.open("ab") as output:
            done = subprocess.run(
                step,
                cwd=folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
        if done.returncode:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise Unavailable(f"`{' '.join(step)}` failed: {said[-1] if said else done.returncode} (all of it: {log})")


def cache() -> Path:
    """Where what was built stays for the next run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "leadstream", "bench")


_DONE = ".built"


def _digest(sources: Path, steps: tuple[tuple[str, ...], ...]) -> str:
    """Of every file that is copied, and of what is done with them."""
    digest = hashlib.sha256(repr(steps).encode())
    for folder, folders, files in os.walk(sources):
        left_out = _LEFT_OUT(folder, [*folders, *files])
        folders[:] = sorted(set(folders) - left_out)
        for file in sorted(set(files) - left_out):
            path = Path(folder, file)
            digest.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
