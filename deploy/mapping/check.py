"""`leadstream mapping check`: what is wrong with mapping files, by themselves and against the forms that are known."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deploy.reading import reading
from deploy.table import print_aligned
from ingest.records import Topics
from ingest.settings import MappingSettings, read
from processors.mapping.checking import check as held_against
from processors.mapping.findings import Finding
from processors.mapping.reading import BadMapping, Loaded, read_files, read_folder

from .forms import read_forms


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", exists=True, dir_okay=False, help="All of MAPPING_DIR if none is named."),
    ] = None,
    *,
    no_forms: Annotated[bool, typer.Option("--no-forms", help="Look at the files alone; no Kafka is needed.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """What is wrong with mapping files, all at once, by file, line and field. It changes nothing.

    First each file by itself; once all can be read, against the forms on meta.leadgen.forms: what a file names and no
    form asks, what a form asks and no field takes, options without a code. Exit code 1: there is an error.

    Example: leadstream mapping check mappings/sales.yaml --strict
    """
    forms: int | None = None
    loaded: list[Loaded] = []
    try:
        loaded = _read(files)
    except BadMapping as bad:
        findings = [Finding(severity="error", form_id=None, **asdict(problem)) for problem in bad.problems]
    else:
        findings = []
        if not no_forms:
            with reading() as (settings, reader):
                known = read_forms(reader, Topics(prefix=settings.topic_prefix))
            forms = len({form["form_id"] for form in known})
            findings = [finding for each in loaded for finding in held_against(each, known)]
    if as_json:
        typer.echo(_in_json(loaded, findings, forms))
    else:
        _show(loaded, findings, forms)
    if any(strict or finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _read(files: Sequence[Path] | None) -> list[Loaded]:
    if files:
        return read_files({str(path): path for path in files})
    folder = read(MappingSettings).mapping_dir
    if folder is None:
        raise typer.BadParameter("name a file, or set MAPPING_DIR to the folder of mapping files.")
    return read_folder(folder)


def _in_json(loaded: Sequence[Loaded], findings: Sequence[Finding], forms: int | None) -> str:
    files = [
        {"file": each.file, "target": each.mapping.id, "topic": each.mapping.topic, "hash": each.mapping.hash}
        for each in loaded
    ]
    return json.dumps(
        {"files": files, "forms": forms, "findings": [asdict(finding) for finding in findings]},
        indent=2,
        ensure_ascii=False,
    )


def _show(loaded: Sequence[Loaded], findings: Sequence[Finding], forms: int | None) -> None:
    if findings:
        print_aligned(
            [
                (
                    f"{each.file}:{each.line}" if each.line else each.file,
                    each.severity,
                    each.field or "-",
                    each.message,
                )
                for each in findings
            ]
        )
    errors = sum(finding.severity == "error" for finding in findings)
    if not loaded and errors:
        typer.echo(f"{_count(errors, 'error')}; the files were not held against forms yet")
        return
    against = "" if forms is None else f", held against {_count(forms, 'form')}"
    warnings = _count(len(findings) - errors, "warning")
    typer.echo(f"{_count(len(loaded), 'file')}{against}: {_count(errors, 'error')}, {warnings}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
