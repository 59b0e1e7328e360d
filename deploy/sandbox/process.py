"""A program in the background that outlives whoever started it, and is never mistaken for another.

A started program holds its pid file (`flock`) until it ends, however it ends: a pid is believed only while its file is
held, so one that the system gave to a stranger is never signalled. Nobody has to wait for it, and it is in a session of
its own: the end of the terminal it was started from does not reach it.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import SandboxError
from .flock import hold, is_held

_DETACHED = '"$@" &'
_PID_THEN_PROGRAM = 'echo $$ > "$0"; exec "$@"'
_LOOK_EVERY = 0.02  # seconds


class Process:
    """One program, its pid file and its log (`log`; the one before is kept as `log.before`), in a folder of its own.

    `ends_on` is the signal on which it ends in order.
    """

    def __init__(self, directory: Path, ends_on: signal.Signals = signal.SIGTERM) -> None:
        self.directory = directory
        self._ends_on = ends_on
        self.log = directory / "log"
        self._pid_file = directory / "pid"

    @property
    def pid(self) -> int | None:
        """The pid while the program runs, else None."""
        if not is_held(self._pid_file):
            return None
        written = self._pid_file.read_text()
        return int(written) if written else None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the program; the caller has made sure that it does not run, and that nobody else starts it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name("log.before"))
        with self._pid_file.open("wb") as pid_file, self.log.open("wb") as log:
            hold(pid_file)
            writing_its_pid = ["sh", "-c", _PID_THEN_PROGRAM, str(self._pid_file), *arguments]
            subprocess.run(  # noqa: S603  what is started is ours
                ["sh", "-c", _DETACHED, "sh", *writing_its_pid],  # noqa: S607  a POSIX shell is on every PATH
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                cwd=self.directory,
                pass_fds=(pid_file.fileno(),),
                start_new_session=True,
                check=True,
            )
        while not self._pid_file.read_text() and is_held(self._pid_file):
            time.sleep(_LOOK_EVERY)

    def stop(self, *, within: float = 30) -> bool:
        """End the program in order, or by force after `within` seconds. False when it did not run."""
        if not self._signal(self._ends_on):
            return False
        self._signal(signal.SIGCONT)  # a paused program would hear the request only when it is resumed
        if not self._ended(within):
            self.kill()
        return True

    def kill(self) -> None:
        """End the program as a crash would (SIGKILL)."""
        if self._signal(signal.SIGKILL) and not self._ended(30):
            raise SandboxError(f"The process of {self.directory} does not end on SIGKILL: the machine's disk may hang.")

    def pause(self) -> None:
        """Let the program hang (SIGSTOP): its connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused program go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def last_lines(self, count: int = 20) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, maxlen=count)).rstrip()

    def _signal(self, number: signal.Signals) -> bool:
        pid = self.pid
        if pid is None:
            return False
        os.kill(pid, number)
        return True

    def _ended(self, within: float) -> bool:
        until = time.monotonic() + within
        while is_held(self._pid_file):
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_EVERY)
        return True
