"""Waits until a group has read on to where its topics ended when it was moved, by the offsets that it commits.

Progress is in offsets: those of a compacted topic have gaps, so there are at most as many records. The end is exact.
Nothing is moved here, and no group is joined; to stop waiting changes nothing.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import typer

from deploy.account.positions import NoAnswer, asking, committed
from deploy.progress import Count
from deploy.sending import ReadsTopics
from ingest.reading import Offsets, Reader, ReadingError
from ingest.records import DEAD, DETAILS, Stage, Topics
from ingest.settings import KafkaSettings

from .offsets import Move, Plan, ReplayRefused

Place = tuple[str, int]  # topic, with its prefix, and partition

_LOOK_EVERY = 0.5  # seconds; a worker commits every second
_QUIET = 10.0  # seconds without a commit, after which it is said that none was seen


def dead_ends(settings: KafkaSettings) -> Offsets:
    """Where dead letters end now: to be asked before the group is moved. ReadingError."""
    with Reader(settings) as reader:
        return {number: end for number, (_, end) in reader.bounds(Topics(prefix=settings.topic_prefix)(DEAD)).items()}


def wait(settings: KafkaSettings, stage: Stage, planned: Plan, dead_since: Offsets) -> None:
    """Tells on stderr how far it is and, at the end, how fast it was and what became dead. ^C ends the waiting only.

    ReplayRefused where it cannot be told any more.
    """
    count = Count(planned.records, "read")
    at_most = "at most " if any(move.topic.endswith(DETAILS) for move in planned.moves) else ""

    def quiet() -> None:
        count.say(f"No worker of {planned.group} has committed anything lately: start `{planned.program}`")

    typer.echo(f"Waiting until it is read: start `{planned.program}` now. Ctrl-C ends the waiting only.", err=True)
    try:
        with asking(settings, planned.group) as client, count:
            seconds = follow(lambda: committed(client, planned.places), planned.moves, told=count.add, quiet=quiet)
        with Reader(settings) as reader:
            dead = buried(reader, Topics(prefix=settings.topic_prefix)(DEAD), dead_since, stage)
    except KeyboardInterrupt:
        typer.echo(f"You stopped waiting at {count.done} of {planned.records}: `leadstream status` tells on.", err=True)
        return
    except (NoAnswer, ReadingError) as error:
        raise ReplayRefused(f"{error} The group was moved, and its worker reads on by itself") from None
    pace = f", {planned.records / seconds:.0f} a second" if seconds else ""
    typer.echo(f"Read: {at_most}{planned.records} records in {seconds:.1f} s{pace}.", err=True)
    for (target, reason), number in sorted(dead.items()):
        typer.echo(f"  {number} became dead{f' for {target}' if target else ''}: {reason}", err=True)
    if not dead:
        typer.echo("None became dead.", err=True)


def follow(
    stands: Callable[[], Mapping[Place, int]],
    moves: Sequence[Move],
    *,
    told: Callable[[int], None],
    quiet: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> float:
    """Returns when each partition is read to its end; the seconds that took, from the last look before the first step.

    `stands` is where the group stands now. `told` hears how many offsets more are read, `quiet` is called when there
    were none for long.
    """
    begun = moved = clock()
    read = 0
    while True:
        now = clock()
        stand = stands()
        reached = sum(_reached(move, stand.get((move.topic, move.partition), move.after)) for move in moves)
        if reached > read:
            told(reached - read)
            read, moved = reached, now
        elif not read:
            begun = now
        if reached == sum(move.records for move in moves):
            return now - begun
        if now - moved >= _QUIET:
            quiet()
            moved = now
        pause(_LOOK_EVERY)


def buried(reader: ReadsTopics, topic: str, since: Offsets, stage: str) -> Counter[tuple[str, str]]:
    """Dead letters of a stage from `since` on, by target (empty where it is none's alone) and reason."""
    return Counter(
        (letter.header("target") or "", letter.header("fate-reason") or "-")
        for letter in reader.read(topic, since)
        if letter.header("stage") == stage
    )


def _reached(move: Move, stand: int) -> int:
    return min(max(stand, move.after), move.end) - move.after
