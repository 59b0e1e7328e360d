"""What doctor says: a table by page and the findings in sentences, or all of it as JSON with stable codes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer

from deploy.table import print_aligned
from ingest.health import Finding, Severity

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
    """For a person, on stdout."""
    subjects = dict.fromkeys([*map(_subject, report.findings), *(f"page {page_id}" for page_id in report.pages)])
    print_aligned(_row(subject, report.findings) for subject in sorted(subjects, key=_place))
    for severity in ("wrong", "warning", "not-known"):
        for finding in report.findings:
            if finding.severity == severity:
                _tell(finding)
    for sentence in report.not_looked_at:
        typer.echo(f"\nnot looked at: {sentence}")
    counts = {severity: sum(each.severity == severity for each in report.findings) for severity in _WORST}
    said = ", ".join(
        f"{counts[severity]} {_TITLES[severity]}" for severity in ("wrong", "warning", "not-known", "fine")
    )
    typer.echo(f"\n{_count(len(report.pages), 'page')}: {said}")


def _row(subject: str, findings: Sequence[Finding]) -> tuple[str, ...]:
    """The subject, its worst state, and which findings make it so."""
    own = [finding for finding in findings if _subject(finding) == subject]
    if not own:
        return subject, _TITLES["not-known"], "-"
    worst = min((finding.severity for finding in own), key=_WORST.index)
    codes = dict.fromkeys(finding.code for finding in own if finding.severity == worst)
    return subject, _TITLES[worst], " ".join(codes)


def _tell(finding: Finding) -> None:
    typer.echo(f"\n{_TITLES[finding.severity]}: {_subject(finding)}, {finding.code}")
    typer.echo(f"  {finding.what}")
    if finding.causes:
        typer.echo(f"  Causes: {finding.causes}")
    if finding.do:
        typer.echo(f"  Do: {finding.do}")


def _subject(finding: Finding) -> str:
    if finding.page_id is not None:
        return f"page {finding.page_id}"
    return "everything" if finding.app_id is None else f"app {finding.app_id}"


def _place(subject: str) -> tuple[int, str]:
    return ("everything", "app", "page").index(subject.partition(" ")[0]), subject


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
