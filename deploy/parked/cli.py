"""`leadstream parked`: what waits for a repair, and the way back when nobody wants to wait until it is seen."""

import heapq
import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from deploy.moments import Since
from deploy.sending import USUAL_RATE, NotSent, Parcel, Rate, send_all
from deploy.table import cell, iso, print_aligned
from ingest.meta.pages import PageAccess, Pages
from ingest.reading import Reader, ReadingError
from ingest.records import ACCESS, Topics
from ingest.settings import KafkaSettings, MetaSettings, PagesSettings, SettingsError, read
from processors.access import AccessStates, Standing, access_record

from .release import Entry, Filter, Stock, openings, parcels

parked = typer.Typer(help="Records that wait for a repair: which, why, and the way back by hand.", no_args_is_help=True)

_Reason = Annotated[str | None, typer.Option("--reason", help="Why, such as token-expired.")]
_Page = Annotated[str | None, typer.Option("--page", help="A page's id.")]
_Lead = Annotated[str | None, typer.Option("--lead", help="A lead's id.")]
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

_COLUMNS = ("at", "parked at", "reason", "page", "lead", "origin", "attempt")
_SHOWN = 50  # rows of a plan; --json has all
_HEARD = 2.0  # seconds in which every fetch worker has read what was told on meta.access

Counts = Counter[tuple[str, str]]  # by page and reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a release would do. `openings` pairs how something stands with what opens it."""

    counts: Counts
    openings: Sequence[tuple[Standing, Standing]]
    without_token: Collection[str]  # pages
    keys_unknown: str | None  # the sentence, where a setting is missing that tells which token is a page's


@parked.command(name="list")
def list_(
    *,
    reason: _Reason = None,
    page: _Page = None,
    lead: _Lead = None,
    since: Since = None,
    last: Annotated[int, typer.Option(min=0, help="So many of the newest; the counts are of all.")] = 100,
    as_json: _AsJson = False,
) -> None:
    """What still waits on meta.leadgen.parked, newest last, and the counts. It shows ids, never an answer.

    `work retry` sends it back by itself: what waits for access once it sees that repaired, what is `exhausted` or
    `not-found` once another lead of its page could be read.

    Example: leadstream parked list --reason token-expired --since 2026-11-24T08:00
    """
    wanted = Filter(reason=reason, page_id=page, lead_id=lead, since=since)
    counts: Counts = Counter()
    with _reading() as (settings, reader):
        stock = Stock(reader, Topics(prefix=settings.topic_prefix))
        # Even of none, one: what is counted is counted as it passes.
        told = _counted(stock.entries(reader, wanted), counts)
        newest = heapq.nlargest(max(last, 1), told, key=lambda row: row[0])
    rows = [row for _, row in reversed(newest[:last])]
    if as_json:
        typer.echo(json.dumps({"records": rows, "counts": _count_rows(counts)}, indent=2, default=iso))
        return
    if rows:
        print_aligned([_COLUMNS, *(tuple(cell(value) for value in row.values()) for row in rows)])
        typer.echo()
    _print_counts(counts)
    more = f", the newest {last} of them shown" if counts.total() > last else ""
    typer.echo(f"{counts.total()} parked records wait{more}")


@parked.command()
def release(
    *,
    reason: _Reason = None,
    page: _Page = None,
    lead: _Lead = None,
    since: Since = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")] = False,
    rate: Rate = USUAL_RATE,
    as_json: _AsJson = False,
) -> None:
    """Send parked records back, because you know that what they wait for is repaired.

    Normally nobody needs this: `work retry` looks every ACCESS_CHECK seconds whether a token lives again and whether
    a page's leads may be read, and releases what waits. Use it where that does not see what you know, where it asks
    only every hour by now, or for single leads.

    What is marked broken or in doubt of these pages, their tokens and apps is marked open on meta.access first, or
    fetch would park the records again without asking Meta. `work retry`, where it runs, then releases everything else
    of these pages too. What is still refused is parked again and costs one call. Workers may run meanwhile.

    Example: leadstream parked release --page 106777055130587 --yes
    """
    wanted = Filter(reason=reason, page_id=page, lead_id=lead, since=since)
    with _reading() as (settings, reader):
        topics = Topics(prefix=settings.topic_prefix)
        stock = Stock(reader, topics)
        planned = _plan(stock, reader, topics, wanted)
        _show(planned, as_json=as_json)
        total = planned.counts.total()
        if not (yes and total):
            typer.echo("Nothing was done. The same with --yes does it." if total else "Nothing to send.", err=True)
            return
        opening = [Parcel(record=access_record(opened)) for _, opened in planned.openings]
        if opening:
            send_all(settings, opening, total=len(opening), rate=USUAL_RATE)
            time.sleep(_HEARD)

        def is_planned(entry: Entry) -> bool:
            return wanted(entry) and entry.page_id not in planned.without_token

        # Closed before the readers are, however it ends.
        with Reader(settings) as second, closing(parcels(stock, reader, second, is_planned)) as going:
            sent = send_all(settings, going, total=total, rate=rate)
    left = f" {total - sent} were released by `work retry` meanwhile." if sent < total else ""
    typer.echo(f"Done: {sent} sent.{left} `leadstream parked list` shows what is parked again.", err=True)


@contextmanager
def _reading() -> Iterator[tuple[KafkaSettings, Reader]]:
    settings = read(KafkaSettings)
    try:
        with Reader(settings) as reader:
            yield settings, reader
    except (ReadingError, NotSent) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None


def _plan(stock: Stock, reader: Reader, topics: Topics, wanted: Filter) -> Plan:
    counts: Counts = Counter((entry.page_id, entry.reason) for entry in stock.entries(reader, wanted))
    page_ids = {page_id for page_id, _ in counts}
    try:
        meta, pages = read(MetaSettings), Pages(read(PagesSettings).meta_pages_file)
    except SettingsError as error:
        return Plan(counts=counts, openings=(), without_token=(), keys_unknown=str(error))
    states = AccessStates(secret=meta.meta_app_secrets[0].secret, clock=_now)
    for received in reader.read(topics(ACCESS)):
        states.follow(received)
    found: Mapping[str, PageAccess | None] = {page_id: pages.get(page_id) for page_id in page_ids}
    without_token = {page_id for page_id, access in found.items() if access is None}
    return Plan(
        counts=Counter({told: number for told, number in counts.items() if told[0] not in without_token}),
        openings=openings(states, filter(None, found.values()), now=_now()),
        without_token=without_token,
        keys_unknown=None,
    )


def _counted(entries: Iterable[Entry], counts: Counts) -> Iterator[tuple[tuple[int, int, int], dict[str, object]]]:
    for entry in entries:
        counts[entry.page_id, entry.reason] += 1
        received = entry.received
        values = (
            entry.place,
            entry.parked_at,
            entry.reason,
            entry.page_id,
            entry.lead_id,
            received.origin,
            entry.attempt,
        )
        row: dict[str, object] = dict(zip((name.replace(" ", "_") for name in _COLUMNS), values, strict=True))
        yield (received.timestamp, received.partition, received.offset), row


def _show(planned: Plan, *, as_json: bool) -> None:
    if as_json:
        opening = [
            {"key": was.key, "state": was.state, "reason": was.reason, "page": opened.page_id}
            for was, opened in planned.openings
        ]
        told = {
            "send": _count_rows(planned.counts),
            "open": opening,
            "without_token": sorted(planned.without_token),
            "keys_unknown": planned.keys_unknown,
        }
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(f"{planned.counts.total()} parked records to send back")
    _print_counts(planned.counts)
    if planned.openings:
        typer.echo(f"{len(planned.openings)} to be marked open on meta.access")
        print_aligned(
            [
                (f"  {was.state}", was.reason, f"page {opened.page_id}", was.key)
                for was, opened in planned.openings[:_SHOWN]
            ]
        )
        _print_more(len(planned.openings))
    if planned.without_token:
        typer.echo("Left alone, as META_PAGES_FILE has no token of their page:")
        print_aligned([(f"  page {page_id}",) for page_id in sorted(planned.without_token)[:_SHOWN]])
        _print_more(len(planned.without_token))
    if planned.keys_unknown is not None and planned.counts:
        typer.echo(
            "Nothing is marked open, and what is still marked broken on meta.access will be parked again without a"
            f" call. For that, set as `work fetch` has it:\n{planned.keys_unknown}"
        )


def _print_counts(counts: Counts) -> None:
    print_aligned(
        [(f"  {number}", reason, f"page {page_id}") for (page_id, reason), number in counts.most_common(_SHOWN)]
    )
    _print_more(len(counts))


def _print_more(rows: int) -> None:
    if rows > _SHOWN:
        typer.echo(f"  and {rows - _SHOWN} rows more: --json has all of them")


def _count_rows(counts: Counts) -> list[dict[str, object]]:
    return [
        {"page": page_id, "reason": reason, "records": number} for (page_id, reason), number in sorted(counts.items())
    ]


def _now() -> int:
    return time.time_ns() // 1_000_000
