"""Waiting for a replay: it ends when all is read and not before, and says so while nobody reads."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from typer.testing import CliRunner

from deploy.replay import Move
from deploy.replay.cli import replay
from deploy.replay.waiting import Place, buried, follow
from ingest.records import DEAD, DETAILS, Failure, Record, dead_letter
from tests.cluster import NOW, Cluster

MOVES = (
    Move(topic="t", partition=0, before=10, after=2, end=10),
    Move(topic="t", partition=1, before=None, after=0, end=5),
    Move(topic="t", partition=2, before=7, after=7, end=7),
)


class Watch:
    """A group that stands as the test says, one look after the other, half a second apart."""

    def __init__(self, *looks: Mapping[int, int]) -> None:
        self.now = 0.0
        self.told: list[int] = []
        self.quiet: list[float] = []
        self._looks: Iterator[Mapping[int, int]] = iter(looks)

    def stands(self) -> Mapping[Place, int]:
        return {("t", partition): offset for partition, offset in next(self._looks).items()}

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def follow(self, moves: Sequence[Move] = MOVES) -> float:
        return follow(
            self.stands,
            moves,
            told=self.told.append,
            quiet=lambda: self.quiet.append(self.now),
            clock=lambda: self.now,
            pause=self.pause,
        )


def test_it_ends_when_every_partition_is_read_to_where_it_ended() -> None:
    watch = Watch({0: 2, 1: 0, 2: 7}, {0: 6, 1: 5, 2: 7}, {0: 9, 1: 5, 2: 7}, {0: 10, 1: 5, 2: 7})
    assert (watch.follow(), watch.told) == (1.5, [9, 3, 1])


def test_what_came_since_is_not_waited_for_and_not_counted() -> None:
    watch = Watch({0: 2, 1: 90}, {0: 400, 1: 95})
    assert (watch.follow(), watch.told) == (0.5, [5, 8])


def test_a_partition_that_is_not_read_yet_holds_it_up() -> None:
    watch = Watch(*[{0: 10}] * 30, {0: 10, 1: 5})
    assert (watch.follow(), watch.told) == (15.0, [8, 5])


def test_the_time_before_the_worker_begins_does_not_count() -> None:
    watch = Watch(*[{0: 2, 1: 0}] * 100, {0: 5, 1: 2}, {0: 10, 1: 5})
    assert watch.follow() == 1.0


def test_while_nobody_reads_it_says_so_every_ten_seconds() -> None:
    watch = Watch(*[{0: 2, 1: 0}] * 50, *[{0: 5, 1: 0}] * 15, {0: 10, 1: 5})
    watch.follow()
    assert watch.quiet == [10.0, 20.0]


def test_with_nothing_to_read_it_ends_at_once() -> None:
    assert (Watch({}).follow(MOVES[2:]), Watch({}).follow(())) == (0.0, 0.0)


def test_what_became_dead_is_told_by_target_and_reason_of_that_stage_since_then() -> None:
    cluster = Cluster(partitions=1)
    details = cluster.put(Record(topic=DETAILS, key=b"1", value=b"x"))
    sales = Failure(stage="map", reason="required", error="Failed", target="sales.v1", fields=("email",))
    damaged = Failure(stage="map", reason="damaged", error="Damaged")
    fetched = Failure(stage="fetch", reason="not-found", error="Missing")
    for failure in (sales, sales, sales, damaged, fetched):
        cluster.put(dead_letter(details, failure, now=NOW))
    found = buried(cluster, cluster.topics(DEAD), {0: 1}, "map")
    assert found == {("sales.v1", "required"): 2, ("", "damaged"): 1}


@pytest.mark.parametrize("worker", ["fetch", "map"])
def test_it_goes_with_the_move_of_a_group_only(worker: str) -> None:
    result = CliRunner().invoke(replay, [worker, "--lead=1", "--wait"])
    assert (result.exit_code, "--wait goes with --to" in result.stderr) == (2, True)
