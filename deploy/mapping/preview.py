"""`leadstream mapping preview`: real leads through a mapping file before it goes live. It writes nothing anywhere.

People's answers are shown, for that is asked, and on stdout only.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from deploy.reading import Decoder, reading
from deploy.table import print_aligned
from ingest.codec import DecodeError
from ingest.reading import Reader
from ingest.records import DETAILS, Topics
from ingest.registry import NotRegistered, RegistryError
from ingest.settings import RegistrySettings, read
from processors.mapping.file import UNMAPPED
from processors.mapping.reading import BadMapping, read_file
from processors.mapping.target import Target
from schemas.shapes import LeadDetails

from .trial import Live, Summary, Tried, live_records, newest, of_leads, read_leads, try_lead

_SHORT = 12  # characters of a hash


def preview(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A mapping file, live or not.")],
    *,
    last: Annotated[int, typer.Option(min=1, help="So many of the leads that came last.")] = 50,
    lead: Annotated[list[str] | None, typer.Option("--lead", help="This lead instead; may be given again.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Show only leads that fail; all are counted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """What a mapping file makes of leads that are there, beside what its topic has of them now.

    It shows people's answers and writes nothing. Exit code 1: leads failed, and would be dead letters of this target.

    Example: leadstream mapping preview mappings/sales.yaml --last 20
    """
    try:
        target = Target(read_file(file).mapping)
        summary = Summary()
        tried = list(_try(target, last, lead or [], summary))
    except (BadMapping, DecodeError, RegistryError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    for missing in sorted(set(lead or ()) - {each.lead["lead_id"] for each in tried}):
        typer.echo(f"leadstream: meta.leadgen.details has no lead {missing}: is its id right?", err=True)
    shown = [each for each in tried if each.fails or not (failed or (lead is None and not each.is_taken))]
    if as_json:
        typer.echo(in_json(target, shown, summary))
    else:
        for each in shown:
            print_lead(each, target.mapping.hash)
        print_summary(summary)
    if summary.failed or (lead and summary.looked_at < len(set(lead))):
        raise typer.Exit(1)


def _try(target: Target, last: int, leads: list[str], summary: Summary) -> Iterator[Tried]:
    with reading() as (settings, reader):
        topics, registry = Topics(prefix=settings.topic_prefix), read(RegistrySettings)
        details: Decoder[LeadDetails] = Decoder(registry, "LeadDetails", subject=topics.subject(DETAILS))
        name = topics(DETAILS)
        records = of_leads(reader, name, leads) if leads else newest(reader, name, last)
        found = list(read_leads(records, details, summary))
        live = _live(reader, registry, topics, target.mapping.topic, {each["lead_id"] for each in found})
    for each in found:
        tried = try_lead(target, each, live.get(each["lead_id"]))
        summary.add(tried)
        yield tried


def _live(reader: Reader, registry: RegistrySettings, topics: Topics, topic: str, leads: set[str]) -> dict[str, Live]:
    try:
        decode: Decoder[dict[str, object]] = Decoder(registry, None, subject=topics.subject(topic))
    except NotRegistered:  # so nothing was ever written there
        return {}
    return live_records(reader, topics(topic), leads, decode)


def in_json(target: Target, shown: list[Tried], summary: Summary) -> str:
    """All there is to tell, as one JSON object."""
    told = {
        "target": target.mapping.id,
        "mapping": target.mapping.hash,
        "leads": [_lead_in_json(each) for each in shown],
        "summary": {
            "looked_at": summary.looked_at,
            "taken": summary.taken,
            "failed": summary.failed,
            "no_lead": summary.no_lead,
            "failures": [
                {"field": field, "reason": reason, "leads": count}
                for (field, reason), count in summary.failures.most_common()
            ],
            "changed": dict(summary.changed.most_common()),
            "unmapped": dict(summary.unmapped.most_common()),
        },
    }
    return json.dumps(told, indent=2, ensure_ascii=False, default=_as_text)


def _lead_in_json(tried: Tried) -> dict[str, object]:
    live = tried.live
    return {
        "lead_id": tried.lead["lead_id"],
        "form_id": tried.lead["form_id"],
        "taken": tried.is_taken,
        "fields": [
            {"field": each.field, "before": each.before, "after": each.after, "failed": each.reason}
            for each in tried.told
        ],
        "unmapped": tried.left,
        "live": None if live is None else {"mapping": live.mapping, "record": live.record},
        "changed": tried.changed,
    }


def print_lead(tried: Tried, mapping: str) -> None:
    """A line that says which lead, and its fields as a table."""
    typer.echo(_title(tried, mapping))
    rows: list[tuple[str, ...]] = [
        ("  field", "before", "after", "live") if tried.live else ("  field", "before", "after")
    ]
    for each in tried.told:
        after = f"FAILS: {each.reason}" if each.reason else _cell(each.after)
        rows.append(_row(tried, each.field, _clean(", ".join(each.before)) or "-", after))
    if tried.record[UNMAPPED] or UNMAPPED in tried.changed:
        rows.append(_row(tried, UNMAPPED, "-", _cell(tried.record[UNMAPPED])))
    rows += [_row(tried, name, "-", "(not in the file)") for name in tried.changed if name not in tried.record]
    print_aligned(_cut(rows))
    typer.echo()


def _row(tried: Tried, name: str, before: str, after: str) -> tuple[str, ...]:
    row = (f"  {name}", before, after)
    if tried.live is None:
        return row
    if name in tried.changed or tried.failures:
        return (*row, _cell(tried.live.record.get(name)))
    return (*row, "same")


def _title(tried: Tried, mapping: str) -> str:
    lead, live = tried.lead, tried.live
    words = [lead["lead_id"], lead["form_name"] or lead["form_id"] or "no form"]
    if lead["is_test"]:
        words.append("test lead, which goes to no target")
    elif not tried.is_taken:
        words.append("left out by the filter")
    elif tried.failures:
        words.append(f"FAILS for {', '.join(each.field for each in tried.failures)}")
    if live is None:
        words.append("nothing live")
    elif live.mapping == mapping:
        words.append("live by this file")
    else:
        words.append(f"live by another version, {(live.mapping or 'unknown')[:_SHORT]}")
    if live is not None and not tried.failures:
        words.append(f"{len(tried.changed)} changed" if tried.changed else "nothing changed")
    return _clean("  ".join(words))


def print_summary(summary: Summary) -> None:
    typer.echo(
        f"{summary.looked_at} leads looked at, {summary.taken} taken by the filter, {summary.failed} failed"
        + (f"; {summary.no_lead} records hold no lead" if summary.no_lead else "")
    )
    _print_counts("failed, by field and reason", summary.failures.items())
    _print_counts("changed against what is live", (((name,), count) for name, count in summary.changed.items()))
    _print_counts("left in unmapped", (((_clean(key),), count) for key, count in summary.unmapped.items()))


def _print_counts(title: str, counts: Iterable[tuple[tuple[str, ...], int]]) -> None:
    """The most frequent first."""
    rows = [(f"  {count}", *said) for said, count in sorted(counts, key=lambda each: (-each[1], each[0]))]
    if rows:
        typer.echo(title)
        print_aligned(rows)


def _cut(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Names as they are, and the rest of a terminal's width for values; whole where a program reads."""
    console = Console()
    if not console.is_terminal:
        return rows
    columns = len(rows[0]) - 1
    room = max(10, (console.width - max(len(row[0]) for row in rows)) // columns - 2)
    return [
        (row[0], *(text if cell_len(text) <= room else set_cell_size(text, room - 1) + "…" for text in row[1:]))
        for row in rows
    ]


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case list():
            return _clean(", ".join(map(str, value)))
        case _:
            return _clean(_as_text(value))


def _clean(text: str) -> str:
    """One line that does nothing to a terminal: people may answer anything."""
    return "".join(each if each.isprintable() else " " for each in text)


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
