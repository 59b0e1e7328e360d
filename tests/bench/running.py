"""A started program and what it costs: CPU seconds and memory of its whole process tree, told by the operating system.

Linux only: the figures are those of /proc. A program is started in a session of its own and ended by its own pid.
"""

import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_EVERY = 0.02  # seconds
_END_WITHIN = 20.0  # seconds after SIGTERM


class Broken(Exception):
    """A program did not do what it was started for; the text says what, with the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What starts a program; `environment` is added to that of the bench."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def with_arguments(self, *more: str) -> "Command":
        return Command(arguments=(*self.arguments, *more), environment=self.environment)

    def with_environment(self, **more: str) -> "Command":
        return Command(arguments=self.arguments, environment={**self.environment, **more})


@dataclass(slots=True, kw_only=True)
class Used:
    """What a stretch of time took: seconds on the wall and of CPU. Final when the stretch is over."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Running:
    """A program with all its children. Its standard output and error go to `log`. Use it as a context."""

    def __init__(self, command: Command, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command.arguments,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,  # where no .env of the checkout is read
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def cpu_seconds(self) -> float:
        """User and system time of the tree since it began, children that have ended and been waited for included."""
        return cpu_seconds(self.pid)

    def peak_memory(self) -> int:
        """Bytes: the most that each process of the tree had resident, added up; ever, or since `forget_peak`."""
        return sum(_peak(pid) for pid in tree(self.pid))

    def forget_peak(self) -> None:
        """From now on, peak memory is that of the time to come."""
        for pid in tree(self.pid):
            with suppress(OSError):  # one that has just ended
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still while the context is open, so that what is prepared meets it all at once."""
        with suppress(ProcessLookupError):  # it has ended; whoever waits for it is told
            os.killpg(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGCONT)

    @contextmanager
    def measured(self) -> Iterator[Used]:
        """What it uses while the context is open."""
        used = Used()
        began, before = time.monotonic(), self.cpu_seconds()
        yield used
        used.cpu_seconds = self.cpu_seconds() - before
        used.seconds = time.monotonic() - began

    def wait_until(self, holds: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
        """Returns when it holds; Broken when the program ends before, or after so many seconds."""
        end = time.monotonic() + seconds
        while not holds():
            if self.has_ended:
                raise Broken(f"ended with {self._process.returncode} before: {what}\n{self.last_lines()}")
            if time.monotonic() > end:
                raise Broken(f"not within {seconds:.0f} s: {what}\n{self.last_lines()}")
            time.sleep(_LOOK_EVERY)

    def wait_for_port(self, port: int, *, seconds: float = 60.0) -> None:
        """Returns when it accepts connections there; Broken otherwise."""
        self.wait_until(lambda: is_open(port), f"listening on {port}", seconds=seconds)

    def wait_for_end(self, seconds: float) -> None:
        """Returns when it has ended by itself with 0; Broken otherwise."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Broken(f"has not ended within {seconds:.0f} s\n{self.last_lines()}") from None
        if code:
            raise Broken(f"ended with {code}\n{self.last_lines()}")

    def last_lines(self, count: int = 12) -> str:
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, maxlen=count)).rstrip()

    def stop(self) -> None:
        """SIGTERM to the program; what is left of its session after a while is killed."""
        if not self.has_ended:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_WITHIN)
        with suppress(ProcessLookupError):  # nobody is left, as it should be
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def is_open(port: int) -> bool:
    """Whether somebody accepts connections on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def cpu_seconds(root: int) -> float:
    """User and system time of a process and its descendants since they began; also of a broker's, by its pid."""
    # Of a line of /proc/<pid>/stat, from the state on: utime, stime, and those of children that were waited for.
    return sum(sum(map(int, stat[11:15])) for stat in map(_stat, tree(root)) if stat) / _TICKS


def tree(root: int) -> list[int]:
    """The pids of a process, its descendants, and whoever is in its session still."""
    parents: dict[int, list[int]] = {}
    session = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
            if int(stat[3]) == root:
                session.append(int(entry.name))
    found = dict.fromkeys([root, *session])
    for pid in (waiting := list(found)):
        for child in parents.get(pid, ()):
            if child not in found:
                found[child] = None
                waiting.append(child)
    return list(found)


def _stat(pid: int) -> list[str]:
    """Fields from the state on; none of a process that is gone. A name may hold anything, spaces and brackets too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
