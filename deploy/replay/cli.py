"""`leadstream replay`: shows how a worker's group would move, and moves it when told to."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from deploy.topics import admin_client
from ingest.records import AGAIN, DETAILS, RAW, Topics
from ingest.settings import KafkaSettings, read

from .offsets import Move, Plan, ReplayRefused, Target, apply, plan

replay = typer.Typer(
    help="Let a worker read again what it has read before. Every output is keyed, so a sink ends as it was.",
    no_args_is_help=True,
)

_Worker = Literal["fetch", "map"]
_READS: dict[_Worker, tuple[str, ...]] = {"fetch": (RAW, AGAIN), "map": (DETAILS,)}


def target(text: str) -> Target:
    if text == "earliest":
        return "earliest"
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text} is none of these: earliest, a time such as 2026-11-24T08:00, an offset such as 1200."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_To = Annotated[
    str,
    typer.Option("--to", help="earliest, a time (ISO 8601, UTC if it does not say), or an offset in each partition."),
]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]
_AsJson = Annotated[bool, typer.Option("--json", help="The plan as JSON, for programs.")]


@replay.command()
def fetch(to: _To, yes: _Yes = False, as_json: _AsJson = False) -> None:
    """Ask Meta again for leads: moves the group of `work fetch` on meta.leadgen.raw and .again.

    It costs one call for each lead, and Meta has them for 90 days. Exits 1 when the group is live.

    Example: leadstream replay fetch --to 2026-11-23T18:00 --yes
    """
    _replay("fetch", target(to), yes=yes, as_json=as_json)


@replay.command(name="map")
def map_(to: _To, yes: _Yes = False, as_json: _AsJson = False) -> None:
    """Map leads again, without one call to Meta: moves the group of `work map` on meta.leadgen.details.

    Exits 1 when the group is live.

    Example: leadstream replay map --to earliest --yes
    """
    _replay("map", target(to), yes=yes, as_json=as_json)


def _replay(worker: _Worker, to: Target, *, yes: bool, as_json: bool) -> None:
    settings = read(KafkaSettings)
    topics, cluster = Topics(prefix=settings.topic_prefix), admin_client(settings)
    try:
        planned = plan(cluster, topics.group(worker), [topics(name) for name in _READS[worker]], to)
        _show(planned, as_json=as_json)
        if planned.refusal:
            raise ReplayRefused(planned.refusal)  # noqa: TRY301  told like one that came later
        if yes:
            apply(cluster, planned)
    except ReplayRefused as refused:
        typer.echo(f"leadstream: {refused}", err=True)
        raise typer.Exit(1) from None
    if yes:
        typer.echo(f"Done. `leadstream work {worker}` reads on from there.", err=True)
    else:
        typer.echo("Nothing was done. The same with --yes does it.", err=True)


def _show(planned: Plan, *, as_json: bool) -> None:
    if as_json:
        moves = [{**asdict(move), "records": move.records} for move in planned.moves]
        typer.echo(json.dumps({"group": planned.group, "members": planned.members, "moves": moves}, indent=2))
        return
    typer.echo(f"{planned.group}: {planned.records} records to read from there on")
    for line in _aligned(planned.moves):
        typer.echo(f"  {line}")


def _aligned(moves: Sequence[Move]) -> list[str]:
    rows = [("topic/partition", "from", "to", "end")]
    rows += [
        (
            f"{move.topic}/{move.partition}",
            "never read" if move.before is None else str(move.before),
            str(move.after),
            str(move.end),
        )
        for move in moves
    ]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in rows
    ]
