"""Whether a 200 means that the broker has it: what doors promised while the broker was away, and what it has.

Every door gets the same trouble at the same time, each with its own leads on its own topic. A door that has promised a
lead which the broker does not have is not raced. Duplicates are counted: a client that gave up a request and sent it
again may have both.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .contender import Contender
from .doors import Door, starting
from .rounds import Absent, Measurement, Row
from .running import Broken, Running
from .sender import PROBE, Sender
from .suite import Column, Ready
from .world import World

COLUMNS = (
    Column(figure="promised", title="answered 200", better=""),
    Column(figure="stored", title="stored", better=""),
    Column(figure="lost", title="lost", better=""),
    Column(figure="again", title="stored again", better=""),
    Column(figure="refused", title="refused", better=""),
)
_RATE = 300  # POSTs a second for each door, of one change
_CONNECTIONS = 32
_BEFORE, _AFTER = 2.0, 3.0  # seconds of peace
_HANGS = 12.0  # seconds: longer than any of the doors waits for an acknowledgement
_PATIENCE = 90.0  # seconds for a door that is behind; 3,000 POSTs are nothing to one that is well
_POSTS = round(_RATE * (_BEFORE + _HANGS + _AFTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A door under load: its sender, and the file in which that writes the leads that were answered 200."""

    contender: Contender
    door: Door
    sender: Running
    promised: Path


def check(ready: Sequence[Ready], world: World, sender: Sender) -> Iterator[Row]:
    """A row for each door and trouble; and one of no case for a door that is not to be raced, and why."""
    for case, trouble in (("Broker stopped", _stop), ("Broker killed", _kill)):
        world.say(f"{case.lower()}: {len(ready)} doors at once")
        for row in _under(case, trouble, ready, world, sender):
            yield row
            if isinstance(row, Absent):
                yield Absent(by=row.by, why=f"{case.lower()}: {row.why}")
            elif lost := row.figures["lost"]:
                promised = row.figures["promised"]
                yield Absent(by=row.by, why=f"{case.lower()}: {lost:.0f} of {promised:.0f} acknowledged leads are lost")


def _under(
    case: str, trouble: Callable[[World], None], ready: Sequence[Ready], world: World, sender: Sender
) -> Iterator[Row]:
    with ExitStack() as stack:
        up = []
        for by, door in [(each.contender, stack.enter_context(starting(each, world))) for each in ready]:
            try:
                door.wait_until_up()
                up.append((by, door))
            except Broken as broken:
                yield Absent(case=case, by=by, why=str(broken))
        asked = [stack.enter_context(_under_load(by, door, world, sender)) for by, door in up]
        time.sleep(_BEFORE)  # into the middle of it
        trouble(world)
        for one in asked:
            try:
                one.sender.wait_for_end(_PATIENCE)
                yield Measurement(case=case, by=one.contender, round=1, figures=_counted(one, world))
            except Broken as broken:
                yield Absent(case=case, by=one.contender, why=f"does not answer again: {broken}")


@contextmanager
def _under_load(by: Contender, door: Door, world: World, sender: Sender) -> Iterator[_Asked]:
    promised = world.folder / f"{door.topic}.promised"
    load = sender.command(door.port, connections=_CONNECTIONS, rate=_RATE, posts=_POSTS, timeout="20s", ids=promised)
    with world.start(load, f"load-{by.key}") as running:
        yield _Asked(contender=by, door=door, sender=running, promised=promised)


def _counted(asked: _Asked, world: World) -> dict[str, float]:
    told = json.loads(asked.sender.last_lines(1))
    promised = set(asked.promised.read_text().split())
    found = [str(json.loads(record.value or b"")["value"]["leadgen_id"]) for record in world.read(asked.door.topic)]
    stored = [lead for lead in found if lead != PROBE]
    kept = set(stored)
    return {
        "promised": len(promised),
        "stored": len(kept),
        "lost": len(promised - kept),
        "again": len(stored) - len(kept),
        "refused": told["posts"] - len(promised),
    }


def _stop(world: World) -> None:
    world.sandbox.part("kafka").pause()
    time.sleep(_HANGS)  # the length of it is the matter
    world.sandbox.part("kafka").resume()


def _kill(world: World) -> None:
    world.sandbox.part("kafka").kill()
    world.sandbox.up(["kafka"])
