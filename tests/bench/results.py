"""What a run ends with: a document of every round, kept as JSON, and the tables that are written from it."""

import math
from collections.abc import Container, Iterable, Sequence
from typing import TypedDict

from .rounds import Absent, Row, Spread
from .suite import Column, Suite


class RowOut(TypedDict, total=False):
    """A round of a contender with its figures, or `why` it is not raced (in any case, where `case` is empty)."""

    case: str
    contender: str
    kind: str
    made_of: str
    promises: str
    round: int
    figures: dict[str, float]
    remark: str
    why: str


class ColumnOut(TypedDict):
    figure: str
    title: str
    better: str
    digits: int
    factor: float


class Chapter(TypedDict):
    """A suite as it was run: on which machine, when, and every round."""

    title: str
    about: str
    columns: list[ColumnOut]
    charted: str
    machine: dict[str, str]
    rounds: int
    rows: list[RowOut]


_NOT_RACED = "not raced"
Document = dict[str, Chapter]  # by the suite's name


class Line(TypedDict):
    """A contender in one case: its spreads, in the order of the columns; none where it was not raced, and why."""

    contender: str
    kind: str
    spreads: list[Spread]
    remark: str


def chapter(suite: Suite, rows: Sequence[Row], *, machine: dict[str, str], rounds: int) -> Chapter:
    return Chapter(
        title=suite.title,
        about=suite.about.strip(),
        columns=[_column(column) for column in suite.columns],
        charted=suite.charted,
        machine=machine,
        rounds=rounds,
        rows=[_row(row) for row in rows],
    )


def cases(told: Chapter) -> list[str]:
    """In the order in which they were run."""
    return list(dict.fromkeys(row["case"] for row in told["rows"] if row["case"]))


def columns(told: Chapter, case: str) -> list[ColumnOut]:
    """Those of the figures that were measured in a case."""
    measured = {figure for row in told["rows"] if row["case"] == case for figure in row.get("figures", ())}
    return [column for column in told["columns"] if column["figure"] in measured]


def lines(told: Chapter, case: str) -> list[Line]:
    """Ours first, in the suite's order, then the peers from the best on, then limits; what was not raced is last."""
    shown = columns(told, case)
    found: list[Line] = []
    for contender in dict.fromkeys(row["contender"] for row in told["rows"]):
        rows = [row for row in told["rows"] if row["contender"] == contender and row["case"] in {case, ""}]
        measured = [row["figures"] for row in rows if "figures" in row]
        why = next((row["why"] for row in rows if "why" in row and (row["case"] or not measured)), "")
        if not measured and not why:
            continue
        remarks = dict.fromkeys([*(row.get("remark", "") for row in rows), why])
        spreads = [_spread(column, measured) for column in shown] if measured else []
        remark = "; ".join(filter(None, remarks))
        found.append(Line(contender=contender, kind=rows[0]["kind"], spreads=spreads, remark=remark))
    return sorted(found, key=lambda line: _place(line, shown[0]["better"] if shown else ""))


def as_markdown(document: Document) -> str:
    """All chapters, each with a table for every case."""
    parts = ["# What was measured", "", "Written by `make bench`. How, and why so: [README.md](README.md).", ""]
    for told in document.values():
        parts += [f"## {told['title']}", "", told["about"], ""]
        for case in cases(told):
            parts += [f"### {case}", "", *table(told, case), ""]
        parts += [*_who(told), "", *_machine(told), ""]
    return "\n".join(parts)


def table(told: Chapter, case: str) -> list[str]:
    """A Markdown table: medians (least to most), and how many times ours the first figure is."""
    shown, found = columns(told, case), lines(told, case)
    compared = bool(shown) and bool(shown[0]["better"])
    ours = next((line["spreads"][0].median for line in found if line["kind"] == "ours" and line["spreads"]), None)
    rows = []
    for line in found:
        cells = [_shown(spread, column["digits"]) for spread, column in zip(line["spreads"], shown, strict=False)]
        cells = cells or [_NOT_RACED, *([""] * (len(shown) - 1))]
        if compared:
            cells.insert(1, f"{line['spreads'][0].median / ours:.2f} x" if ours and line["spreads"] else "")
        rows.append([_named(line), *cells, _one_line(line["remark"])])
    titles = [column["title"] for column in shown] or [""]
    if compared:
        titles.insert(1, "to ours")
    rows.insert(0, ["", *titles, "remark" if any(row[-1] for row in rows) else ""])
    texts = (0, len(titles) + 1)
    return aligned(rows if rows[0][-1] else [row[:-1] for row in rows], texts=texts)


def aligned(rows: Sequence[Sequence[str]], *, texts: Container[int] = (0,)) -> list[str]:
    """A Markdown table whose columns stand under each other as plain text too; `texts` begin on the left."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width if number in texts else "-" * (width - 1) + ":" for number, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if number in texts else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    head, *body = rows
    return [line(head), line(rule), *map(line, body)]


def _who(told: Chapter) -> Iterable[str]:
    for row in {row["contender"]: row for row in told["rows"]}.values():
        yield f"- {row['contender']} ({row['kind']}): {row['made_of']}; {row['promises']}"


def _machine(told: Chapter) -> Iterable[str]:
    rounds = "1 round" if told["rounds"] == 1 else f"{told['rounds']} rounds"
    yield f"{rounds}. " + ", ".join(f"{name} {value}" for name, value in told["machine"].items())


def _named(line: Line) -> str:
    return {"ours": f"**{line['contender']}**", "limit": f"_{line['contender']}_"}.get(line["kind"], line["contender"])


def _one_line(text: str) -> str:
    return text.partition("\n")[0].replace("|", "\\|")


def _place(line: Line, better: str) -> tuple[int, float]:
    if not line["spreads"]:
        return 3, 0.0
    if line["kind"] == "ours":  # in the suite's order: one worker, two, four
        return 0, 0.0
    first = line["spreads"][0].median
    return ("ours", "peer", "limit").index(line["kind"]), {"less": first, "more": -first}.get(better, 0.0)


def _shown(spread: Spread, digits: int) -> str:
    if math.isnan(spread.median):  # a limit has no memory of its own, for one
        return ""
    median, low, high = (f"{value:,.{digits}f}" for value in (spread.median, spread.low, spread.high))
    return f"{median} ({low} to {high})" if low != high else median


def _spread(column: ColumnOut, measured: Sequence[dict[str, float]]) -> Spread:
    values = [figures[column["figure"]] * column["factor"] for figures in measured if column["figure"] in figures]
    return Spread.of(values or [math.nan])


def _column(column: Column) -> ColumnOut:
    return ColumnOut(
        figure=column.figure, title=column.title, better=column.better, digits=column.digits, factor=column.factor
    )


def _row(row: Row) -> RowOut:
    out = RowOut(
        case=row.case, contender=row.by.name, kind=row.by.kind, made_of=row.by.made_of, promises=row.by.promises
    )
    if isinstance(row, Absent):
        return out | RowOut(why=row.why)
    return out | RowOut(round=row.round, figures=dict(row.figures), remark=row.remark)
