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
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from deploy.sandbox.flock import held
from ingest.backfill import Stand
from ingest.meta.graph.bulk import CountedForm

from .choosing import Choice, Edge

_FORMAT = 1


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

    def of(self, edge: Edge) -> Stand:
        return self.stands.get((edge.kind, edge.edge_id)) or Stand()

    def put(self, edge: Edge, stand: Stand) -> None:
        """Keeps how far the edge is, in the file too."""
        self.stands[edge.kind, edge.edge_id] = stand
        self.write()

    def write(self) -> None:
        told = {
            "format": _FORMAT,
            "since": self.since,
            "until": self.until,
            "edges": [asdict(edge) | {"stand": asdict(self.of(edge))} for edge in self.edges],
        }
        new = self.file.with_name(f"{self.file.name}.new")
        with new.open("w", encoding="utf-8") as out:
            json.dump(told, out)
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
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["format"] == _FORMAT:
            checkpoint = Checkpoint(file=file, since=told["since"], until=int(told["until"]), edges=[])
            for each in told["edges"]:
                edge, stand = _edge(each), _stand(each["stand"])
                checkpoint.edges.append(edge)
                checkpoint.stands[edge.kind, edge.edge_id] = stand
            return checkpoint
    return None


def _edge(told: dict[str, object]) -> Edge:
    counted = told["counted"]
    return Edge(
        kind="ad" if told["kind"] == "ad" else "form",
        edge_id=str(told["edge_id"]),
        page_id=str(told["page_id"]),
        counted=CountedForm(**counted) if isinstance(counted, dict) else None,
    )


def _stand(told: dict[str, object]) -> Stand:
    known = {each.name for each in fields(Stand)}
    read = {name: _tuples(value) for name, value in told.items() if name in known}
    return Stand(**read)  # type: ignore[arg-type]  as asdict wrote it; what differs is caught above


def _tuples(value: object) -> object:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
