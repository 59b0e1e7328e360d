"""How far a command is, on stderr: a bar at a terminal, else a line now and then."""

import time

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SAY_EVERY = 10.0  # seconds between two lines where there is no terminal


class Count:
    """Counts to a total, while it is used as a context; `what` is done to each, such as `sent`."""

    def __init__(self, total: int, what: str) -> None:
        self.done = 0
        self._total = total
        self._what = what
        self._spoke = time.monotonic()
        console = Console(stderr=True)
        self._terminal = console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, disable=not self._terminal, transient=True)
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> None:
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, more: int) -> None:
        self.done += more
        self._bar.update(self._task, completed=self.done)
        if not self._terminal and time.monotonic() - self._spoke > _SAY_EVERY:
            self._spoke = time.monotonic()
            self.say(f"{self.done} of {self._total} {self._what}")

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self._terminal:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)
