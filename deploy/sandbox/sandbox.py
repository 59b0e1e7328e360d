"""The outside world on one machine: parts that start once, stay in the background and are found again."""

import json
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import graph
from .connect import Connect
from .double import Double
from .errors import SandboxError
from .flock import held
from .kafka import Kafka
from .part import NAMES, USUAL, Command, Given, Part, PartName
from .ports import Ports, is_free, settle
from .postgres import Postgres
from .process import Process
from .progress import Progress, Silent
from .registry import Registry

# "not asked for": one that is started only where it is named, and never was.
State = Literal["answers", "does not answer", "stopped", "not asked for"]

_START_WITHIN = 90.0  # seconds; the slowest part takes 12 where nothing else runs
_LOOK_EVERY = 0.05
_WAITING = "waiting for another command that works on this sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """A part as it is now. What is the user's own (`yours`) has neither pid nor log."""

    name: PartName
    yours: bool
    state: State
    where: str
    pid: int | None
    log: Path | None


def default_home() -> Path:
    """`leadstream/sandbox` in the folder where the user's programs keep their state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "leadstream", "sandbox")


class Sandbox:
    """The sandbox that lives under `home`: whoever names the same folder has the same sandbox.

    A `wanted` port of 0 is a free one; what was settled once is kept, for clients remember where they were. A part that
    is `given` is used instead of ours.
    """

    def __init__(self, home: Path, wanted: Ports | None = None, given: Mapping[PartName, Given] | None = None) -> None:
        self.home = home.absolute()
        self._wanted = wanted or {}
        self._given = given or {}
        self._ports_file = self.home / "ports.json"

    def up(self, only: Collection[PartName] = (), progress: Progress | None = None) -> None:
        """Start what does not run, and return when every usual part answers, or those named in `only`.

        What runs is left as it is. SandboxError says which part does not answer, and why.
        """
        progress = progress or Silent()
        with self._alone(progress):
            ports = self._settled()
            places = self._places(ports)
            parts = [place for place in places if not isinstance(place, Given)]
            needed = {name for part in parts if part.name in only for name in part.needs}
            chosen = {*only, *needed} if only else set(USUAL)
            self._check_login(chosen)
            for place in places:
                if isinstance(place, Given) and place.name in chosen:
                    _check_given(place)
                    progress.step(f"{place.name}: yours, answers at {place.where}")
            parts = [part for part in parts if part.name in chosen]
            commands = {part.name: self._prepare(part, progress) for part in parts if self.part(part.name).pid is None}
            self._start(parts, ports, commands, progress)

    def down(self, only: Collection[PartName] = (), progress: Progress | None = None) -> list[PartName]:
        """Stop every part of ours in order, or those named in `only`, the last started first; which of them ran."""
        progress = progress or Silent()
        stopped = []
        with self._alone(progress):
            for name in reversed(NAMES):
                if (not only or name in only) and self.part(name).stop():
                    progress.step(f"{name}: stopped")
                    stopped.append(name)
        return stopped

    def wipe(self) -> None:
        """Delete what the parts have written and forget their ports. SandboxError when one of them runs."""
        with self._alone(Silent()):
            running = [name for name in NAMES if self.part(name).pid is not None]
            if running:
                raise SandboxError(f"{', '.join(running)} still runs: `leadstream sandbox down` stops it.")
            for name in NAMES:
                shutil.rmtree(self.home / name, ignore_errors=True)
            self._ports_file.unlink(missing_ok=True)

    def status(self) -> list[PartStatus]:
        """Every part, ours or the user's, as it is now."""
        return [self._status(place) for place in self._places(settle({}, self._remembered()))]

    def env(self) -> dict[str, str]:
        """The settings that point at it, by name. SandboxError when it was never up."""
        if not self._ports_file.exists():
            raise SandboxError(f"There is no sandbox in {self.home} yet: `leadstream sandbox up` makes one.")
        ports = settle({}, self._remembered())
        where = {place.name: place.where for place in self._places(ports)}
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": where["kafka"],
            "REGISTRY_URL": where["registry"],
            **graph.settings(where["graph"], self.home / "graph"),
        }
        if self._was_asked_for("postgres"):
            settings["POSTGRES_URL"] = self._postgres(ports).url
        if self._was_asked_for("connect"):
            settings["CONNECT_URL"] = where["connect"]
        return settings

    def logs(self, only: Collection[PartName] = ()) -> list[Path]:
        """The logs of all that was ever started, or of what `only` names. SandboxError when there is none."""
        found = [self.part(name).log for name in NAMES if not only or name in only]
        existing = [log for log in found if log.exists()]
        if not existing:
            raise SandboxError(f"Nothing of {', '.join(only) or 'the sandbox'} was ever started in {self.home}.")
        return existing

    def part(self, name: PartName) -> Process:
        """The process of a part of ours, to look at, kill, stop or pause; `up` starts it again."""
        # On SIGTERM it would wait for its clients to leave.
        return Process(self.home / name, signal.SIGINT if name == "postgres" else signal.SIGTERM)

    def _places(self, ports: Ports) -> list[Part | Given]:
        kafka = self._unless_given(Kafka(ports=ports))
        registry = self._unless_given(Registry(ports=ports, bootstrap=kafka.where))
        postgres = self._postgres(ports)
        connect = Connect(ports=ports, bootstrap=kafka.where, secrets=postgres.password_file.parent)
        return [kafka, registry, Double(ports=ports), postgres, connect]

    def _postgres(self, ports: Ports) -> Postgres:
        return Postgres(ports=ports, directory=self.home / "postgres")

    def _was_asked_for(self, name: PartName) -> bool:
        """A part that nobody named is neither missed nor told of."""
        return name in USUAL or self.part(name).log.exists()

    def _check_login(self, chosen: Collection[PartName]) -> None:
        given = self._given.get("kafka")
        if "connect" in chosen and given is not None and given.asks_for_login:
            raise SandboxError(
                f"The sandbox's Kafka Connect cannot log in to {given.where}, your Kafka: run a Connect that belongs"
                " to it (deploy/connect has its configuration), or unset KAFKA_BOOTSTRAP_SERVERS to have a Kafka here."
            )

    def _unless_given(self, part: Part) -> Part | Given:
        given = self._given.get(part.name)
        # After `sandbox env` the user's settings name the sandbox itself.
        return part if given is None or given.where == part.where else given

    def _status(self, place: Part | Given) -> PartStatus:
        if isinstance(place, Given):
            state: State = "answers" if place.answers() else "does not answer"
            return PartStatus(name=place.name, yours=True, state=state, where=place.where, pid=None, log=None)
        process = self.part(place.name)
        pid = process.pid
        if pid is not None:
            state = "answers" if place.answers() else "does not answer"
        else:
            state = "stopped" if self._was_asked_for(place.name) else "not asked for"
        log = process.log if process.log.exists() else None
        return PartStatus(name=place.name, yours=False, state=state, where=place.where, pid=pid, log=log)

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with held(self.home / "lock", lambda: progress.step(_WAITING)):
                yield
        except OSError as error:
            raise SandboxError(
                f"{error.filename or self.home} cannot be used ({error.strerror}):"
                " put that right, or choose another folder with --home."
            ) from error

    def _settled(self) -> Ports:
        before = self._remembered()
        settled = settle(self._wanted, before)
        for place in self._places(settle({}, before)):
            if isinstance(place, Given) or self.part(place.name).pid is None:
                continue
            for name in place.listens:
                if settled[name] != before.get(name):
                    raise SandboxError(
                        f"{place.name} runs with its {name} port at {before.get(name)}:"
                        " `leadstream sandbox down` first, to move it."
                    )
        return settled

    def _remembered(self) -> Ports:
        ports: Ports = json.loads(self._ports_file.read_text()) if self._ports_file.exists() else {}
        return ports

    def _remember(self, part: Part, ports: Ports) -> None:
        draft = self._ports_file.with_suffix(".new")
        draft.write_text(json.dumps({**self._remembered(), **{name: ports[name] for name in part.listens}}))
        draft.replace(self._ports_file)

    def _prepare(self, part: Part, progress: Progress) -> Command:
        directory = self.home / part.name
        directory.mkdir(exist_ok=True)
        return part.prepare(directory, progress)

    def _start(self, parts: list[Part], ports: Ports, commands: dict[PartName, Command], progress: Progress) -> None:
        waiting = {part.name: part for part in parts}
        since = dict.fromkeys(waiting, time.monotonic())
        while waiting:
            for name, part in list(waiting.items()):
                if any(needed in waiting for needed in part.needs):
                    since[name] = time.monotonic()
                    continue
                if command := commands.pop(name, None):
                    _check_free(part, ports)
                    self._remember(part, ports)
                    self.part(name).start(command.arguments, command.environment)
                waited = time.monotonic() - since[name]
                if part.answers():
                    del waiting[name]
                    progress.step(f"{name}: answers at {part.where} after {waited:.1f} s")
                else:
                    progress.moment(f"{' and '.join(waiting)}: starting ({waited:.0f} s)")
                    self._check_alive(part, waited)
            time.sleep(_LOOK_EVERY)

    def _check_alive(self, part: Part, waited: float) -> None:
        process = self.part(part.name)
        pid = process.pid
        if pid is None:
            raise SandboxError(
                f"{process.last_lines()}\n{part.name} ended while it started; the end of {process.log} is above."
            )
        if waited > _START_WITHIN:
            raise SandboxError(
                f"{process.last_lines()}\n{part.name} runs (pid {pid}) but has not answered at {part.where} for"
                f" {_START_WITHIN:.0f} s; the end of {process.log} is above. `leadstream sandbox down`, then `up`,"
                " starts it anew."
            )


def _check_given(place: Given) -> None:
    if not place.answers():
        setting = "KAFKA_BOOTSTRAP_SERVERS" if place.name == "kafka" else "REGISTRY_URL"
        raise SandboxError(
            f"{setting} names {place.where}, which does not answer: start it, or unset {setting} to have one here."
        )


def _check_free(part: Part, ports: Ports) -> None:
    for name in part.listens:
        if not is_free(ports[name]):
            raise SandboxError(
                f"Port {ports[name]}, where {part.name} is to listen, is taken:"
                f" end what listens there, or choose another with --{name}-port."
            )
