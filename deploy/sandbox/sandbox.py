"""The outside world on one machine: parts that start once, stay in the background and are found again."""

import errno
import json
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import SandboxError
from .flock import held
from .kafka import Kafka
from .part import USUAL_PORTS, Command, Part, PartName, PortName, Ports
from .process import Process

_START_WITHIN = 120.0  # seconds: the slowest part took 29 on an idle machine of two cores
_LOOK_EVERY = 0.1
# Below the range from which the system gives connections their ports: else a client could be given a killed part's.
_FREE_FROM, _FREE_TO = 20000, 32000


def _silent(part: str, text: str) -> None:
    """Say nothing."""


Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """A part as it is now. `pid` and `log` are None for what the user's own settings point at."""

    name: PartName
    state: Literal["answers", "does not answer", "stopped"]
    where: str
    pid: int | None
    log: Path | None


class Sandbox:
    """The sandbox that lives under `home`. A wanted port of 0 is a free one, and the same one the next time."""

    def __init__(self, home: Path, wanted: Ports | None = None) -> None:
        self.home = home
        self._settled = home / "ports.json"
        self.ports = self._settle(wanted or {})
        self.parts: tuple[Part, ...] = (Kafka(ports=self.ports),)

    def up(self, say: Say = _silent) -> None:
        """Start what does not run, return when every part answers. SandboxError says which does not, and why."""
        self.home.mkdir(parents=True, exist_ok=True)
        with held(self.home / "lock", lambda: say("sandbox", "waiting for another command that starts or stops it")):
            self._settled.write_text(json.dumps(self.ports))
            self._start(self.parts, say)

    def down(self, say: Say = _silent) -> list[PartName]:
        """Stop every part in order, the last started first; the names of those that ran."""
        self.home.mkdir(parents=True, exist_ok=True)
        with held(self.home / "lock", lambda: say("sandbox", "waiting for another command that starts or stops it")):
            stopped = []
            for part in reversed(self.parts):
                say(part.name, "stopping")
                if self.process(part.name).stop():
                    stopped.append(part.name)
            return stopped

    def status(self) -> list[PartStatus]:
        """Every part, as it is now."""
        found = []
        for part in self.parts:
            process = self.process(part.name)
            pid = process.pid
            state: Literal["answers", "does not answer", "stopped"] = (
                "stopped" if pid is None else "answers" if part.answers() else "does not answer"
            )
            found.append(PartStatus(name=part.name, state=state, where=part.where, pid=pid, log=process.log))
        return found

    def env(self) -> dict[str, str]:
        """The settings that point at it."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.parts[0].where}

    def process(self, name: PartName) -> Process:
        return Process(self.home / name)

    def _start(self, parts: tuple[Part, ...], say: Say) -> None:
        commands = {part.name: self._prepared(part, say) for part in parts if self.process(part.name).pid is None}
        waiting, since = (
            {part.name: part for part in parts},
            dict.fromkeys((part.name for part in parts), time.monotonic()),
        )
        while waiting:
            for name, part in list(waiting.items()):
                if any(needed in waiting for needed in part.needs):
                    continue
                if command := commands.pop(name, None):
                    self._check_ports(part)
                    self.process(name).start(command.arguments, command.environment)
                    since[name] = time.monotonic()
                    say(name, "starting")
                if part.answers():
                    del waiting[name]
                    say(name, f"answers at {part.where} ({time.monotonic() - since[name]:.1f} s)")
                elif name not in commands:
                    self._check_alive(part, time.monotonic() - since[name])
            time.sleep(_LOOK_EVERY)

    def _prepared(self, part: Part, say: Say) -> Command:
        directory = self.home / part.name
        directory.mkdir(exist_ok=True)
        return part.prepare(directory, lambda text: say(part.name, text))

    def _check_alive(self, part: Part, waited: float) -> None:
        process = self.process(part.name)
        if process.pid is None:
            raise SandboxError(
                f"{process.last_lines()}\n{part.name} ended while it started; the end of {process.log} is above."
            )
        if waited > _START_WITHIN:
            raise SandboxError(
                f"{process.last_lines()}\n{part.name} runs (pid {process.pid}) but has not answered at {part.where} for"
                f" {_START_WITHIN:.0f} s. The last lines of {process.log} are above."
                " `leadstream sandbox down`, then `up`, starts it anew."
            )

    def _check_ports(self, part: Part) -> None:
        for port in part.listens:
            number = self.ports[port]
            if not _is_free(number):
                raise SandboxError(
                    f"Port {number}, where {part.name} is to listen, is taken:"
                    f" end what listens there, or choose another with --{port}-port."
                )

    def _settle(self, wanted: Ports) -> Ports:
        before: dict[PortName, int] = json.loads(self._settled.read_text()) if self._settled.exists() else {}
        ports: dict[PortName, int] = {}
        for name, usual in USUAL_PORTS.items():
            ports[name] = wanted.get(name) or before.get(name) or (_free_port() if name in wanted else usual)
        return ports


def _free_port() -> int:
    while not _is_free(port := _FREE_FROM + secrets.randbelow(_FREE_TO - _FREE_FROM)):
        pass
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the parts do: a closed connection's rest is no one's port
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
