"""Whether a 200 means that the broker has it: what doors promised while the broker was away, and what it has.

Every door gets the same trouble at the same time, each with its own leads on its own topic. A door that has promised a
lead which the broker does not have is not raced. Duplicates are counted: a client that gave up a request and sent it
again may have both.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .contender import Contender
from .doors import Door, opened
from .rounds import Absent, Measurement, Row
from .running import Broken, Running
from .sender import Sender
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
_POSTS = round(_RATE * (_BEFORE + _HANGS + _AFTER))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    contender: Contender
    door: Door
    sender: Running
    ids: Path


def check(ready: Sequence[Ready], world: World, sender: Sender) -> Iterator[Row]:
    """A row for each door and trouble; and one that takes a door out of the race, where it lost something."""
    for case, trouble in (("Broker stopped", _stop), ("Broker killed", _kill)):
        world.say(f"{case.lower()}: {len(ready)} doors at once")
        for row in _under(case, trouble, ready, world, sender):
            yield row
            if isinstance(row, Measurement) and row.figures["lost"]:
                lost, promised = row.figures["lost"], row.figures["promised"]
                yield Absent(by=row.by, why=f"{case.lower()}: {lost:.0f} of {promised:.0f} acknowledged leads are lost")


def _under(
    case: str, trouble: Callable[[World], None], ready: Sequence[Ready], world: World, sender: Sender
) -> Iterator[Row]:
    with ExitStack() as stack:
        asked = []
        for each in ready:
            try:
                door = stack.enter_context(opened(each, world))
            except Broken as broken:
                yield Absent(case=case, by=each.contender, why=str(broken))
                continue
            ids = world.folder / f"{case.rsplit(maxsplit=1)[-1]}-{each.contender.key}.ids"
            command = sender.command(
                door.port, connections=_CONNECTIONS, rate=_RATE, posts=_POSTS, timeout="20s", ids=ids
            )
            running = stack.enter_context(world.start(command, f"load-{each.contender.key}"))
            asked.append(_Asked(contender=each.contender, door=door, sender=running, ids=ids))
        time.sleep(_BEFORE)  # into the middle of it
        trouble(world)
        for one in asked:
            one.sender.wait_for_end(60)
            yield Measurement(case=case, by=one.contender, round=1, figures=_counted(one, world))


def _counted(asked: _Asked, world: World) -> dict[str, float]:
    told = json.loads(asked.sender.last_lines(1))
    promised = set(asked.ids.read_text().split())
    stored = [str(json.loads(record.value or b"")["value"]["leadgen_id"]) for record in world.read(asked.door.topic)]
    kept = set(stored)
    return {
        "promised": len(promised),
        "stored": len(kept - {"1"}),  # the lead by which it was seen to be up
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
