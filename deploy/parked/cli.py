"""`leadstream parked`: what waits for a repair, and its way back for those who do not wait until it is seen."""

import heapq
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Annotated

import typer

from deploy.moments import Since
from deploy.reading import reading
from deploy.sending import USUAL_RATE, Parcel, Rate, send_all
from deploy.table import cell, iso, print_aligned
from ingest.meta.pages import Pages
from ingest.reading import Reader
from ingest.records import Topics
from ingest.settings import MetaSettings, PagesSettings, read
from processors.access import AccessStates, access_record

from .release import Counts, Opening, Plan, parcels, plan
from .stock import Entry, Filter, Stock

parked = typer.Typer(help="Records that wait for a repair: which, why, and the way back by hand.", no_args_is_help=True)

_Reason = Annotated[str | None, typer.Option("--reason", help="Why, such as token-expired.")]
_Page = Annotated[str | None, typer.Option("--page", metavar="ID", help="A page's id.")]
_Lead = Annotated[str | None, typer.Option("--lead", metavar="ID", help="A lead's id.")]
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

_COLUMNS = ("at", "parked at", "reason", "page", "lead", "origin", "attempt")
_HEARD = 2.0  # seconds in which every fetch worker has read what was told on meta.access


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
    with reading() as (settings, reader):
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
    print_aligned([(str(number), f"page {page_id}", why) for (page_id, why), number in sorted(counts.items())])
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
    """Send parked records back to meta.leadgen.again, because you know that what they wait for is repaired.

    Normally nobody needs this: `work retry` looks every ACCESS_CHECK seconds whether a token is alive and a page's
    leads may be read, and then releases what waits. Use it if you do not want to wait for its next look, which is up
    to an hour away where an earlier repair did not hold, or if you know better than what Meta tells it.

    What is marked broken or in doubt of these pages, their tokens and apps is marked open on meta.access first, or
    fetch would park the records again without asking Meta. Where `work retry` runs, that makes it release all else
    that waits for the same. A page that is paused, or has no token in META_PAGES_FILE, is refused.

    What Meta still refuses is parked again: it costs a few calls, and loses nothing. A lead that is still not found
    though others of its page were read since becomes a dead letter. Workers may run meanwhile.

    Example: leadstream parked release --page 106777055130587 --yes
    """
    wanted = Filter(reason=reason, page_id=page, lead_id=lead, since=since)
    # They tell which pages share a token or an app.
    secrets, pages = read(MetaSettings).meta_app_secrets, Pages(read(PagesSettings).meta_pages_file)
    with reading() as (settings, reader):
        topics = Topics(prefix=settings.topic_prefix)
        stock = Stock(reader, topics)
        states = AccessStates(secret=secrets[0].secret, clock=_now)
        planned = plan(stock, reader, topics, wanted, states=states, pages=pages, now=_now())
        _show(planned, as_json=as_json)
        if not (yes and planned.total):
            said = "Nothing was done. The same with --yes does it." if planned.total else "Nothing to send."
            typer.echo(said, err=True)
            return
        if planned.openings:
            opened = [Parcel(record=access_record(each.opened)) for each in planned.openings]
            send_all(settings, opened, total=len(opened), rate=rate)
            time.sleep(_HEARD)  # nobody tells when they have; too early costs a parking, never a record

        def is_going(entry: Entry) -> bool:
            return wanted(entry) and entry.page_id not in planned.because

        # Closed before the readers are, however it ends; so nothing else may hold on to what is read.
        with Reader(settings) as second, closing(parcels(stock, reader, second, is_going, every=rate)) as going:
            sent = send_all(settings, going, total=planned.total, rate=rate)
    left = f" {planned.total - sent} went by themselves meanwhile." if sent < planned.total else ""
    typer.echo(f"Done: {sent} sent.{left} `leadstream parked list` shows what is parked again.", err=True)


def _counted(entries: Iterable[Entry], counts: Counts) -> Iterator[tuple[tuple[int, int, int], dict[str, object]]]:
    for entry in entries:
        counts[entry.page_id, entry.reason] += 1
        received = entry.received
        values: tuple[object, ...] = (
            entry.place,
            entry.parked_at,
            entry.reason,
            entry.page_id,
            entry.lead_id,
            received.origin,
            entry.attempt,
        )
        row = dict(zip((name.replace(" ", "_") for name in _COLUMNS), values, strict=True))
        yield (received.timestamp, received.partition, received.offset), row


def _show(planned: Plan, *, as_json: bool) -> None:
    going: Counts = Counter({told: number for told, number in planned.counts.items() if told[0] not in planned.because})
    left: Counts = Counter(planned.counts - going)
    if as_json:
        leave = [row | {"because": planned.because[str(row["page"])]} for row in _count_rows(left)]
        opened = [
            {"key": each.was.key, "state": each.was.state, "reason": each.was.reason, "page": each.opened.page_id}
            for each in planned.openings
        ]
        typer.echo(json.dumps({"send": _count_rows(going), "open": opened, "leave": leave}, indent=2))
        return
    typer.echo(f"{planned.total} parked records to send back")
    print_aligned([(f"  {number}", f"page {page_id}", why) for (page_id, why), number in sorted(going.items())])
    if planned.openings:
        typer.echo(f"{len(planned.openings)} to be marked open")
        print_aligned([_opening(each) for each in planned.openings])
    if left:
        typer.echo(f"{left.total()} left alone")
        print_aligned(
            [
                (f"  {number}", f"page {page_id}", why, planned.because[page_id])
                for (page_id, why), number in sorted(left.items())
            ]
        )


def _opening(each: Opening) -> tuple[str, ...]:
    # A token's key is a hash, which tells a person nothing.
    scope, _, name = each.was.key.partition(":")
    what = f"the token of page {each.opened.page_id}" if scope == "token" else f"{scope} {name}"
    return (f"  {what}", each.was.state, each.was.reason)


def _count_rows(counts: Counts) -> list[dict[str, object]]:
    return [
        {"page": page_id, "reason": reason, "records": number} for (page_id, reason), number in sorted(counts.items())
    ]


def _now() -> int:
    return time.time_ns() // 1_000_000
