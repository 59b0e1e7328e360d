"""The programs of the Go module: what drives and serves every contender, and what one would write by hand in Go."""

import re
from pathlib import Path

from tests.bench.contender import Build, Contender, Say
from tests.bench.running import Command

_SOURCES = Path(__file__).parent
_PROGRAMS = ("load", "stub", "door", "enrich")
BUILD = Build(
    name="go",
    sources=_SOURCES,
    steps=(("go", "build", "-trimpath", "-o", "bin/", *(f"./{program}" for program in _PROGRAMS)),),
    tools={"go": "Go 1.26 or newer, https://go.dev/dl/"},
)


def load(say: Say) -> Command:
    """The sender of signed deliveries; Unavailable."""
    return _program("load", say)


def stub(say: Say) -> Command:
    """The stub of the Graph API; Unavailable."""
    return _program("stub", say)


def _program(name: str, say: Say) -> Command:
    return Command(arguments=(str(BUILD.folder(say) / "bin" / name),))


def _version(module: str) -> str:
    [found] = re.findall(rf"{re.escape(module)} v(\S+)", (_SOURCES / "go.mod").read_text(encoding="utf-8"))
    return str(found)


DOOR = Contender(
    key="go",
    name="Go, by hand",
    kind="peer",
    made_of=f"net/http, franz-go {_version('github.com/twmb/franz-go')}, gjson {_version('github.com/tidwall/gjson')}",
    promises="200 after acks=all, idempotent; linger 2 ms, lz4",
    prepare=lambda say: _program("door", say),
)
ENRICH = Contender(
    key="go",
    name="Go, by hand",
    kind="peer",
    made_of=f"net/http, franz-go {_version('github.com/twmb/franz-go')}",
    promises="commits below the first open record; acks=all, idempotent; linger 2 ms, lz4",
    prepare=lambda say: _program("enrich", say),
)
