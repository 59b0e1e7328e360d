"""`leadstream sandbox`: the outside world on this machine, from the command line.

What happens is told on stderr; stdout has only what was asked for. Exit codes: 0 done, 1 found wrong, 2 used wrongly.
"""

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from .deliver import deliver
from .errors import SandboxError
from .part import NAMES, USUAL, PartName
from .ports import USUAL_PORTS, PortName
from .sandbox import PartStatus, Sandbox, default_home
from .theirs import given_by_settings

sandbox = typer.Typer(
    help="Kafka, a schema registry, a double of Meta's Graph API, and a database with Kafka Connect, on this machine.",
    no_args_is_help=True,
)

_Home = Annotated[
    Path,
    typer.Option(
        "--home", help="The folder it lives in.", default_factory=default_home, show_default="your state folder"
    ),
]
_Parts = Annotated[
    list[str] | None, typer.Argument(metavar=f"[{'|'.join(NAMES)}]...", help="Only these.", show_default="all")
]
_EVERY = 10.0  # seconds between two lines about the same download where there is no terminal


def _port(name: PortName) -> typer.models.OptionInfo:
    usual = f"{USUAL_PORTS[name]}, or where it was"
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="0 takes a free one.",
        show_default=usual,
        rich_help_panel="Ports",
    )
    return option


@sandbox.command()
def up(
    home: _Home,
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=f"[{'|'.join(NAMES)}]...", help="Only these, and what they need.", show_default=", ".join(USUAL)
        ),
    ] = None,
    *,
    kafka: Annotated[int | None, _port("kafka")] = None,
    controller: Annotated[int | None, _port("controller")] = None,
    registry: Annotated[int | None, _port("registry")] = None,
    management: Annotated[int | None, _port("registry-management")] = None,
    graph: Annotated[int | None, _port("graph")] = None,
    postgres: Annotated[int | None, _port("postgres")] = None,
    connect: Annotated[int | None, _port("connect")] = None,
) -> None:
    """Start what does not run, and wait until all of it answers.

    The first time it downloads 200 MB, for Connect 100 MB more. A Kafka or registry that KAFKA_BOOTSTRAP_SERVERS or
    REGISTRY_URL names is used instead of one of ours.

    Example: leadstream sandbox up --kafka-port 9092
    With a database and Kafka Connect: leadstream sandbox up graph postgres connect
    """
    asked: dict[PortName, int | None] = {
        "kafka": kafka,
        "controller": controller,
        "registry": registry,
        "registry-management": management,
        "graph": graph,
        "postgres": postgres,
        "connect": connect,
    }
    with _told() as shown:
        world = Sandbox(home, {name: port for name, port in asked.items() if port is not None}, given_by_settings())
        world.up(_named(parts), shown)
    _print_aligned(world.status())
    _say(f"The settings that point at it: leadstream sandbox env{_home_option(home)}")


@sandbox.command()
def down(
    home: _Home,
    parts: _Parts = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete all its data too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do delete it.")] = False,
) -> None:
    """Stop it in order. Its data stays, unless --wipe.

    Example: leadstream sandbox down --wipe --yes
    """
    if wipe and parts:
        _say("--wipe deletes the data of all parts: name none.")
        raise typer.Exit(2)
    if wipe and not yes:
        _say(f"This would stop all parts and delete {home}, every topic and schema in it. Add --yes to do it.")
        raise typer.Exit(2)
    with _told() as shown:
        world = Sandbox(home)
        stopped = world.down(_named(parts), shown)
        if wipe:
            world.wipe()
    if wipe:
        _say(f"Its data in {home} is deleted.")
    elif not stopped:
        _say("Nothing of it was running.")


@sandbox.command()
def status(home: _Home, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """What runs, and where. Exit code 1 when not everything answers.

    Example: leadstream sandbox status --json
    """
    with _told():
        found = Sandbox(home, given=given_by_settings()).status()
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(part) for part in found], indent=2, default=str) + "\n")
    else:
        _print_aligned(found)
    raise typer.Exit(0 if all(part.state in {"answers", "not asked for"} for part in found) else 1)


@sandbox.command()
def env(home: _Home) -> None:
    """The settings that point at it, as NAME=value lines.

    Example: leadstream sandbox env > .env
    Or for this shell: set -a; eval "$(leadstream sandbox env)"; set +a
    """
    with _told():
        world = Sandbox(home, given=given_by_settings())
        settings = world.env()
    yours = [part.name for part in world.status() if part.yours]
    sys.stdout.write("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    if yours:
        _say(f"{' and '.join(yours)}: yours, as your settings name it.")


@sandbox.command()
def logs(
    home: _Home,
    parts: _Parts = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they grow; ^C ends it.")] = False,
) -> None:
    """The last lines of the parts' logs.

    Example: leadstream sandbox logs kafka -f
    """
    with _told():
        found = [str(log) for log in Sandbox(home).logs(_named(parts))]
    os.execvp("tail", ["tail", *(["-F"] if follow else []), "-n", "50", *found])  # noqa: S606, S607  nothing is left to do here but what tail does


class _Shown:
    """Progress for a person at a terminal (one line that moves), else for a log (a line now and then)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._spoke = time.monotonic()

    def step(self, text: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(Text(text), soft_wrap=True)

    def moment(self, text: str) -> None:
        self._status.update(Text(text))
        if self._console.is_terminal:
            self._status.start()
        elif time.monotonic() - self._spoke > _EVERY:
            self.step(text)

    def end(self) -> None:
        self._status.stop()


sandbox.command()(deliver)


@contextmanager
def _told() -> Iterator[_Shown]:
    shown = _Shown(Console(stderr=True))
    try:
        yield shown
    except SandboxError as error:
        shown.end()
        _say(f"leadstream: {error}")
        raise typer.Exit(1) from None
    finally:
        shown.end()


def _print_aligned(parts: Sequence[PartStatus]) -> None:
    rows = [
        (
            part.name,
            f"yours, {part.state}" if part.yours else part.state,
            part.where,
            f"pid {part.pid}" if part.pid else "",
            str(part.log or ""),
        )
        for part in parts
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _named(parts: list[str] | None) -> list[PartName]:
    strangers = [part for part in parts or () if part not in NAMES]
    if strangers:
        raise typer.BadParameter(f"{strangers[0]} is not a part: {', '.join(NAMES)} are.")
    return [name for name in NAMES if name in (parts or ())]


def _home_option(home: Path) -> str:
    return "" if home == default_home() else f" --home {shlex.quote(str(home))}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
