"""Several workers in one process: ready when all of them are, and ended by the first that fails."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

Report = Callable[[bool, str], None]


class Runs(Protocol):
    """What is needed of `processors.worker.Worker`."""

    async def run(self, stop: asyncio.Event) -> None: ...


def reports(report: Report, workers: int) -> list[Report]:
    """A report for each worker; `report` hears that all are ready, or why the first one that is not, is not."""
    states = [(False, "starting")] * workers

    def of(number: int) -> Report:
        def tell(ready: bool, why: str) -> None:
            states[number] = (ready, why)
            missing = [why for ready, why in states if not ready]
            report(not missing, missing[0] if missing else "")

        return tell

    return [of(number) for number in range(workers)]


async def run_together(workers: Sequence[Runs], stop: asyncio.Event, *, beside: Coroutine[None, None, None]) -> None:
    """Runs the workers until `stop` is set, and `beside`, which has no end, for as long.

    What one of them raises ends all of them, and is raised itself, not in a group: its reader asks what it is.
    """
    try:
        async with asyncio.TaskGroup() as everything:
            unending = everything.create_task(beside)
            async with asyncio.TaskGroup() as working:
                for worker in workers:
                    working.create_task(worker.run(stop))
            unending.cancel()
    except BaseExceptionGroup as failures:
        failure = _first(failures)
        raise failure from failure.__cause__


def _first(failure: BaseException) -> BaseException:
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure
