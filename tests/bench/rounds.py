"""Rounds in turn and what they come to: every contender once a round, none always first, medians with their spread."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from .contender import Contender
from .running import Broken

Figures = Mapping[str, float]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one contender did in one round of one case. `figures` are named as the suite's columns are."""

    case: str
    by: Contender
    round: int
    figures: Figures
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Why a contender is not raced; in one case, or in none where `case` is empty."""

    by: Contender
    why: str
    case: str = ""


Row = Measurement | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some rounds, and the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(median=statistics.median(values), low=min(values), high=max(values))


def turns(contenders: Sequence[Item], rounds: int) -> Iterator[tuple[int, list[Item]]]:
    """The rounds from 1 on, each with its order: ABC, BCA, CAB and so on."""
    for number in range(rounds):
        first = number % len(contenders) if contenders else 0
        yield number + 1, [*contenders[first:], *contenders[:first]]


def race(
    case: str, contenders: Sequence[Contender], rounds: int, measure: Callable[[Contender], Figures]
) -> Iterator[Row]:
    """Every contender in every round. One that breaks is out for the rest of the case, and it is said why."""
    out = set()
    for number, order in turns(contenders, rounds):
        for contender in order:
            if contender.key in out:
                continue
            try:
                yield Measurement(case=case, by=contender, round=number, figures=measure(contender))
            except Broken as broken:
                out.add(contender.key)
                yield Absent(case=case, by=contender, why=str(broken))
