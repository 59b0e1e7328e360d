"""`leadstream status`: whether every acknowledged lead is accounted for, how far the workers are, what is held up."""

import json
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from deploy.moments import Since, Until
from ingest.reading import ReadingError
from ingest.records import LEADS
from ingest.settings import KafkaSettings, read

from .counting import Account
from .judging import KINDS
from .taking import FOR_EVER, AccountError, take_account
from .targets import MAP_KINDS
from .words import ago, counted, moment, verdict

_MUCH = 50_000  # records; less is read in a second
_WIDE = 120  # columns where there is no terminal to ask


def status(
    *,
    since: Since = None,
    until: Until = None,
    page: Annotated[str | None, typer.Option("--page", metavar="ID", help="Of this page only.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Pages too of which every lead is fetched.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="The file that remembers what was read; it can be deleted.", show_default="your state folder"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, for programs.")] = False,
) -> None:
    """Is every acknowledged lead accounted for? And what waits, for what, and since when.

    Every record on meta.leadgen.raw has become something that a topic tells, or will still be read. One that has not
    is lost, and this exits 1. --since and --until are of when it was acknowledged. The first time all topics are read,
    after that only what is new.

    Example: leadstream status --since 2026-11-24 --page 106777055130587
    """
    settings = read(KafkaSettings)
    try:
        with _Reading() as reading:
            account = take_account(
                settings, state, since=since, until=until, page=page, told=reading.told, waiting=reading.wait
            )
    except (AccountError, ReadingError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    for note in account.notes:
        typer.echo(note, err=True)
    if as_json:
        typer.echo(json.dumps(in_json(account), indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        if not console.is_terminal:
            console.width = _WIDE
        show(account, console, every=every)
    raise typer.Exit(0 if account.holds else 1)


def in_json(account: Account) -> dict[str, object]:
    """All of it; times are unix milliseconds, and `until` is None where no end was asked for."""
    return {
        "now": account.now,
        **asdict(account.asked),
        "until": account.asked.until if account.asked.until < FOR_EVER else None,
        "accounted_for": account.holds,
        "verdict": verdict(account),
        "total": account.total,
        "pages": account.pages,
        "door": account.door,
        "map": account.targets,
        "lag": {group: asdict(lag) for group, lag in account.lags.items()},
        "access": [asdict(each) for each in account.access],
        "dead": [
            {"stage": stage, "target": target or None, "reason": why, "letters": number}
            for (stage, target, why), number in account.dead.items()
        ],
        "parked": account.parked,
        "lost": asdict(account.lost),
        "notes": account.notes,
    }


def show(account: Account, console: Console, *, every: bool) -> None:
    """For a person; `every` page, or those only of which something waits, failed or was left out."""
    console.print(_pages(account, every=every))
    console.print()
    _show_targets(account, console)
    if account.door:
        console.print(
            f"the door  {counted(account.door)}: what it could not read (`leadstream dead list --stage ingest`)"
        )
    for group, lag in account.lags.items():
        since = "" if lag.oldest is None else f", the oldest {ago(lag.oldest, account.now)} old"
        console.print(
            f"{group:<8}  " + (f"{lag.records} records to read{since}" if lag.records else "has read everything")
        )
    for each in account.access:
        whose = f" (page {each.page_id})" if each.page_id and each.key != f"page:{each.page_id}" else ""
        until = "" if each.until is None else f" until {moment(each.until)}"
        console.print(f"access    {each.key}{whose} is {each.state}{until}: {each.reason}")
    for reason, number in sorted(account.parked.items()):
        console.print(f"parked    {number} {reason}")
    for (stage, target, reason), number in sorted(account.dead.items()):
        console.print(f"dead      {number} {stage}{f' {target}' if target else ''} {reason}")
    console.print()
    console.print(verdict(account), style="" if account.holds else "bold red")


def _show_targets(account: Account, console: Console) -> None:
    totals = {topic: sum(counts.values()) for topic, counts in account.targets.items()}
    name, number = max(map(len, totals)) + 1, max(len(str(total)) for total in totals.values())
    for topic, of_map in account.targets.items():
        found = counted({kind: of_map.get(kind, 0) for kind in MAP_KINDS}) or "none yet"
        console.print(f"map       {topic + ':':<{name}} {totals[topic]:>{number}} leads = {found}")
    if any(of_map.get("skipped") for topic, of_map in account.targets.items() if topic != LEADS):
        console.print(
            "          skipped: left out by the target's filter; or mapped before the target was there, and then"
            " `leadstream replay map --to earliest` brings them"
        )


def _pages(account: Account, *, every: bool) -> Table:
    shown = {
        page: counts
        for page, counts in account.pages.items()
        if every or page == account.asked.page or any(number for kind, number in counts.items() if kind != "fetched")
    }
    kinds = [kind for kind in KINDS if account.total.get(kind) or kind in ("fetched", "lost")]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("page")
    for kind in ("records", *kinds):
        table.add_column(kind, justify="right")
    for name, counts in shown.items():
        table.add_row(name, str(sum(counts.values())), *(str(counts.get(kind, 0)) for kind in kinds))
    total = account.total
    label = f"all {len(account.pages)} pages" if len(account.pages) != 1 else "all of 1 page"
    table.add_row(label, str(sum(total.values())), *(str(total[kind]) for kind in kinds), style="bold")
    return table


class _Reading(AbstractContextManager["_Reading"]):
    """What is said on stderr while there is much to read."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("reading", total=None)
        self._shown = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def wait(self) -> None:
        typer.echo("waiting for another `leadstream status`", err=True)

    def told(self, done: int, total: int) -> None:
        if total < _MUCH:
            return
        self._bar.start()
        self._bar.update(self._task, completed=done, total=total)
        if self._bar.disable and (done - self._shown >= 10 * _MUCH or done == total):
            self._shown = done
            typer.echo(f"{done} of {total} records read", err=True)
