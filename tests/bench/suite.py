"""What a suite is: a module with a `SUITE`, whose `run` yields rows; everything else is done by the frame."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from deploy.sandbox.part import PartName

from .contender import Contender, Unavailable
from .rounds import Absent, Row
from .running import Command
from .world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for. `only` are contenders' keys; empty, all of them. Ours is always raced."""

    rounds: int
    quick: bool
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A figure of the table, whose unit is in its title. `better` says which way is ahead; empty, neither is.

    A case's table has the columns of the figures that were measured in it. `factor` is from the measured unit to the
    one that is shown, `digits` are those behind the point.
    """

    figure: str
    title: str
    better: Literal["less", "more", ""]
    digits: int = 0
    factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A chapter of RESULTS.md, with a table for each case. `about` is Markdown: what is measured, and how.

    Contenders are compared by a table's first column; the README has a chart of it, for the case that `charted` names.
    `needs` are the parts of the sandbox that it wants.
    """

    name: str
    title: str
    about: str
    columns: tuple[Column, ...]
    run: Callable[[World, Options], Iterator[Row]]
    charted: str = ""
    needs: tuple[PartName, ...] = ("kafka", "registry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A contender that is built, and how it is started."""

    contender: Contender
    command: Command


def prepared(contenders: Sequence[Contender], world: World, options: Options) -> tuple[list[Ready], list[Absent]]:
    """Those that can be had, in their order, and those that cannot, each with its reason."""
    ready, absent = [], []
    for each in contenders:
        if options.only and each.key not in options.only and each.kind != "ours":
            continue
        try:
            ready.append(Ready(contender=each, command=each.prepare(world.say)))
        except Unavailable as reason:
            absent.append(Absent(by=each, why=str(reason)))
    return ready, absent
