"""`serve` and the workers as the programs they are, each with a log of its own.

They are found again by their folder, so that whoever comes later can stop what was left running, or was killed.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from deploy.sandbox import Process, Progress

Name = Literal["serve", "fetch", "map", "retry"]
NAMES: tuple[Name, ...] = get_args(Name)

_COMMANDS: Mapping[Name, tuple[str, ...]] = {
    "serve": ("serve",),
    "fetch": ("work", "fetch"),
    "map": ("work", "map"),
    "retry": ("work", "retry"),
}
_READY_WITHIN = 60.0  # seconds
_LOOK_EVERY = 0.1


class ProgramFailed(Exception):
    """A program ended, or is not ready in time; the text says which, and ends with the end of its log."""


class Programs:
    """The programs under a folder. `environment` is what they are told beyond our own."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        # Ports of their own, which they tell in their logs.
        self._environment = {**environment, "ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0"}

    def start(self, name: Name) -> None:
        self.process(name).start((sys.executable, "-m", "deploy.cli", *_COMMANDS[name]), self._environment)

    def wait_ready(self, name: Name, progress: Progress) -> float:
        """Seconds until the admin port said that it is ready."""
        began = time.monotonic()
        while not self._is_ready(name):
            waited = time.monotonic() - began
            process = self.process(name)
            if process.pid is None or waited > _READY_WITHIN:
                what = "ended while it started" if process.pid is None else f"is not ready after {waited:.0f} s"
                raise ProgramFailed(f"`leadstream {' '.join(_COMMANDS[name])}` {what}\n{process.last_lines(10)}")
            progress.moment(f"{name}: starting ({waited:.0f} s)")
            time.sleep(_LOOK_EVERY)
        return time.monotonic() - began

    def stop(self, *names: Name) -> list[Name]:
        """Ends them in order, all at once; which of them ran."""
        with ThreadPoolExecutor(len(NAMES)) as pool:
            wanted = names or NAMES
            ran = pool.map(lambda name: self.process(name).stop(), wanted)
            return [name for name, did in zip(wanted, ran, strict=True) if did]

    def process(self, name: Name) -> Process:
        return Process(self._home / name)

    def port(self) -> int:
        """Where `serve` listens on 127.0.0.1, once it is ready."""
        return int(self._said("serve", "door.listening")["port"])

    def _is_ready(self, name: Name) -> bool:
        url = self._said(name, "admin.listening").get("url")
        if url is None or (name == "serve" and not self._said(name, "door.listening")):
            return False
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=2):  # noqa: S310  the admin port of a program of ours
                return True
        except urllib.error.HTTPError as not_yet:
            not_yet.close()
        except OSError:
            pass
        return False

    def _said(self, name: Name, event: str) -> Mapping[str, str]:
        """The fields of the last such line in its log."""
        log, found = self.process(name).log, dict[str, str]()
        for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
            with suppress(ValueError):  # what others print, and a line that is being written
                said = json.loads(line)
                found = said if said.get("event") == event else found
        return found
