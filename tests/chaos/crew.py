"""Programs that somebody watches: one that ends is started again, as systemd or Kubernetes do it."""

import signal
import time
from collections.abc import Sequence

from tests.programs import Program, System, eventually

Command = tuple[str, ...]
SERVE: Command = ("serve",)
FETCH: Command = ("work", "fetch")
MAP: Command = ("work", "map")
RETRY: Command = ("work", "retry")
ALL = (SERVE, FETCH, MAP, RETRY)


class Crew:
    """One program for each command, with the settings given."""

    def __init__(self, system: System, commands: Sequence[Command] = ALL, **settings: str) -> None:
        self._system = system
        self._settings = settings
        self._places = [(command, self._start(command)) for command in commands]

    @property
    def programs(self) -> list[Program]:
        return [program for _, program in self._places]

    def tend(self) -> None:
        """Starts again what has ended."""
        for number, (command, program) in enumerate(self._places):
            if program.has_ended:
                self._places[number] = (command, self._start(command))

    def wait_ready(self, seconds: float = 120.0) -> "Crew":
        """Returns when all are ready; what ends meanwhile is started again, for a port may yet be an orphan's."""

        def are_ready() -> bool:
            self.tend()
            return all(program.asked("ready")[0] == 200 for program in self.programs)

        eventually(are_ready, seconds, "all programs ready")
        return self

    def tend_for(self, seconds: float) -> None:
        """Lets so much time go by."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.tend()
            time.sleep(0.1)

    def resume(self) -> None:
        """Whoever was stopped by a signal goes on."""
        for program in self.programs:
            program.signal(signal.SIGCONT)
            program.signal_child(signal.SIGCONT)

    def children(self) -> list[list[int]]:
        return [program.children() for program in self.programs]

    def _start(self, command: Command) -> Program:
        return self._system.start(*command, **self._settings)
