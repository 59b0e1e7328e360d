"""What a backfill will do, and what it has done: in a table for a person, as JSON for a program."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import typer

from deploy.table import cell, print_aligned
from ingest.backfill import Stand
from ingest.bulk import MOST_AT_ONCE

from .checkpoint import Checkpoint
from .choosing import Edge, Unfound

_CALLS_PER_LEAD = (
    4800  # a day, for each lead of 90 days: overview/rate-limiting. An estimate; its headers are the truth
)
_NAME = 40  # columns

_TOKEN = "put a new token of the page into META_PAGES_FILE"  # noqa: S105  a sentence
_RIGHTS = "give the app and the token's user access to the page's leads (Leads Access Manager, leads_retrieval)"
_LATER = "Meta did not answer: run it again later"
_REMEDIES: Mapping[str, str] = {
    "no-token": "no token in META_PAGES_FILE opens it: `leadstream pages add` adds the page's",
    "not-found": "check the id; if it is right, the token may not see it: " + _RIGHTS,
    "permission": _RIGHTS,
    "capability": _RIGHTS,
    "blocked": "Meta has blocked the token for a while: run it again in some hours",
    **dict.fromkeys(("bad-field", "bad-ask", "bad-id"), "Meta refuses to be asked so: check the id"),
    **dict.fromkeys(
        (
            *("session", "token-invalid", "token-expired", "app-not-installed", "checkpointed"),
            *("password-changed", "unconfirmed", "page-role", "app-secret"),
        ),
        _TOKEN,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What there is to tell: the edges as far as they are, why some are no further, and what was not found at all."""

    checkpoint: Checkpoint
    unfound: Sequence[Unfound]
    failed: Mapping[Edge, str] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)  # percent of its budget, by page

    @property
    def whole(self) -> bool:
        """Whether every lead that was to be had is here."""
        stands = [self.checkpoint.of(edge) for edge in self.checkpoint.edges]
        return not self.unfound and all(stand.done and not stand.refused and not stand.unreadable for stand in stands)


def remedy(reason: str) -> str:
    """What to do about what Meta, or we, have said."""
    return _REMEDIES.get(reason, _LATER)


def show_plan(outcome: Outcome) -> None:
    checkpoint = outcome.checkpoint
    rows = [("", "id", "page", "name", "at Meta", "read so far", "calls")]
    for edge in checkpoint.edges:
        stand = checkpoint.of(edge)
        rows.append(
            (
                edge.kind,
                edge.edge_id,
                edge.page_id,
                _name(edge),
                cell(at_meta(edge)),
                str(stand.read),
                cell(calls(edge, stand)),
            )
        )
    if checkpoint.edges:
        print_aligned(rows)
        typer.echo()
    typer.echo(_span(checkpoint))
    for page_id, edges in _by_page(checkpoint.edges).items():
        budget = _CALLS_PER_LEAD * sum(at_meta(edge) or 0 for edge in edges)
        used = outcome.used.get(page_id)
        said = "" if used is None else f", {max(0.0, 100 - used):.0f} % of its budget left"
        typer.echo(
            f"page {page_id}: about {sum(calls(edge, checkpoint.of(edge)) or 1 for edge in edges)} calls; "
            f"Meta allows about {budget} a day for that many leads{said}"
        )
    _show_unfound(outcome.unfound)


def show_report(outcome: Outcome) -> None:
    rows: list[tuple[str, ...]] = [
        ("", "id", "page", "name", "at Meta", "read", "written", "already here", "outside the dates", "")
    ]
    for edge in outcome.checkpoint.edges:
        stand = outcome.checkpoint.of(edge)
        end = outcome.failed.get(edge, "done" if stand.done else "not begun")
        counts = (cell(at_meta(edge)), str(stand.read), str(stand.written), str(stand.here), str(stand.outside))
        rows.append((edge.kind, edge.edge_id, edge.page_id, _name(edge), *counts, end))
    if len(outcome.checkpoint.edges) > 1:
        stands = [outcome.checkpoint.of(edge) for edge in outcome.checkpoint.edges]
        sums = (sum(each) for each in zip(*((s.read, s.written, s.here, s.outside) for s in stands), strict=True))
        rows.append(("all", "", "", "", "", *map(str, sums), ""))
    if outcome.checkpoint.edges:
        print_aligned(rows)
        typer.echo()
    typer.echo(_span(outcome.checkpoint))
    for edge in outcome.checkpoint.edges:
        for line in _notes(edge, outcome.checkpoint.of(edge)):
            typer.echo(line)
    for (page_id, reason), edges in _lost(outcome.failed).items():
        which = ", ".join(f"{edge.kind} {edge.edge_id}" for edge in edges)
        typer.echo(f"page {page_id}: {reason}: {remedy(reason)}. Not read to the end: {which}")
    _show_unfound(outcome.unfound)


def in_json(outcome: Outcome) -> dict[str, object]:
    """All of it; times are unix seconds."""
    return {
        "since": outcome.checkpoint.since,
        "until": outcome.checkpoint.until,
        "whole": outcome.whole,
        "read": [
            _row(edge, outcome.checkpoint.of(edge), outcome.failed.get(edge)) for edge in outcome.checkpoint.edges
        ],
        "unfound": [
            {each.kind: each.of, "reason": each.reason, "what_to_do": remedy(each.reason)} for each in outcome.unfound
        ],
    }


def at_meta(edge: Edge) -> int | None:
    """How many leads Meta may still give, whatever their dates; None where it does not say."""
    return None if edge.counted is None else edge.counted.readable


def calls(edge: Edge, stand: Stand) -> int | None:
    """About how many calls are left; None where Meta does not say how many leads there are."""
    total = at_meta(edge)
    if stand.done:
        return 0
    return None if total is None else max(1, -(-(total - stand.read - stand.outside) // MOST_AT_ONCE))


def _row(edge: Edge, stand: Stand, reason: str | None) -> dict[str, object]:
    return {
        edge.kind: edge.edge_id,
        "page": edge.page_id,
        "at_meta": at_meta(edge),
        "read": stand.read,
        "written": stand.written,
        "already_here": stand.here,
        "outside_the_dates": stand.outside,
        "unreadable": stand.unreadable,
        "refused": [{"lead": lead_id, "reason": why} for lead_id, why in stand.refused],
        "missing_fields": list(stand.missing_fields),
        "done": stand.done,
        "calls_left": calls(edge, stand),
        "reason": reason,
        "what_to_do": None if reason is None else remedy(reason),
    }


def _notes(edge: Edge, stand: Stand) -> Iterator[str]:
    if stand.missing_fields:
        yield f"{edge.kind} {edge.edge_id}: the token may not read {', '.join(stand.missing_fields)}"
    if stand.unreadable:
        yield f"{edge.kind} {edge.edge_id}: {stand.unreadable} elements have no id or no time, and are no leads"
    for lead_id, why in stand.refused:
        yield f"lead {lead_id} cannot be written: {why}"


def _show_unfound(unfound: Sequence[Unfound]) -> None:
    for each in unfound:
        typer.echo(f"{each.kind} {each.of} cannot be read: {each.reason}: {remedy(each.reason)}")


def _by_page(edges: Sequence[Edge]) -> dict[str, list[Edge]]:
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.page_id, []).append(edge)
    return found


def _lost(failed: Mapping[Edge, str]) -> dict[tuple[str, str], list[Edge]]:
    found: dict[tuple[str, str], list[Edge]] = {}
    for edge, reason in failed.items():
        found.setdefault((edge.page_id, reason), []).append(edge)
    return found


def _name(edge: Edge) -> str:
    """One line that does nothing to a terminal: people name forms as they like."""
    name = edge.counted.name if edge.counted else ""
    return "".join(each if each.isprintable() else " " for each in name)[:_NAME]


def _span(checkpoint: Checkpoint) -> str:
    since = "all that Meta still has" if checkpoint.since is None else f"given since {_time(checkpoint.since)}"
    return f"Leads: {since}, before {_time(checkpoint.until)}."


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
