"""Several workers of one group, started together, and what they cost together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from confluent_kafka import ConsumerGroupState, KafkaException

from deploy.topics.cluster import admin_client

from .running import Broken, Command, Running
from .world import World

_SECONDS_TO_JOIN = 90.0


class Crew:
    """Made by `at_work`; ended with its context."""

    def __init__(self, workers: Sequence[Running]) -> None:
        self._workers = workers

    def cpu_seconds(self) -> float:
        return sum(each.cpu_seconds() for each in self._workers)

    def peak_memory(self) -> int:
        """Bytes, of all of them."""
        return sum(each.peak_memory() for each in self._workers)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All of them stand still while the context is open."""
        with ExitStack() as stack:
            for each in self._workers:
                stack.enter_context(each.paused())
            yield

    def wait_until(self, holds: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Returns when it holds; Broken when one of them ends before, or after so many seconds."""
        self._workers[0].wait_until(lambda: self._all_run() and holds(), what, seconds=seconds)

    def _all_run(self) -> bool:
        for each in self._workers:
            if each.has_ended:
                raise Broken(f"a worker has ended\n{each.last_lines()}")
        return True


@contextmanager
def at_work(
    world: World, command: Command, *, workers: int, group: str, name: str, environment: Mapping[str, str]
) -> Iterator[Crew]:
    """So many workers, from when all of them are in their group and nothing moves in it any more."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(world.start(command, f"{name}-{number}", environment)) for number in range(workers)
        ]
        crew = Crew(started)
        crew.wait_until(lambda: _members(world, group) == workers, "all are in their group", seconds=_SECONDS_TO_JOIN)
        yield crew


def _members(world: World, group: str) -> int:
    """None of a group that is still sharing out its partitions."""
    cluster = admin_client(world.kafka())
    [answer] = cluster.describe_consumer_groups([group], request_timeout=15).values()
    with suppress(KafkaException):  # before the first of them there is no group
        told = answer.result(15)
        return len(told.members) if told.state == ConsumerGroupState.STABLE else 0
    return 0
