"""The peers in Python: two doors, three enrichments and two maps, each run from an environment of its own lock file."""

import os
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from tests.bench.contender import Build, Contender, Say, Unavailable
from tests.bench.running import Command

_SOURCES = Path(__file__).parent
_CHECKOUT = _SOURCES.parents[3]
_LOCK = {
    package["name"]: package["version"]
    for package in tomllib.loads((_SOURCES / "uv.lock").read_text(encoding="utf-8"))["package"]
    if "version" in package
}


def _made_of(*packages: str) -> str:
    return ", ".join(f"{package} {_LOCK[package]}" for package in packages)


def _program(group: str, script: str, *arguments: str) -> Callable[[Say], Command]:
    """Builds the group's environment, and tells how the script is run in it."""

    def prepare(say: Say) -> Command:
        folder = Build(
            name=f"python-{group}",
            sources=_SOURCES,
            steps=((_uv(), "sync", "--quiet", "--frozen", "--only-group", group, "--python", sys.executable),),
            tools={},
            environment={"UV_COMPILE_BYTECODE": "1", "UV_PYTHON_DOWNLOADS": "never"},
        ).folder(say)
        python = str(folder / ".venv/bin/python")
        return Command(arguments=(python, str(folder / script), *arguments), environment={"PYTHONPATH": str(_CHECKOUT)})

    return prepare


def _uv() -> str:
    """The one that `make` installed, else the user's."""
    installed = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "leadstream").glob("uv-*/bin/uv")
    found = next((str(path) for path in installed), None) or shutil.which("uv")
    if found is None:
        raise Unavailable("needs uv, which is not on the PATH: `make .venv/installed` installs it")
    return found


AIOHTTP = Contender(
    key="aiohttp",
    name="aiohttp, by hand",
    kind="peer",
    made_of=_made_of("aiohttp", "confluent-kafka"),
    promises="200 after the acknowledgement of all",
    prepare=_program("loops", "door.py"),
)
AIOHTTP_UVLOOP = Contender(
    key="aiohttp-uvloop",
    name="aiohttp, by hand, on uvloop",
    kind="peer",
    made_of=_made_of("aiohttp", "uvloop", "confluent-kafka"),
    promises="200 after the acknowledgement of all",
    prepare=_program("loops", "door.py", "uvloop"),
)
AIOKAFKA = Contender(
    key="aiokafka",
    name="aiokafka loop of tutorials",
    kind="peer",
    made_of=_made_of("aiokafka", "aiohttp"),
    promises="commits every second: may lose the lead in hand when killed",
    prepare=_program("loops", "loop.py", "one"),
)
AIOKAFKA_PARTITIONS = Contender(
    key="aiokafka-partitions",
    name="aiokafka, a task per partition",
    kind="peer",
    made_of=_made_of("aiokafka", "aiohttp"),
    promises="at least once",
    prepare=_program("loops", "loop.py", "partition"),
)
FAUST = Contender(
    key="faust",
    name="stock Faust",
    kind="peer",
    made_of=_made_of("faust-streaming", "aiokafka", "aiohttp"),
    promises="loses leads on errors, kills and rebalances; not idempotent",
    prepare=_program("loops", "stock_faust.py"),
)
QUIXSTREAMS = Contender(
    key="quixstreams",
    name="quixstreams, our functions",
    kind="peer",
    made_of=_made_of("quixstreams", "fastavro"),
    promises="at least once; ends at a lead that cannot be mapped",
    prepare=_program("quix", "quix.py", "functions"),
)
QUIXSTREAMS_BY_HAND = Contender(
    key="quixstreams-by-hand",
    name="quixstreams, a map by hand",
    kind="peer",
    made_of=_made_of("quixstreams", "fastavro", "phonenumbers", "email-validator"),
    promises="at least once; knows these forms only, and ends at a lead that cannot be mapped",
    prepare=_program("quix", "quix.py", "by-hand"),
)
