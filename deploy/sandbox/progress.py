"""How the sandbox tells what it is doing; who listens decides how it looks."""

from typing import Protocol


class Progress(Protocol):
    """Texts begin with the part they are about."""

    def step(self, text: str) -> None:
        """Something was begun or done: worth a line that stays."""

    def moment(self, text: str) -> None:
        """How far it is: the next text takes its place. May be called often."""


class Silent:
    """Nobody listens."""

    def step(self, text: str) -> None: ...

    def moment(self, text: str) -> None: ...
