"""`leadstream demo`, from its options to its exit code: nothing is left running unless that was asked for."""

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from deploy.account import AccountError
from deploy.replay import ReplayRefused
from deploy.sandbox import Sandbox, SandboxError, default_home
from deploy.sandbox.flock import held
from deploy.sandbox.graph.admin import GraphAdminError
from deploy.topics import ClusterError
from ingest.kafka import NotAcknowledged, ProducerFailed
from ingest.reading import Reader, ReadingError
from ingest.registry import RegistryError

from .programs import NAMES, ProgramFailed, Programs
from .sales import TOPIC
from .stage import Stage
from .story import DemoFailed, Story
from .unannounced import FOLDER
from .world import World, apply_topics, delete_topics, open_world

_FAILURES = (
    AccountError,
    ClusterError,
    DemoFailed,
    GraphAdminError,
    NotAcknowledged,
    OSError,
    ProducerFailed,
    ProgramFailed,
    ReadingError,
    RegistryError,
    ReplayRefused,
    SandboxError,
)
_INTERRUPTED = 128 + signal.SIGINT


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave all of it running, to look around.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End what --keep left running.")] = False,
    home: Annotated[
        Path,
        typer.Option(
            help="The folder it lives in.",
            default_factory=lambda: default_home().with_name("demo"),
            show_default="your state folder",
        ),
    ],
) -> None:
    """All of it here: a Kafka, the workers, ten signed deliveries, the leads, a CRM topic, a replay, a reconciliation.

    The first time it downloads 200 MB. A Kafka or registry that KAFKA_BOOTSTRAP_SERVERS or REGISTRY_URL names is used
    instead of one of ours, under a prefix of its own. Exits 1 when anything is not as it has to be.

    Example: leadstream demo --keep
    """
    home = home.absolute()
    with Stage() as stage, _told(home, stage):
        home.mkdir(parents=True, exist_ok=True)
        with held(home / "lock", lambda: stage.step(f"waiting for another demo in {home}")):
            if stop:
                _end(home, stage)
            else:
                _play(home, stage, keep=keep)
            if not keep:
                _delete(home)


def _play(home: Path, stage: Stage, *, keep: bool) -> None:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    Programs(home, {}).stop()
    with ExitStack() as at_the_end:
        at_the_end.callback(_end, home, stage)
        stage.heading(
            "The world outside",
            "A real Kafka, a real schema registry, and a double of Meta's Graph API, on this machine.",
        )
        world = open_world(home, stage)
        programs = Programs(home, world.environment)
        if "kafka" in world.yours:
            at_the_end.callback(_clear, world, programs, stage)
        apply_topics(world)
        stage.step(f"topics and schemas: made as declared, under the prefix {world.kafka.topic_prefix}")
        with Reader(world.kafka) as reader:
            _tell(Story(world, programs, reader, stage), stage)
        stage.heading(f"All of it is as it has to be ({time.monotonic() - began:.0f} s)")
        if keep:
            _tell_how_to_look(world, programs, home, stage)
            at_the_end.pop_all()
        else:
            stage.step("`leadstream demo --keep` leaves it running, to look around.")


def _tell(story: Story, stage: Stage) -> None:
    stage.heading(
        "leadstream", "The door; fetch, which asks Meta; map, which asks nobody; retry, which brings back what waited."
    )
    story.start()
    stage.heading("Ten deliveries", "A 200 means Kafka has it: so Kafka is asked as soon as each is answered.")
    story.deliver()
    stage.heading("The leads", "Avro, keyed by lead, with every answer as it was given. These people are made up.")
    leads = story.leads()
    stage.heading("A topic for your CRM", "The same leads by a mapping file: flat, in the CRM's own fields and codes.")
    rows = story.rows(leads)
    stage.heading(
        "What became of each delivery", "As the topics themselves tell it: nothing is dropped without a word."
    )
    story.outcomes()
    stage.heading(
        "A replay",
        "Sales asks for one more field, of past leads too: map reads Meta's answers again, Meta is not asked.",
    )
    story.grow()
    story.replay(leads, rows)
    stage.heading(
        "What Meta never announced",
        "It repeats itself for 36 hours, and of earlier leads it never tells: so all is held against its lists.",
    )
    story.reconcile()


def _tell_how_to_look(world: World, programs: Programs, home: Path, stage: Stage) -> None:
    settings = home / "env"
    settings.touch(mode=0o600)
    environment = {**world.environment, "INGEST_PORT": str(programs.port())}
    settings.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()))
    option = "" if home == default_home().with_name("demo") else f" --home {shlex.quote(str(home))}"
    stage.step("It goes on running. In a shell of yours:")
    for line in (
        f"set -a; . {shlex.quote(str(settings))}; set +a",
        "leadstream tail --follow",
        f"leadstream tail --topic {TOPIC} --last 3",
        f"leadstream mapping preview {shlex.quote(str(world.mapping))} --last 3",
        f"leadstream sandbox deliver --leads 500 --home {shlex.quote(str(home / 'sandbox'))}",
        f"tail -f {shlex.quote(str(home))}/*/log",
        f"leadstream demo --stop{option}",
    ):
        stage.step(f"  {line}")
    if "kafka" in world.yours:
        stage.step(f"Your Kafka keeps the topics that begin with {world.kafka.topic_prefix}, until you delete them.")


def _clear(world: World, programs: Programs, stage: Stage) -> None:
    """A cluster that stays is left as it was found."""
    stage.moment("deleting the topics")
    programs.stop()
    try:
        delete_topics(world)
        stage.step(f"The topics that begin with {world.kafka.topic_prefix} are deleted from your Kafka.")
        if "registry" in world.yours:
            stage.step("Your registry keeps their schemas, under subjects that begin with it.")
    except ClusterError as failure:
        stage.step(f"{failure}: please delete them.")


def _end(home: Path, stage: Stage) -> None:
    stage.moment("stopping everything")
    Programs(home, {}).stop()
    Sandbox(home / "sandbox").down()
    stage.step("Nothing is left running.")


def _delete(home: Path) -> None:
    """What it wrote, its logs too; the downloads stay."""
    Sandbox(home / "sandbox").wipe()
    (home / "env").unlink(missing_ok=True)
    for name in (*NAMES, "mappings", FOLDER):
        shutil.rmtree(home / name, ignore_errors=True)


@contextmanager
def _told(home: Path, stage: Stage) -> Iterator[None]:
    """Failures in sentences."""
    try:
        yield
    except _FAILURES as failure:
        stage.pause()
        typer.echo(
            f"\nleadstream demo: {failure}\nThe logs of all programs: {home}/*/log, {home}/sandbox/*/log", err=True
        )
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
