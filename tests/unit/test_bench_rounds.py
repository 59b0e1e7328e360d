"""Contenders take turns, and what breaks is told without ending the race."""

from collections import Counter

from tests.bench.contender import Contender, Kind
from tests.bench.rounds import Absent, Figures, Measurement, Spread, race, turns
from tests.bench.running import Broken, Command


def contender(key: str, kind: Kind = "peer") -> Contender:
    command = Command(arguments=("true",))
    return Contender(key=key, name=key, kind=kind, made_of="", promises="", prepare=lambda _: command)


def test_every_round_begins_with_another_contender() -> None:
    assert list(turns("ABC", 4)) == [
        (1, ["A", "B", "C"]),
        (2, ["B", "C", "A"]),
        (3, ["C", "A", "B"]),
        (4, ["A", "B", "C"]),
    ]


def test_there_are_rounds_without_a_contender() -> None:
    assert list(turns([], 2)) == [(1, []), (2, [])]


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=5.0)


def test_every_contender_is_measured_in_every_round() -> None:
    rows = list(race("small", [contender("a"), contender("b")], 3, lambda by: {"cpu": len(by.key)}))
    assert Counter((row.by.key, row.case) for row in rows) == {("a", "small"): 3, ("b", "small"): 3}
    assert [row.by.key for row in rows if isinstance(row, Measurement) and row.round == 2] == ["b", "a"]


def test_one_that_breaks_is_out_for_the_rest_and_the_others_go_on() -> None:
    def measure(by: Contender) -> Figures:
        if by.key == "b":
            raise Broken("ended with 1")
        return {"cpu": 1.0}

    a, b = contender("a"), contender("b")
    rows = list(race("small", [a, b], 2, measure))
    assert [row for row in rows if isinstance(row, Absent)] == [Absent(case="small", by=b, why="ended with 1")]
    assert [row.round for row in rows if isinstance(row, Measurement)] == [1, 2]
