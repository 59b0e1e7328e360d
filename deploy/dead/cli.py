"""`leadstream dead`: what was given up and why, and the way back once the reason is gone."""

import heapq
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Annotated, TypeVar

import typer

from deploy.moments import Since
from deploy.reading import reading
from deploy.sending import USUAL_RATE, Later, Rate, send_all
from deploy.table import cell, iso, print_aligned
from ingest.reading import Reader
from ingest.records import DEAD, Received, Stage, Topics

from .ledger import Filter, Letter, State, read_letter
from .redrive import Plan, letters, open_letters, parcels, plan, take_stock

dead = typer.Typer(help="Records that were given up: which, why, and the way back.", no_args_is_help=True)

_Stage = Annotated[Stage | None, typer.Option("--stage", help="Where they failed.")]
_Reason = Annotated[str | None, typer.Option("--reason", help="Why, such as not-found.")]
_Target = Annotated[str | None, typer.Option("--target", help="For which target of a mapping file, such as sales.v1.")]
_Page = Annotated[
    str | None, typer.Option("--page", metavar="ID", help="A page's id; those of stage map do not tell theirs.")
]
_Lead = Annotated[str | None, typer.Option("--lead", metavar="ID", help="A lead's id.")]
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

_Told = TypeVar("_Told", bound=tuple[str | None, ...])
_Count = tuple[str, str | None, str, State]  # stage, target, reason
_COLUMNS = ("at", "failed at", "stage", "target", "reason", "fields", "page", "lead", "origin", "attempt", "state")


@dead.command(name="list")
def list_(
    *,
    stage: _Stage = None,
    reason: _Reason = None,
    target: _Target = None,
    page: _Page = None,
    lead: _Lead = None,
    since: Since = None,
    last: Annotated[int, typer.Option(min=0, help="So many of the newest; the counts are of all.")] = 100,
    as_json: _AsJson = False,
) -> None:
    """What lies on meta.leadgen.dead, newest last, and the counts by target and reason. It shows ids, never an answer.

    `superseded` is one whose record died again later, or came to another end.

    Example: leadstream dead list --reason not-found --since 2026-11-24T08:00
    """
    wanted = Filter(stage=stage, reason=reason, target=target, page_id=page, lead_id=lead, since=since)
    counts: Counter[_Count] = Counter()
    with reading() as (settings, reader):
        topics = Topics(prefix=settings.topic_prefix)
        found = letters(reader, topics, take_stock(reader, topics), wanted)
        # Even of none, one: what is counted is counted as it passes.
        newest = heapq.nlargest(max(last, 1), _counted(found, counts), key=lambda told: told[0])
    rows = [told for _, told in reversed(newest[:last])]
    if as_json:
        typer.echo(json.dumps({"letters": rows, "counts": _count_rows(counts)}, indent=2, default=iso))
        return
    if rows:
        print_aligned([_COLUMNS, *(tuple(_cell(value) for value in row.values()) for row in rows)])
        typer.echo()
    print_aligned([(str(number), *map(cell, told)) for told, number in _in_order(counts)])
    typer.echo(f"{counts.total()} dead letters{f', the newest {last} of them shown' if counts.total() > last else ''}")


@dead.command()
def show(
    coordinates: Annotated[str, typer.Argument(help="<partition>@<offset>, as `dead list` has it.")],
    raw: Annotated[bool, typer.Option("--raw", help="The untouched bytes, and nothing else.")] = False,
) -> None:
    """One dead letter, with its headers and its bytes. Those of stage map and update may hold what a person said.

    Example: leadstream dead show 2@17 --raw > letter.avro
    """
    partition, _, offset = coordinates.partition("@")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{coordinates} is no <partition>@<offset>, such as 2@17.")
    with reading() as (settings, reader):
        received = _at(reader, Topics(prefix=settings.topic_prefix)(DEAD), int(partition), int(offset))
    if received is None:
        typer.echo(f"leadstream: there is no dead letter at {coordinates}: `leadstream dead list` has them", err=True)
        raise typer.Exit(1)
    found = read_letter(received)
    if found.stage in ("map", "update"):
        typer.echo("This may hold a person's answers: keep it no longer than you need it.", err=True)
    if raw:
        sys.stdout.buffer.write(received.value or b"")
        return
    print_aligned(
        [
            ("key", "-" if received.key is None else received.key.decode("utf-8", "replace")),
            *((name, value.decode("utf-8", "replace")) for name, value in received.headers),
        ]
    )
    typer.echo()
    typer.echo("(no value)" if received.value is None else received.value.decode("utf-8", "backslashreplace"))


@dead.command()
def redrive(
    *,
    stage: _Stage = None,
    reason: _Reason = None,
    target: _Target = None,
    page: _Page = None,
    lead: _Lead = None,
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")] = False,
    rate: Rate = USUAL_RATE,
    as_json: _AsJson = False,
) -> None:
    """Send open dead letters back, once what killed them is repaired.

    Those of fetch, and of the door if it could read them now, go to meta.leadgen.again; those of updates to
    meta.leadgen.updates; those of map to meta.leadgen.details, unless their lead has a newer answer or was erased.
    There a lead goes once and whole, and is mapped for all targets again, which does those no harm that have it: they
    are keyed.

    A letter that was sent is open no more, so a second redrive sends nothing; if it dies again, there is a new one.
    When this is killed in between, up to a batch is sent twice, which does no harm. Workers may run meanwhile.

    Example: leadstream dead redrive --reason not-found --page 106777055130587 --yes
    """
    wanted = Filter(stage=stage, reason=reason, target=target, page_id=page, lead_id=lead, since=since)
    with reading() as (settings, reader):
        topics = Topics(prefix=settings.topic_prefix)
        stock = take_stock(reader, topics)
        planned = plan(reader, topics, stock, wanted)
        total = planned.records
        _show(planned, as_json=as_json)
        if not (yes and total):
            typer.echo("Nothing was done. The same with --yes does it." if total else "Nothing to send.", err=True)
            return
        # Closed before the reader is, however it ends; so nothing else may hold on to what is read.
        going = closing(parcels(open_letters(reader, topics, stock, wanted), planned))
        with Reader(settings) as second, going as each:
            later = Later(second, topics, planned.details_ends)
            sent = send_all(settings, each, total=total, rate=rate, later=later)
    left = f" {total - sent} were left: they have a newer answer since." if sent < total else ""
    typer.echo(f"Done: {sent} sent.{left} `leadstream dead list` shows what dies again.", err=True)


def _at(reader: Reader, topic: str, partition: int, offset: int) -> Received | None:
    elsewhere = {number: end for number, (_, end) in reader.bounds(topic).items() if number != partition}
    # A number beyond what Kafka counts to is not there either.
    place = min(offset, 2**62)
    found = reader.read(topic, since={**elsewhere, partition: place}, until={**elsewhere, partition: place + 1})
    return next((received for received in found if received.offset == offset), None)


def _counted(
    found: Iterable[tuple[Letter, State]], counts: Counter[_Count]
) -> Iterator[tuple[tuple[int, int, int], dict[str, object]]]:
    for letter, state in found:
        counts[letter.stage, letter.target, letter.reason, state] += 1
        received = letter.received
        yield (received.timestamp, received.partition, received.offset), _told(letter, state)


def _told(letter: Letter, state: State) -> dict[str, object]:
    values = (
        letter.place,
        letter.failed_at,
        letter.stage,
        letter.target,
        letter.reason,
        letter.fields,
        letter.page_id,
        letter.lead_id,
        letter.received.origin,
        letter.attempt,
        state,
    )
    return dict(zip((name.replace(" ", "_") for name in _COLUMNS), values, strict=True))


def _show(planned: Plan, *, as_json: bool) -> None:
    ways = [(*told, number) for told, number in _in_order(planned.ways)]
    refusals = [(*told, number) for told, number in _in_order(planned.refusals)]
    if as_json:
        told = ("stage", "target", "reason")
        plan_rows = [dict(zip((*told, "to", "letters"), row, strict=True)) for row in ways]
        left_rows = [dict(zip((*told, "because", "letters"), row, strict=True)) for row in refusals]
        sums = {"records": planned.records, "others": planned.others}
        typer.echo(json.dumps({"send": plan_rows, **sums, "leave": left_rows}, indent=2))
        return
    typer.echo(f"{planned.ways.total()} dead letters to send back")
    print_aligned([(f"  {number}", *map(cell, told), f"to {topic}") for *told, topic, number in ways])
    if planned.records < planned.ways.total() + planned.others:
        others = f", and {planned.others} other dead letters of these leads with them" if planned.others else ""
        typer.echo(f"as {planned.records} records, one for each lead{others}")
    if refusals:
        typer.echo(f"{planned.refusals.total()} without a way back")
        print_aligned([(f"  {number}", *map(cell, told), why) for *told, why, number in refusals])


def _count_rows(counts: Counter[_Count]) -> list[dict[str, object]]:
    return [
        {"stage": stage, "target": target, "reason": reason, "state": state, "letters": number}
        for (stage, target, reason, state), number in _in_order(counts)
    ]


def _in_order(counts: Counter[_Told]) -> list[tuple[_Told, int]]:
    return sorted(counts.items(), key=lambda told: tuple(part or "" for part in told[0]))


def _cell(value: object) -> str:
    return cell((",".join(value) or None) if isinstance(value, tuple) else value)
