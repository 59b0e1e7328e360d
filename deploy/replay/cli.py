"""`leadstream replay`: shows how a worker's group would move or what would be sent again, and does it when told to."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

import typer

from deploy.moments import Since, Until, moment
from deploy.reading import Decoder
from deploy.sending import USUAL_RATE, Later, NotSent, Parcel, Rate, send_all
from deploy.topics import admin_client
from ingest.reading import Reader, ReadingError
from ingest.records import AGAIN, DETAILS, RAW, UPDATES, Received, Stage, Topics
from ingest.registry import RegistryError
from ingest.settings import KafkaSettings, RegistrySettings, read
from schemas.shapes import LeadDetails

from . import waiting
from .chosen import Choice, Judge, Kind, choose, fetched_again, mapped_again, of_details, of_raw
from .offsets import Move, Plan, ReplayRefused, Target, apply, first_since, plan

replay = typer.Typer(
    help="Let a worker read again what it has read before. A lead's outputs are keyed, so a sink ends as it was.",
    no_args_is_help=True,
)

_Worker = Literal["fetch", "map", "updates"]
_MOVES: dict[_Worker, str] = {"fetch": RAW, "map": DETAILS, "updates": UPDATES}
# What came back is a copy of what lies on raw: read again as well, it would be fetched once for each time it waited.
_STAYS: dict[_Worker, tuple[str, ...]] = {"fetch": (AGAIN,), "map": (), "updates": ()}
_STAGES: dict[_Worker, Stage] = {"fetch": "fetch", "map": "map", "updates": "update"}


def target(text: str) -> Target:
    if text == "earliest":
        return "earliest"
    if text.isdecimal():
        return int(text)
    try:
        return moment(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text} is none of these: earliest, a time such as 2026-11-24T08:00, an offset such as 1200."
        ) from None


_TO = typer.Option(
    "--to",
    help="Move the group: to earliest, a time (ISO 8601, UTC if it does not say), or an offset in each partition.",
)
_To = Annotated[str | None, _TO]
_Page = Annotated[str | None, typer.Option("--page", metavar="ID", help="Instead, send the leads of this page again.")]
_Form = Annotated[str | None, typer.Option("--form", metavar="ID", help="Instead, send the leads of this form again.")]
_Lead = Annotated[str | None, typer.Option("--lead", metavar="ID", help="Instead, send this lead again.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")]
_Wait = Annotated[
    bool, typer.Option("--wait", help="With --to: wait until its worker has read them, and tell how fast it was.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="The plan as JSON, for programs.")]


@replay.command()
def fetch(
    *,
    to: _To = None,
    page: _Page = None,
    form: _Form = None,
    lead: _Lead = None,
    since: Since = None,
    until: Until = None,
    yes: _Yes = False,
    wait: _Wait = False,
    rate: Rate = USUAL_RATE,
    as_json: _AsJson = False,
) -> None:
    """Ask Meta again for leads. It costs one call for each, and Meta has them for 90 days.

    --to moves the group of `work fetch` on meta.leadgen.raw; what came back since is a copy of it and is not fetched
    once more. Exits 1 when the group is live. With --page, --form or --lead the newest notification of each such lead
    is sent to .again instead, and workers may run.

    Example: leadstream replay fetch --to 2026-11-23T18:00 --yes

    Example: leadstream replay fetch --page 106777055130587 --since 2026-11-23T18:00 --yes
    """
    choice = _choice(to, page, form, lead, since=since, until=until, wait=wait)
    if isinstance(choice, Choice):
        _send(RAW, choice, lambda: of_raw(choice), fetched_again, yes=yes, rate=rate, as_json=as_json)
    else:
        _move("fetch", choice, yes=yes, wait=wait, as_json=as_json)


@replay.command(name="map")
def map_(
    *,
    to: _To = None,
    page: _Page = None,
    form: _Form = None,
    lead: _Lead = None,
    since: Since = None,
    until: Until = None,
    yes: _Yes = False,
    wait: _Wait = False,
    rate: Rate = USUAL_RATE,
    as_json: _AsJson = False,
) -> None:
    """Map leads again, without one call to Meta.

    --to moves the group of `work map` on meta.leadgen.details; exits 1 when the group is live. With --page, --form or
    --lead the newest answer of each such lead is written there again instead, with the timestamp it has, so that it is
    kept no longer; workers may run. --since and --until are of when it was fetched.

    Example: leadstream replay map --to earliest --yes --wait

    Example: leadstream replay map --form 2381764112176533 --yes
    """
    choice = _choice(to, page, form, lead, since=since, until=until, wait=wait)
    if isinstance(choice, Choice):
        _send(DETAILS, choice, lambda: _of_details(choice), mapped_again, yes=yes, rate=rate, as_json=as_json)
    else:
        _move("map", choice, yes=yes, wait=wait, as_json=as_json)


@replay.command()
def updates(
    *,
    to: Annotated[str, _TO],
    yes: _Yes = False,
    wait: _Wait = False,
    as_json: _AsJson = False,
) -> None:
    """Let `work map` read updates of leads again. No lead is mapped again, and Meta is not asked.

    It moves the group of meta.leadgen.updates alone; exits 1 when it is live. Updates are events: each one that is read
    again is on leads.updates.v1 twice, with the same header `origin`.

    Example: leadstream replay updates --to 2026-11-23T18:00 --yes
    """
    _move("updates", target(to), yes=yes, wait=wait, as_json=as_json)


def _choice(
    to: str | None,
    page: str | None,
    form: str | None,
    lead: str | None,
    *,
    since: datetime | None,
    until: datetime | None,
    wait: bool,
) -> Target | Choice:
    """The one that is asked for; BadParameter (exit code 2) for none, and for several."""
    asked: dict[Kind, str | None] = {"page": page, "form": form, "lead": lead}
    choices = [Choice(kind=kind, id=id_, since=since, until=until) for kind, id_ in asked.items() if id_ is not None]
    if len(choices) + (to is not None) != 1:
        raise typer.BadParameter("say one of these: --to, --page, --form, --lead.")
    if wait and to is None:
        raise typer.BadParameter("--wait goes with --to: what is sent again is sent when the command ends.")
    if to is None:
        return choices[0]
    if since or until:
        raise typer.BadParameter("--since and --until go with --page, --form or --lead; --to takes a time itself.")
    return target(to)


def _of_details(choice: Choice) -> Judge:
    settings = read(KafkaSettings)
    if choice.kind == "lead":  # its key says it, and no registry is needed
        return of_details(choice, _unasked)
    decode: Decoder[LeadDetails] = Decoder(
        read(RegistrySettings), "LeadDetails", subject=Topics(prefix=settings.topic_prefix).subject(DETAILS)
    )
    return of_details(choice, decode)


def _unasked(_: bytes) -> LeadDetails:
    raise AssertionError("a lead is chosen by its key")


def _send(
    source: str,
    choice: Choice,
    judge: Callable[[], Judge],
    again: Callable[[Received], Parcel],
    *,
    yes: bool,
    rate: int,
    as_json: bool,
) -> None:
    settings = read(KafkaSettings)
    topics = Topics(prefix=settings.topic_prefix)
    with _told(), Reader(settings) as reader:
        start = first_since(admin_client(settings), topics(source), choice.since) if choice.since else {}
        chosen, ends = choose(reader, topics(source), judge(), since=start)
        _show_chosen(source, choice, len(chosen), chosen.unreadable, as_json=as_json)
        if not len(chosen):
            raise ReplayRefused(f"{source} has no such record: nothing to send")
        if not yes:
            typer.echo("Nothing was done. The same with --yes does it.", err=True)
            return
        # Closed before the reader is, however it ends; so nothing else may hold on to what is read.
        going = closing(again(received) for received in chosen.pick(reader.read(topics(source), start, ends)))
        with Reader(settings) as second, going as parcels:
            later = Later(second, topics, ends) if source == DETAILS else None
            sent = send_all(settings, parcels, total=len(chosen), rate=rate, later=later)
    left = f" {len(chosen) - sent} were left: they have a newer record since." if sent < len(chosen) else ""
    typer.echo(f"Done: {sent} sent.{left}", err=True)


def _move(worker: _Worker, to: Target, *, yes: bool, wait: bool, as_json: bool) -> None:
    settings = read(KafkaSettings)
    topics, cluster = Topics(prefix=settings.topic_prefix), admin_client(settings)
    with _told():
        staying = [topics(name) for name in _STAYS[worker]]
        planned = plan(cluster, topics.group(worker), [topics(_MOVES[worker])], to, staying=staying)
        _show(planned, as_json=as_json)
        if planned.refusal:
            raise ReplayRefused(planned.refusal)
        if not yes:
            typer.echo("Nothing was done. The same with --yes does it.", err=True)
            return
        dead_since = waiting.dead_ends(settings) if wait else {}
        apply(cluster, planned)
        typer.echo(f"Done. `{planned.program}` reads on from there.", err=True)
        if wait:
            waiting.wait(settings, _STAGES[worker], planned, dead_since)


@contextmanager
def _told() -> Iterator[None]:
    """What cannot be done is a sentence, and exit code 1."""
    try:
        yield
    except (ReplayRefused, ReadingError, RegistryError, NotSent) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None


def _show_chosen(source: str, choice: Choice, records: int, unreadable: int, *, as_json: bool) -> None:
    goal = AGAIN if source == RAW else DETAILS
    if as_json:
        told = {choice.kind: choice.id, "from": source, "to": goal, "records": records, "unreadable": unreadable}
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(f"{choice.kind} {choice.id}: {records} records of {source} to send to {goal}, one for each lead")
    if unreadable:
        typer.echo(f"  {unreadable} more could not be read, and belong to nobody: see `leadstream dead list`")


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
