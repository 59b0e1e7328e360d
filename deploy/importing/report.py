"""What became of the rows, for a person and for a program. Lines and reasons, never what stood in them."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import typer

from deploy.table import print_aligned
from ingest.importing import Refusal, Tally

from .running import Order, Report

_SHOWN = 20


class Refusals:
    """Those of a run: counted, the first ones kept, or `every` one; and each written to a file as it comes."""

    def __init__(self, *, every: bool, file: TextIO | None) -> None:
        self.kept: list[Refusal] = []
        self.reasons: Counter[str] = Counter()
        self._every = every
        self._rows = None if file is None else csv.writer(file)
        if self._rows is not None:
            self._rows.writerow(("file", "line", "last_line", "reason", "what_to_do"))

    def add(self, refusal: Refusal) -> None:
        self.reasons[refusal.reason] += 1
        if self._every or len(self.kept) < _SHOWN:
            self.kept.append(refusal)
        if self._rows is not None:
            told = (refusal.file, refusal.line, refusal.last_line, refusal.reason, refusal.sentence)
            self._rows.writerow(told)


@contextmanager
def opened(path: Path | None) -> Iterator[TextIO | None]:
    """The file for refusals; BadParameter where it cannot be written."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from None
    with file:
        yield file


def in_json(order: Order, report: Report, refusals: Refusals, failure: str | None) -> dict[str, object]:
    """All of it. `taken` is what would be taken, where `done` is false because --yes was not given."""
    total = _total(report)
    return {
        "done": order.writes and failure is None,
        "failure": failure,
        "sources": [
            {"name": name, "rows": rows, "unread": report.unread.get(name)} for name, rows in report.rows.items()
        ],
        **asdict(total),
        "forms": [
            {"form": form, "page": report.pages.get(form or ""), **asdict(tally)}
            for form, tally in report.tallies.items()
        ],
        "reasons": dict(refusals.reasons.most_common()),
        "refusals": [asdict(refusal) | {"what_to_do": refusal.sentence} for refusal in refusals.kept],
        "mended": None if report.mended is None else asdict(report.mended),
    }


def show(order: Order, report: Report, refusals: Refusals) -> None:
    """On stdout, for a person."""
    columns = ("form", "page", "rows", "taken" if order.writes else "to take", "already known", "erased", "repeated")
    if report.tallies:
        total = _total(report)
        rows = [(form or "(not told)", report.pages.get(form or "") or "-", each) for form, each in _named(report)]
        print_aligned(
            [
                (*columns, "refused"),
                *((name, page, *_cells(tally)) for name, page, tally in rows),
                *([("all", "", *_cells(total))] if len(rows) > 1 else []),
            ]
        )
    for name, why in report.unread.items():
        typer.echo(f"{name}: {why}.")
    if refusals.reasons:
        count = refusals.reasons.total()
        typer.echo(f"\n{count} row{' was' if count == 1 else 's were'} refused:")
        for (file, sentence), lines in _alike(refusals.kept[:_SHOWN]).items():
            typer.echo(f"  {file}, line{'s' if len(lines) > 1 else ''} {', '.join(lines)}: {sentence}.")
        if (more := count - _SHOWN) > 0:
            typer.echo(f"  and {more} more: --refused FILE.csv writes all of them to a file, --json shows them.")
    if report.mended is not None and (report.mended.leads or report.mended.gone or report.mended.left):
        _show_mended(report)


def what_now(report: Report) -> str:
    """Where --yes was not given: whether it would do anything."""
    if not any(each.taken for each in report.tallies.values()):
        return "Nothing was done, and there is nothing to take."
    return "Nothing was done. The same with --yes does it."


def _alike(refusals: list[Refusal]) -> dict[tuple[str, str], list[str]]:
    """The lines that were refused for the same reason, in the order of the first of them."""
    alike: dict[tuple[str, str], list[str]] = {}
    for each in refusals:
        lines = str(each.line) if each.line == each.last_line else f"{each.line}-{each.last_line}"
        alike.setdefault((each.file, each.sentence), []).append(lines)
    return alike


def _show_mended(report: Report) -> None:
    mended = report.mended
    assert mended is not None  # noqa: S101  its caller has looked
    if mended.leads:
        typer.echo(f"{mended.leads} leads had poorer records over richer ones; the richer ones are back.")
    for leads, why in (
        (mended.gone, "the richer record is gone from details"),
        (mended.left, "others keep writing it"),
    ):
        if leads:
            some = ", ".join(leads[:3]) + (" ..." if len(leads) > 3 else "")  # noqa: PLR2004  as many as fit a line
            typer.echo(
                f"{len(leads)} leads have a poorer record over a richer one, and {why}:"
                f" `leadstream replay fetch --lead ID --yes` asks Meta again for {some}"
            )


def _named(report: Report) -> list[tuple[str | None, Tally]]:
    return sorted(report.tallies.items(), key=lambda each: (each[0] is None, each[0] or ""))


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (tally.rows, tally.taken, tally.known, tally.erased, tally.repeated, tally.refused)
    return tuple(f"{count:,}" for count in counts)


def _total(report: Report) -> Tally:
    total = Tally()
    for each in report.tallies.values():
        total.taken += each.taken
        total.known += each.known
        total.erased += each.erased
        total.repeated += each.repeated
        total.refused += each.refused
    return total
