"""How far an import is and how fast it goes, on stderr: a line that changes at a terminal, else one now and then."""

import time
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_MUCH = 50_000  # records; less is read in a second
_SAY_EVERY = 10.0  # seconds between two lines where there is no terminal


class Pace:
    """A context; `at` tells how many rows of a source there were, and which share of its bytes, where that is known."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._terminal = console.is_terminal
        self._line = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            disable=not self._terminal,
            transient=True,
        )
        self._task = self._line.add_task("reading", total=None)
        self._begun = self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.stop()

    def reading(self, done: int, total: int) -> None:
        """How much was read of what is here already, before the rows."""
        if total >= _MUCH:
            self._tell(f"{done:,} of {total:,} records read")

    def at(self, name: str, rows: int, share: float | None) -> None:
        """Of a source that begins with no rows."""
        if rows == 0:
            self._begun = time.monotonic()
        rate = rows / max(time.monotonic() - self._begun, 0.001)
        self._tell(f"{name}: {rows:,} rows, {rate:,.0f} a second" + ("" if share is None else f", {share:.0%}"))

    def _tell(self, what: str) -> None:
        self._line.update(self._task, description=what)
        if not self._terminal and time.monotonic() - self._spoke > _SAY_EVERY:
            self._spoke = time.monotonic()
            typer.echo(what, err=True)

    def say(self, sentence: str) -> None:
        """A line above it."""
        if self._terminal:
            self._line.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        else:
            typer.echo(sentence, err=True)
