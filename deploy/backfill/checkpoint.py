"""How far a backfill is, in a file that outlives it: which forms and ads, until when, and the cursor of each.

Written when the broker has acknowledged what it speaks of, and replaced as a whole: a run that is killed finds the one
or the other. It holds ids, cursors and counts; no token, no answer. One that cannot be read is as good as none: what
was written by then is known to the index.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from deploy.sandbox.flock import held
from ingest.backfill import Stand

from .choosing import Choice, Edge

_FORMAT = 1
_SOON = 3600  # seconds: within these a repair is made and the same is run again


class AlreadyRuns(Exception):
    """The same backfill is running; the text says so."""


@dataclass(slots=True)
class Checkpoint:
    """`since` and `until` are unix seconds; `until` is that of the first start, where the command gives none."""

    file: Path
    since: int | None
    until: int
    edges: list[Edge]
    stands: dict[tuple[str, str], Stand] = field(default_factory=dict)  # by kind and id of the edge
    whole: bool = True  # whether all that was chosen was found; else what was not is looked for again
    ended: bool = False  # whether a run came to its end with it, and something could not be read

    def is_over(self, *, now: int) -> bool:
        """Whether it ended so long ago that whoever runs it again wants what was given since too, which it has not."""
        return self.ended and now - self.until > _SOON

    def of(self, edge: Edge) -> Stand:
        return self.stands.get((edge.kind, edge.edge_id)) or Stand()

    @property
    def read(self) -> int:
        """How many leads were read of all edges."""
        return sum(self.of(edge).read for edge in self.edges)

    def put(self, edge: Edge, stand: Stand) -> None:
        """Keeps how far the edge is, in the file too."""
        self.stands[edge.kind, edge.edge_id] = stand
        self.write()

    def write(self) -> None:
        edges = [_Kept(edge=edge, stand=self.of(edge)) for edge in self.edges]
        told = _File(
            format=_FORMAT, since=self.since, until=self.until, edges=edges, whole=self.whole, ended=self.ended
        )
        new = self.file.with_name(f"{self.file.name}.new")
        with new.open("wb") as out:
            out.write(_KEPT.dump_json(told))
            out.flush()
            os.fsync(out.fileno())
        new.replace(self.file)

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)


def place(cluster: str, prefix: str, choice: Choice, since: int | None, until: int | None) -> Path:
    """The file of a plan: the same command with the same cluster goes on with the same one."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "leadstream", "backfill")
    plan = json.dumps([sorted(choice.forms), sorted(choice.ads), sorted(choice.pages), choice.all_pages, since, until])
    name = re.sub(r"[^A-Za-z0-9_-]", "_", cluster)
    return home / f"{name}-{prefix or 'no.prefix'}-{hashlib.sha256(plan.encode()).hexdigest()[:16]}.json"


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Within it nobody else runs the plan of the file; AlreadyRuns."""

    def refuse() -> None:
        raise AlreadyRuns("the same backfill is running already: wait for it, or end it; it can be gone on with")

    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(file.with_name(f"{file.name}.lock"), refuse):
        yield


def read(file: Path) -> Checkpoint | None:
    """What an earlier run has left; None where it left nothing, or nothing that can be gone on with."""
    with suppress(OSError, ValueError):  # pydantic's errors are ValueErrors
        kept = _KEPT.validate_json(file.read_bytes())
        if kept.format == _FORMAT:
            return Checkpoint(
                file=file,
                since=kept.since,
                until=kept.until,
                edges=[each.edge for each in kept.edges],
                whole=kept.whole,
                ended=kept.ended,
                stands={(each.edge.kind, each.edge.edge_id): each.stand for each in kept.edges},
            )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    edge: Edge
    stand: Stand


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    format: int
    since: int | None
    until: int
    edges: list[_Kept]
    whole: bool
    ended: bool = False


_KEPT = TypeAdapter(_File)
