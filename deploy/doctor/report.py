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
class Page:
    """A page that was asked about, with what is known of it. Expiries are unix milliseconds, 0 for never."""

    page_id: str
    app_id: str | None
    name: str | None = None
    token_kind: str | None = None
    token_expires_at: int | None = None
    data_access_expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`not_looked_at` are sentences."""

    graph_url: str | None
    api_version: str | None
    pages: Sequence[Page]
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
        "pages": [asdict(page) for page in report.pages],
        "findings": [asdict(finding) for finding in report.findings],
        "not_looked_at": report.not_looked_at,
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def show(report: Report) -> None:
    """For a person, on stdout: of many pages those rows that are not fine, and of many alike the first ones."""
    of: dict[str, list[Finding]] = {f"page {page.page_id}": [] for page in report.pages}
    # A page's owner chose its name: nothing in it is to move a terminal's cursor.
    names = {f"page {page.page_id}": "".join(filter(str.isprintable, page.name or "")) for page in report.pages}
    for finding in report.findings:
        of.setdefault(_subject(finding), []).append(finding)
    rows = [(subject, *_state(of[subject]), names.get(subject, "")) for subject in sorted(of, key=_place)]
    fine = [row for row in rows if row[0] in names and row[1] == _TITLES["fine"]]
    if len(report.pages) > _MANY and fine:
        rows = [row for row in rows if row not in fine] + [(_count(len(fine), "page"), _TITLES["fine"], "", "")]
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


def _state(findings: Sequence[Finding]) -> tuple[str, str]:
    """The worst there is, and which findings make it so."""
    if not findings:
        return _TITLES["not-known"], "-"
    worst = min((finding.severity for finding in findings), key=_WORST.index)
    codes = dict.fromkeys(finding.code for finding in findings if finding.severity == worst)
    return _TITLES[worst], "all" if worst == "fine" else " ".join(codes)


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
