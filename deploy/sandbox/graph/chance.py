"""Repeatable choices, made cheaply: a lead is invented anew each time it is read, thousands of times a second."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def chance_of(*seeds: int) -> random.Random:
    """The same seeds give the same choices in every process."""
    mixed = 0
    for seed in seeds:
        mixed = (mixed * 1_000_003 + seed) & 0xFFFF_FFFF_FFFF_FFFF
    return random.Random(mixed)  # noqa: S311 - repeatable on purpose; nothing is protected by it


def pick(chance: random.Random, choices: Sequence[T]) -> T:
    """One of the choices; several times faster than random.choice."""
    return choices[int(chance.random() * len(choices))]


def digits(chance: random.Random, count: int) -> str:
    """So many digits."""
    return f"{int(chance.random() * 10**count):0{count}d}"


def between(chance: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + int(chance.random() * (high - low + 1))
