"""What doctor says: a table by page and the findings in sentences, or all of it as JSON with stable codes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer

from deploy.table import print_aligned
from ingest.health import Finding, Severity

_MANY = 20  # pages, or findings that are alike
_WORST: tuple[Severity, ...] = ("wrong", "warning", "fine", "not-known")  # what is not known beside it spoils nothing
_TITLES: dict[Severity, str] = {"wrong": "wrong", "warning": "warning", "not-known": "not known", "fine": "fine"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`not_looked_at` are sentences. `pages` were asked about, by id, each with its app's."""

    graph_url: str | None
    api_version: str | None
    pages: dict[str, str | None]
    findings: Sequence[Finding]
    not_looked_at: Sequence[str]

    @property
    def is_wrong(self) -> bool:
        return any(finding.severity == "wrong" for finding in self.findings)


def in_json(report: Report) -> str:
    """All of it."""
    told = {
        "graph_url": report.graph_url,
        "api_version": report.api_version,
        "is_wrong": report.is_wrong,
        "pages": [{"page_id": page_id, "app_id": app_id} for page_id, app_id in report.pages.items()],
        "findings": [asdict(finding) for finding in report.findings],
        "not_looked_at": report.not_looked_at,
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def show(report: Report) -> None:
    """For a person, on stdout: of many pages those rows that are not fine, and of many alike the first ones."""
    of: dict[str, list[Finding]] = {f"page {page_id}": [] for page_id in report.pages}
    for finding in report.findings:
        of.setdefault(_subject(finding), []).append(finding)
    rows = [_row(subject, of[subject]) for subject in sorted(of, key=_place)]
    fine = [row for row in rows if row[0].startswith("page ") and row[1] == "fine"]
    if len(report.pages) > _MANY and fine:
        rows = [row for row in rows if row not in fine] + [(_count(len(fine), "page"), "fine", "")]
    print_aligned(rows)
    for severity in ("wrong", "warning", "not-known"):
        alike: dict[tuple[str, str | None, str | None], list[Finding]] = {}
        for finding in report.findings:
            if finding.severity == severity:
                alike.setdefault((finding.code, finding.causes, finding.do), []).append(finding)
        for findings in alike.values():
            _tell(findings)
    for sentence in report.not_looked_at:
        typer.echo(f"\nnot looked at: {sentence}")
    counts = {severity: sum(each.severity == severity for each in report.findings) for severity in _WORST}
    said = ", ".join(
        f"{counts[severity]} {_TITLES[severity]}" for severity in ("wrong", "warning", "not-known", "fine")
    )
    typer.echo(f"\n{_count(len(report.pages), 'page')}: {said}")


def _row(subject: str, findings: Sequence[Finding]) -> tuple[str, str, str]:
    """The subject, its worst state, and which findings make it so."""
    if not findings:
        return subject, _TITLES["not-known"], "-"
    worst = min((finding.severity for finding in findings), key=_WORST.index)
    codes = dict.fromkeys(finding.code for finding in findings if finding.severity == worst)
    return subject, _TITLES[worst], " ".join(codes)


def _tell(findings: Sequence[Finding]) -> None:
    """Findings that cause the same, and of which the same is to be made."""
    first = findings[0]
    typer.echo(f"\n{_TITLES[first.severity]}: {first.code}")
    for finding in findings[:_MANY]:
        typer.echo(f"  {_subject(finding)}: {finding.what}")
    if len(findings) > _MANY:
        typer.echo(f"  and {len(findings) - _MANY} more, which --json names")
    if first.causes:
        typer.echo(f"  Causes: {first.causes}")
    if first.do:
        typer.echo(f"  Do: {first.do}")


def _subject(finding: Finding) -> str:
    if finding.page_id is not None:
        return f"page {finding.page_id}"
    return "everything" if finding.app_id is None else f"app {finding.app_id}"


def _place(subject: str) -> tuple[int, str]:
    return ("everything", "app", "page").index(subject.partition(" ")[0]), subject


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
