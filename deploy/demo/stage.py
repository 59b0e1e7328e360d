"""How the demo is told: headings with their reason below, one line a step, a line that moves while one has to wait."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDE = 120  # columns where there is no terminal to ask
_EVERY = 10.0  # seconds between two lines about the same wait where there is no terminal


class Stage:
    """Told on `console`; a context, at whose end the line that moves is gone. It is a sandbox's Progress."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = _WIDE
        self._status = self.console.status("")
        self._spoke = time.monotonic()
        self._headings = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Takes the line that moves away, so that something else can be said."""
        self._status.stop()

    def heading(self, title: str, why: str = "") -> None:
        self._headings += 1
        self._print(Text(f"\n{self._headings}  {title}", style="bold"))
        if why:
            self._print(Text(f"   {why}", style="dim"))

    def step(self, text: str, why: str = "") -> None:
        self._print(Text.assemble(f"   {text}", (f"  {why}", "dim") if why else ""))

    def conclude(self, text: str) -> None:
        """What follows from a table above it."""
        self._print(Text(f"\n   {text}"))

    def moment(self, text: str) -> None:
        self._status.update(Text(text))
        if self.console.is_terminal:
            self._status.start()
        elif time.monotonic() - self._spoke > _EVERY:
            self.step(text)

    def table(self, table: Table) -> None:
        self.pause()
        self.console.print()
        self.console.print(Padding(table, (0, 0, 0, 3)))

    def _print(self, text: Text) -> None:
        self._spoke = time.monotonic()
        self.pause()
        self.console.print(text, soft_wrap=True)
