"""How far a bulk read is, on stderr: leads, how fast they come, what is used of the budget; and why it waits.

A bar at a terminal, else a line now and then.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SAY_EVERY = 10.0  # seconds between two lines where there is no terminal
_MEASURED = 5.0  # seconds, at least, over which the rate is taken


class Watch:
    """Says sentences, and within `counting` how many leads were read."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = 0
        self._total: int | None = None
        self._used: Callable[[], float | None] = lambda: None
        self._clock = clock
        self._spoke = clock()
        self._marks: list[tuple[float, int]] = []
        console = Console(stderr=True)
        self._terminal = console.is_terminal
        columns = (
            TextColumn("leads read"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not self._terminal, transient=True)
        self._task = self._bar.add_task("")

    @contextmanager
    def counting(self, total: int | None, *, done: int = 0, used: Callable[[], float | None]) -> Iterator[None]:
        """`total` is None where nobody knows it; `used` tells the percent used of the fullest budget."""
        self.done, self._total, self._used = done, total, used
        self._spoke = self._clock()
        self._marks = [(self._spoke, done)]
        self._bar.reset(self._task, total=total, completed=done)
        with self._bar:
            yield

    def at(self, done: int) -> None:
        """So many leads are read by now."""
        self.done = done
        self._bar.update(self._task, completed=done, description=self.sentence())
        if not self._terminal and self._clock() - self._spoke > _SAY_EVERY:
            self._spoke = self._clock()
            of = "" if self._total is None else f" of about {self._total}"
            self.say(f"{done}{of} leads read, {self.sentence()}")

    def sentence(self) -> str:
        """Rate and budget in words."""
        used = self._used()
        budget = "" if used is None else f", {max(0.0, 100 - used):.0f} % of the budget left"
        return f"{self._rate():.0f} a second{budget}"

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self._terminal:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)

    def _rate(self) -> float:
        now = self._clock()
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _MEASURED:  # noqa: PLR2004  two make a rate
            self._marks.pop(0)
        since, before = self._marks[0]
        return (self.done - before) / (now - since) if now > since else 0.0
